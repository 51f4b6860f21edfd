"""Calls that answer questions about a run within a budget of tokens."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Annotated, Any

from litestar import Response, get
from litestar.di import NamedDependency
from litestar.params import PathParameter, QueryParameter
from msgspec.structs import replace

from batchwright.agents.slices.base import Slice
from batchwright.agents.slices.outline import LEAST_BUDGET, MOST_BUDGET
from batchwright.agents.slices.registry import SLICES, run_slice, slice_kind
from batchwright.agents.slices.run_source import RunSource
from batchwright.api.admission_control import Bounds
from batchwright.api.openapi import problems
from batchwright.api.run_drawings import At, moment_etag
from batchwright.api.run_queries import ONE, RunId
from batchwright.app.slice_sources import Wanted, earlier_run, wanted_events, with_events
from batchwright.service.execution_history_cache import RunHistories, RunMoment
from batchwright.service.run_supervisor import RunSupervisor

QUERY_MOST = 500  # characters
Budget = Annotated[
    int | None,
    QueryParameter(ge=LEAST_BUDGET, le=MOST_BUDGET, description="The most tokens of the answer; without it the usual."),
]


def _source(seen: RunMoment) -> RunSource:
    return RunSource(seen.run, seen.history, seen.now, seen.around)


@asynccontextmanager
async def slice_source(
    supervisor: RunSupervisor,
    histories: RunHistories,
    bounds: Bounds,
    run: str,
    at: int | None,
    wanted: Sequence[Wanted],
) -> AsyncIterator[RunSource]:
    """What these slices of a run are made from; it does not change before the end of the block."""
    feed = await supervisor.feeds.find(run)
    async with histories.moment(feed, at) as seen:
        seqs = await bounds.in_thread(lambda: wanted_events(wanted, seen.run, seen.history))
        source = await with_events(feed.journal, _source(seen), seqs)
        row = None
        if any(slice_kind(kind).compares for kind, _ in wanted):
            row = await earlier_run(supervisor.stores, seen.run)
        if row is None:
            yield source
            return
        async with histories.moment(await supervisor.feeds.find(row.run)) as before:
            yield replace(source, earlier=_source(before))


@get(ONE + "/slices/{kind:str}", responses=problems(404, 409), tags=["Agents"])
async def run_slices(
    supervisor: NamedDependency[RunSupervisor],
    histories: NamedDependency[RunHistories],
    bounds: NamedDependency[Bounds],
    run: RunId,
    kind: Annotated[str, PathParameter(description=f"One of: {', '.join(SLICES)}.", max_length=40)],
    ask: Annotated[
        str, QueryParameter(description="What is asked, as docs/agents.md says for each kind.", max_length=QUERY_MOST)
    ] = "",
    budget: Budget = None,
    at: At = None,
) -> Response[Slice]:
    """Facts about a run for one question, as lines of text within a budget of tokens, and what was left out."""
    slice_kind(kind)
    async with slice_source(supervisor, histories, bounds, run, at, [(kind, ask)]) as source:
        told = await bounds.in_thread(lambda: run_slice(kind, source, ask, budget or 0))
    return Response(told, headers={"ETag": moment_etag(told.run, told.as_of_seq)})


HANDLERS: Sequence[Any] = (run_slices,)
