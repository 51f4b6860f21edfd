"""A run that only waits for people: nobody drives it until one of them has answered."""

from __future__ import annotations

from msgspec import Struct

from batchwright.journal.base import Journal
from batchwright.model.run_summary import RunSummary


class RestingRun(Struct, frozen=True):
    """How many of its signals were read, and when it last changed."""

    signals_read: int
    updated_at: float

    async def still_rests(self, journal: Journal, row: RunSummary, now: float) -> bool:
        """Whether it still waits for nothing but people: nobody has answered or driven it, and nothing expired."""
        if row.updated_at != self.updated_at or (row.wakes_at and now >= row.wakes_at):
            return False
        return not await journal.signals(row.run, self.signals_read)
