"""What a page needs to draw a run: where its operations stand, and what happened when."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Protocol, TypeVar

from litestar import Response, get
from litestar.di import NamedDependency
from litestar.params import QueryParameter
from msgspec import Meta

from batchwright.api.admission_control import Bounds
from batchwright.api.openapi import RepeatableQueryOperation, problems
from batchwright.api.run_queries import ONE, RunId
from batchwright.errors import UsageError
from batchwright.service.run_feed import RunFeed
from batchwright.service.run_history_cache import RunHistories, RunMoment
from batchwright.service.run_supervisor import RunSupervisor
from batchwright.views.graph_layout import LAYOUT, NODES, NODES_MOST, GraphLayout, graph_layout
from batchwright.views.timeline import STEPS_MOST, Timeline, TimelineQuery, timeline

At = Annotated[
    int | None,
    QueryParameter(ge=1, le=2**53, description="The run as it was after this event; without it, as it is now."),
]
Moment = Annotated[float | None, QueryParameter(ge=0, le=1e11, description="Seconds since the epoch.")]
OPENED_MOST = 50  # operations at a time


class Shown(Protocol):
    """What is shown of a run: its id, and the number of the event after which it was so."""

    @property
    def run(self) -> str: ...
    @property
    def seq(self) -> int: ...


S = TypeVar("S", bound=Shown)
View = Callable[[RunMoment], S]


def moment_etag(run: str, seq: int) -> str:
    """The ETag of what an answer shows: the run's state after this event."""
    return f'"{run}-{seq}"'


async def at_moment(
    feed: RunFeed, histories: RunHistories, bounds: Bounds, at: int | None, view: View[S]
) -> Response[S]:
    """What a view shows of a run, now or after event `at`. Raises UsageError if the run has no such event."""
    async with histories.moment(feed, at) as seen:
        told = await bounds.in_thread(lambda: view(seen))
    return Response(told, headers={"ETag": moment_etag(told.run, told.seq)})


def refuse_no_moment(begin: float | None, end: float | None) -> None:
    """Raise UsageError for what is a number and no time."""
    if not all(math.isfinite(one) for one in (begin or 0.0, end or 0.0)):
        raise UsageError("begin and end are seconds since the epoch")


@get(ONE + "/graph", responses=problems(404, 409), tags=["Drawings"])
async def graph(
    supervisor: NamedDependency[RunSupervisor],
    bounds: NamedDependency[Bounds],
    run: RunId,
    most: Annotated[
        int, QueryParameter(ge=1, le=NODES_MOST, description="The largest number of nodes; more are drawn as groups.")
    ] = NODES,
    group: Annotated[
        str, QueryParameter(description="Only the operations of this group, by the id of its node.", max_length=300)
    ] = "",
) -> Response[GraphLayout]:
    """Where the operations of a run stand in a drawing. It depends only on the plan, so it never changes."""
    feed = await supervisor.feeds.find(run)
    layout = await bounds.in_thread(lambda: graph_layout(feed.run.plan, most, group))
    return Response(layout, headers={"ETag": f'"{feed.run.id}-layout-{LAYOUT}"'})


@get(ONE + "/timeline", responses=problems(404, 409), operation_class=RepeatableQueryOperation, tags=["Drawings"])
async def run_timeline(
    supervisor: NamedDependency[RunSupervisor],
    histories: NamedDependency[RunHistories],
    bounds: NamedDependency[Bounds],
    run: RunId,
    at: At = None,
    begin: Moment = None,
    end: Moment = None,
    width: Annotated[int, QueryParameter(ge=1, le=8_000, description="Pixel columns.")] = 1_000,
    fold: Annotated[
        int, QueryParameter(ge=0, le=500, description="Columns of a pause in which nothing happens; 0: in full.")
    ] = 44,
    operation: Annotated[
        list[Annotated[str, Meta(min_length=1, max_length=300)]] | None,
        QueryParameter(description="An operation whose steps get rows of their own; may be repeated."),
    ] = None,
    first: Annotated[int, QueryParameter(ge=0, le=2**31, description="How many of these rows to leave out.")] = 0,
    rows: Annotated[int, QueryParameter(ge=0, le=STEPS_MOST, description="How many of them to give.")] = STEPS_MOST,
    ahead: Annotated[
        bool, QueryParameter(description="Also the time that the rest may take, up to half of what has passed.")
    ] = False,
) -> Response[Timeline]:
    """What happened when, in one bucket per pixel column and operation. No failure is left out."""
    refuse_no_moment(begin, end)
    if len(opened := operation or []) > OPENED_MOST:
        raise UsageError(f"more than {OPENED_MOST} operations are opened")
    feed = await supervisor.feeds.find(run)
    query = TimelineQuery(width, begin, end, fold, tuple(opened), first, rows, ahead)

    def view(seen: RunMoment) -> Timeline:
        return timeline(seen.history, seen.run, seen.now, query, driven=seen.around.driven)

    return await at_moment(feed, histories, bounds, at, view)


HANDLERS: Sequence[Any] = (graph, run_timeline)
