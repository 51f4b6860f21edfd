"""Reads what slices about a run are computed from: its events, and the last good run of its environment."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from msgspec.structs import replace

from batchwright.agents.slices.registry import slice_kind
from batchwright.agents.slices.run_source import RunSource
from batchwright.app.multi_store import Stores
from batchwright.app.run_reader import OpenedRun, history, read_events
from batchwright.journal.base import Journal
from batchwright.model.environment import EnvironmentKey
from batchwright.model.lifecycle import RUN_ENDED, RunState
from batchwright.model.run import Run
from batchwright.model.run_summary import RunSummary
from batchwright.views.run_history import RunHistory, history_of
from batchwright.views.wait_reasons import Circumstances

Wanted = tuple[str, str]  # a kind of slice, and its query


def wanted_events(wanted: Iterable[Wanted], run: Run, past: RunHistory) -> list[int]:
    """The numbers of the events that these slices need. Raises UsageError and StepNotFound for a bad query."""
    found: set[int] = set()
    for kind, query in wanted:
        found.update(slice_kind(kind).wanted(run, past, query))
    return sorted(found)


async def with_events(journal: Journal, source: RunSource, seqs: Sequence[int]) -> RunSource:
    """The source with these events."""
    return replace(source, events=tuple(await read_events(journal, source.run.id, seqs)))


async def earlier_run(stores: Stores, run: Run) -> RunSummary | None:
    """The newest run of the same environment before this one that completed, and whose events are still there."""
    key = EnvironmentKey.of(run.plan)
    rows = (row for row in await stores.summaries(partial=True) if row.environment_key == key and not row.archive)
    good = (row for row in rows if row.status is RunState.COMPLETED and row.created_at < run.created_at)
    return next((row for row in good if row.run != run.id), None)


async def read_source(stores: Stores, opened: OpenedRun, wanted: Sequence[Wanted], now: float) -> RunSource:
    """The source of these slices about a run of a local store. Raises UsageError and StepNotFound for a bad query."""
    past = history_of([event async for _, event in history(opened.journal, opened.run.id)])
    ended = past.run.status in RUN_ENDED
    source = RunSource(past.run, past, past.run.updated_at if ended else now, Circumstances(opened.driven))
    source = await with_events(opened.journal, source, wanted_events(wanted, past.run, past))
    if not any(slice_kind(kind).compares for kind, _ in wanted):
        return source
    row = await earlier_run(stores, past.run)
    if row is None:
        return source
    journal = await stores.get(row.store)
    before = history_of([event async for _, event in history(journal, row.run)])
    return replace(source, earlier=RunSource(before.run, before, before.run.updated_at))
