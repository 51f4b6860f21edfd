"""Rebuilds the fold of a run from its journal: the newest snapshot, then the events after it, page by page."""

from __future__ import annotations

from batchwright.errors import EventUnreadable
from batchwright.journal.base import Journal
from batchwright.model.events import RollbackStarted, RunCreated, RunReopened
from batchwright.model.run import Run
from batchwright.model.run_snapshot import encode_snapshot, restore_run


async def _created(journal: Journal, run_id: str) -> RunCreated:
    created = (await journal.read(run_id, 0, 1))[0][1]
    if not isinstance(created, RunCreated):
        raise EventUnreadable(f"the journal of run {run_id} does not begin with run_created")
    return created


async def load_run(journal: Journal, run_id: str) -> Run:
    """The fold of all events of a run. Raises RunNotFound, EventUnreadable."""
    created = await _created(journal, run_id)
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


async def load_turns(journal: Journal, run_id: str) -> list[Run]:
    """The run as it was at the end of each of its turns, the newest last, which may not have ended.

    What a turn changed is not in a later state of the run: a server that was created in one turn and destroyed in the
    next has taken the place of an older one. Raises RunNotFound, EventUnreadable.
    """
    created = await _created(journal, run_id)
    run, ended = Run(created), list[Run]()
    while page := await journal.read(run_id, run.seq):
        for _, event in page:
            if isinstance(event, RunReopened | RollbackStarted) and event.turn:
                ended.append(restore_run(created, encode_snapshot(run)))
            run.apply(event)
    return [*ended, run]
