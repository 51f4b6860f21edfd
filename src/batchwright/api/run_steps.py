"""The operations, steps and failures of a run, in pieces that a page can show."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from litestar import Response, get
from litestar.di import NamedDependency
from litestar.params import QueryParameter
from msgspec import Meta

from batchwright.api.admission_control import Bounds
from batchwright.api.openapi import CURSOR_PATTERN, problems
from batchwright.api.run_drawings import At, Moment, at_moment, refuse_no_moment
from batchwright.api.run_queries import ONE, RunId
from batchwright.service.run_history_cache import RunHistories, RunMoment
from batchwright.service.run_supervisor import RunSupervisor
from batchwright.views.display_state import DisplayState
from batchwright.views.failure_causes import FailureCauses, failure_causes
from batchwright.views.operation_strips import CELLS, CELLS_MOST, OperationStrips, operation_strips
from batchwright.views.step_pages import LIMIT_MOST, StepOrder, StepPage, StepQuery, step_page

Operations = Annotated[
    list[Annotated[str, Meta(min_length=1, max_length=300)]] | None,
    QueryParameter(description="Only this operation; may be repeated."),
]


@get(ONE + "/operations", responses=problems(404, 409), tags=["Drawings"])
async def operations(
    supervisor: NamedDependency[RunSupervisor],
    histories: NamedDependency[RunHistories],
    bounds: NamedDependency[Bounds],
    run: RunId,
    at: At = None,
    cells: Annotated[
        int, QueryParameter(ge=0, le=CELLS_MOST, description="Operations with at most so many steps have a strip.")
    ] = CELLS,
    operation: Operations = None,
) -> Response[OperationStrips]:
    """The operations of a run: how many of their steps are in which state, and the state of each step."""
    feed = await supervisor.feeds.find(run)
    only = frozenset(operation or ())

    def view(seen: RunMoment) -> OperationStrips:
        return operation_strips(seen.run, seen.history.shape, seen.now, cells, only)

    return await at_moment(feed, histories, bounds, at, view)


@get(ONE + "/steps", responses=problems(404, 409), tags=["Drawings"])
async def steps(
    supervisor: NamedDependency[RunSupervisor],
    histories: NamedDependency[RunHistories],
    bounds: NamedDependency[Bounds],
    run: RunId,
    at: At = None,
    states: Annotated[
        list[DisplayState] | None,
        QueryParameter(name="state", description="Only steps in this state; may be repeated."),
    ] = None,
    operation: Operations = None,
    server: Annotated[str, QueryParameter(description="Only steps on this server.", max_length=300)] = "",
    cause: Annotated[str, QueryParameter(description="Only steps with a fault of this class.", max_length=50)] = "",
    find: Annotated[
        str,
        QueryParameter(
            description="Words that must be in its id, server, reference, address or message.", max_length=300
        ),
    ] = "",
    begin: Moment = None,
    end: Moment = None,
    counted: Annotated[
        bool, QueryParameter(description="Only steps that count, without gates of waves and halves of steps.")
    ] = False,
    order: Annotated[
        StepOrder, QueryParameter(description="The order of the plan, or by state with the worst first.")
    ] = StepOrder.PLAN,
    cursor: Annotated[
        str | None, QueryParameter(description="The next_cursor of the previous page.", pattern=CURSOR_PATTERN)
    ] = None,
    offset: Annotated[
        int, QueryParameter(ge=0, le=2**31, description="Rows to leave out, without a cursor; keep `at` the same.")
    ] = 0,
    limit: Annotated[int, QueryParameter(ge=1, le=LIMIT_MOST, description="The largest number of rows.")] = 100,
) -> Response[StepPage]:
    """Steps in pages. Following `next_cursor` shows each step once; with `at`, also in the order by state."""
    refuse_no_moment(begin, end)
    names = tuple(operation or ())
    chosen = tuple(states or ())
    query = StepQuery(chosen, names, server, cause, find, begin, end, counted, order, cursor or "", offset, limit)
    feed = await supervisor.feeds.find(run)

    def view(seen: RunMoment) -> StepPage:
        return step_page(seen.run, seen.history, seen.now, query)

    return await at_moment(feed, histories, bounds, at, view)


@get(ONE + "/failures", responses=problems(404, 409), tags=["Drawings"])
async def failures(
    supervisor: NamedDependency[RunSupervisor],
    histories: NamedDependency[RunHistories],
    bounds: NamedDependency[Bounds],
    run: RunId,
    at: At = None,
) -> Response[FailureCauses]:
    """The failures of a run, grouped by cause."""
    feed = await supervisor.feeds.find(run)
    return await at_moment(feed, histories, bounds, at, lambda seen: failure_causes(seen.run))


HANDLERS: Sequence[Any] = (operations, steps, failures)
