"""Two stores in memory that outlive the process that has them open."""

from __future__ import annotations

import asyncio
from pathlib import Path

from batchwright.app.multi_store import Stores
from batchwright.app.settings import Settings
from batchwright.journal.base import Journal
from batchwright.journal.memory import MemoryJournal
from batchwright.model.environment import Environment, EnvironmentKey
from batchwright.testing.crash_points import CrashingJournal, CrashPoint
from batchwright.testing.virtual_clock import VirtualClock

SQLITE, FOLDER = "filesystem", "surrealdb"


class NamedJournal(MemoryJournal):
    """A store in memory that says it is another one."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name

    async def environment(self, key: EnvironmentKey) -> Environment | None:
        """As a store answers that is not in memory: others act before the answer arrives."""
        found = await super().environment(key)
        await asyncio.sleep(0)
        return found


class StorePair(Stores):
    """Both stores, opened by a process that may die at a crash point."""

    def __init__(self, journals: dict[str, Journal], clock: VirtualClock, point: CrashPoint | None = None) -> None:
        super().__init__(Settings(Path()))
        self.journals, self.clock = journals, clock
        self.point = point or CrashPoint()

    @classmethod
    def fresh(cls, clock: VirtualClock) -> StorePair:
        """Two empty stores."""
        return cls({SQLITE: NamedJournal(SQLITE), FOLDER: NamedJournal(FOLDER)}, clock)

    async def get(self, name: str, *, behind: bool = False) -> Journal:
        return CrashingJournal(self.journals[name], self.point)

    def existing_names(self) -> list[str]:
        return list(self.journals)

    def after(self, point: CrashPoint | None = None) -> StorePair:
        """As the next process sees them."""
        return StorePair(self.journals, self.clock, point)
