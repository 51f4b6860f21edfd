"""Read-only use cases: one run, its history, what undoing it would do, and all runs."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING

from batchwright.engine.machine import Machine
from batchwright.engine.rollback_preview import preview_rollback
from batchwright.journal.lease_holder import driver_of
from batchwright.journal.replay import load_run
from batchwright.model.lifecycle import RUN_ENDED, RunState

if TYPE_CHECKING:
    from batchwright.app.multi_store import Stores
    from batchwright.engine.rollback_preview import PlannedUndo
    from batchwright.journal.base import Journal
    from batchwright.model.clock import Clock
    from batchwright.model.events import AnyEvent
    from batchwright.model.run import Run
    from batchwright.model.run_summary import RunSummary

NEAR, PIECE = 50, 1_000  # events that are read though they are not wanted, and read at a time
HOLDER_SECONDS = 1.0  # between two checks whether a process still drives the run


class OpenedRun:
    """A run as its journal shows it, whichever process drives it; `refresh` brings it up to date."""

    def __init__(self, journal: Journal, run: Run, driver: str | None, now: float) -> None:
        self.journal = journal
        self.run = run
        self.driver = driver
        self._asked = now

    @property
    def driven(self) -> bool:
        """Whether a process drives the run."""
        return self.driver is not None

    @property
    def over(self) -> bool:
        """Whether the run has ended and no rollback of its own is due."""
        return self.run.status in RUN_ENDED and not self.run.rollback_due

    async def refresh(self, now: float) -> list[AnyEvent]:
        """Read the events written since; gives them."""
        if now - self._asked >= HOLDER_SECONDS:  # before the journal, so that what the driver wrote last is not missed
            self._asked = now
            self.driver = driver_of(await self.journal.held(self.run.id), now)
        fresh: list[AnyEvent] = []
        async for _, event in history(self.journal, self.run.id, self.run.seq):
            self.run.apply(event)
            fresh.append(event)
        return fresh


async def look(stores: Stores, word: str, clock: Clock, *, destroys: bool = False) -> OpenedRun:
    """The run that the word means, as for `Stores.find`, which says what is raised."""
    journal, run_id = await stores.find(word, destroys=destroys)
    driver = driver_of(await journal.held(run_id), clock.now())
    run = await load_run(journal, run_id)
    return OpenedRun(journal, run, driver, clock.now())


async def history(journal: Journal, run_id: str, after: int = 0) -> AsyncIterator[tuple[int, AnyEvent]]:
    """The events after sequence `after`, with their numbers, page by page."""
    while page := await journal.read(run_id, after):
        for entry in page:
            yield entry
        after = page[-1][0]


async def read_events(journal: Journal, run: str, seqs: Sequence[int]) -> list[tuple[int, AnyEvent]]:
    """These events of a run; numbers in order. Events that are near each other are read in one piece."""
    found: list[tuple[int, AnyEvent]] = []
    at = 0
    while at < len(seqs):
        last = at
        while last + 1 < len(seqs) and seqs[last + 1] - seqs[last] <= NEAR and seqs[last + 1] - seqs[at] < PIECE:
            last += 1
        wanted = frozenset(seqs[at : last + 1])
        page = await journal.read(run, seqs[at] - 1, seqs[last] - seqs[at] + 1)
        found += [(seq, event) for seq, event in page if seq in wanted]
        at = last + 1
    return found


async def events_between(opened: OpenedRun, after: int, upto: int) -> list[AnyEvent]:
    """The events after sequence `after`, up to `upto`."""
    return [event async for seq, event in history(opened.journal, opened.run.id, after) if seq <= upto]


async def all_runs(stores: Stores, clock: Clock, *, partial: bool = False) -> tuple[list[RunSummary], set[str]]:
    """Every run, newest first, and the ids of those that a process drives now; `partial` as in Stores.summaries."""
    summaries = await stores.summaries(partial=partial)
    driven = set()
    for row in summaries:
        if row.status not in RUN_ENDED:
            journal = await stores.get(row.store)
            if driver_of(await journal.held(row.run), clock.now()) is not None:
                driven.add(row.run)
    return summaries, driven


def undo_preview(run: Run, now: float) -> list[PlannedUndo]:
    """What a rollback would do, in order. Raises NotAllowed when it would be refused."""
    if run.status not in (RunState.PENDING, RunState.RUNNING, RunState.PAUSED, RunState.ROLLING_BACK):
        Machine(run).rollback(now, "")
    return preview_rollback(run)
