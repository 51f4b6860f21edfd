"""Rebuilds the fold of a run from its journal: the newest snapshot, then the events after it, page by page."""

from __future__ import annotations

from batchwright.errors import EventUnreadable
from batchwright.journal.base import Journal
from batchwright.model.events import RunCreated
from batchwright.model.run import Run
from batchwright.model.run_snapshot import restore_run


async def load_run(journal: Journal, run_id: str) -> Run:
    """The fold of all events of a run. Raises RunNotFound, EventUnreadable."""
    first = await journal.read(run_id, 0, 1)
    created = first[0][1]
    if not isinstance(created, RunCreated):
        raise EventUnreadable(f"the journal of run {run_id} does not begin with run_created")
    snapshot = await journal.snapshot(run_id)
    run = restore_run(created, snapshot.body) if snapshot else Run(created)
    await catch_up(journal, run)
    return run


async def catch_up(journal: Journal, run: Run) -> int:
    """Apply the events written since; gives how many there were."""
    before = run.seq
    while page := await journal.read(run.id, run.seq):
        for _, event in page:
            run.apply(event)
    return run.seq - before
