"""The steps of a run in pages: filtered, in the order of the plan or the worst first."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Collection, Iterator
from enum import StrEnum

from msgspec import Struct

from batchwright.errors import UsageError
from batchwright.model.did_you_mean import close_matches
from batchwright.model.plan import Plan
from batchwright.model.run import Run
from batchwright.operations.base import PortKind
from batchwright.operations.registry import type_of
from batchwright.views.display_state import RANK, DisplayState, display_states, total
from batchwright.views.run_history import RunHistory
from batchwright.views.steps import doing
from batchwright.views.timeline import DRAWN

LIMIT_MOST = 500  # rows of a page
COMPARED = 5_000  # names that a misspelt one is compared with


class StepOrder(StrEnum):
    """The order of steps."""

    PLAN = "plan"
    WORST = "worst"  # by state, the worst first, then in the order of the plan


class StepRow(Struct, frozen=True):
    """One step. Times are seconds since the epoch, 0 if it has not happened; `until` is when it is tried again.

    `server` is the name of the server that it is or works on, "" if there is none. `cause` is the class of its fault.
    `counted` is false for gates of waves and for halves of steps, which people do not count.
    """

    index: int
    step: str
    operation: str
    provider: str
    server: str
    action: str
    state: DisplayState
    doing: str
    attempt: int
    started_at: float = 0.0
    attempt_at: float = 0.0
    ended_at: float = 0.0
    until: float = 0.0
    ref: str = ""
    address: str = ""
    cause: str = ""
    code: str = ""
    message: str = ""
    said: str = ""
    counted: bool = True


class StepQuery(Struct, frozen=True):
    """Which steps, and which page of them. Filters that are empty let everything through.

    Every word of `find` must be in the step's id, server, reference, address or message. `begin` and `end`:
    something was going on between these times. `counted`: only steps that count. `cursor` is a page's
    `next_cursor`; `offset` rows are left out instead.
    """

    states: Collection[DisplayState] = ()
    operations: Collection[str] = ()
    server: str = ""
    cause: str = ""
    find: str = ""
    begin: float | None = None
    end: float | None = None
    counted: bool = False
    order: StepOrder = StepOrder.PLAN
    cursor: str = ""
    offset: int = 0
    limit: int = 100
    provider: str = ""


class StepPage(Struct, frozen=True):
    """A page of a run's steps as they were after event `seq`, at `time`.

    `total` are all steps, `matching` those that pass the filters, and `counts` are the states of those that pass all
    filters but the one for states. Gates of waves are among them: `uncounted` and `matching_uncounted` say how many of
    these steps are counted nowhere else. `next_cursor` leads to the next page; None after the last. `suggestion` is a
    name close to `find` if nothing is like it.
    """

    run: str
    seq: int
    time: float
    total: int
    matching: int
    counts: dict[DisplayState, int]
    items: tuple[StepRow, ...]
    next_cursor: str | None
    suggestion: str = ""
    uncounted: int = 0
    matching_uncounted: int = 0


def step_page(run: Run, history: RunHistory, now: float, query: StepQuery) -> StepPage:
    """The page. Raises UsageError for a cursor that is none of these pages'."""
    past = _place(query.cursor, query.order) if query.cursor else None
    states = display_states(run)
    servers = server_names(run.plan)
    found = [i for i in range(len(run.records)) if _fits(run, servers, i, query)]
    if query.begin is not None or query.end is not None:
        found = [i for i in found if _was_on(run, history, i, now, query)]
    counts = total([Counter(states[i] for i in found)])
    if query.states:
        wanted = frozenset(query.states)
        found = [i for i in found if states[i] in wanted]
    key = [(RANK[states[i]] if query.order is StepOrder.WORST else 0, i) for i in found]
    key.sort()
    first = query.offset if past is None else bisect_right(key, past)
    page = key[first : first + query.limit]
    more = first + len(page) < len(key)
    return StepPage(
        run=run.id,
        seq=run.seq,
        time=now,
        total=len(run.records),
        matching=len(found),
        counts=counts,
        items=tuple(step_row(run, servers[i], states[i], i, now) for _, i in page),
        next_cursor=f"{query.order}-{page[-1][0]}-{page[-1][1]}" if more and page else None,
        suggestion=_suggestion(run.plan, servers, query.find) if query.find and not counts else "",
        uncounted=sum(not step.counted for step in run.plan.steps),
        matching_uncounted=sum(not run.plan.steps[i].counted for i in found),
    )


def server_names(plan: Plan) -> list[str]:
    """For each step the name of the server that it is or works on, "" if there is none."""
    index = {step.id: step for step in plan.steps}
    names = []
    for step in plan.steps:
        on = index.get(step.server) if step.server else step
        is_server = on is not None and type_of(on).port is PortKind.PROVIDER
        names.append(on.request.name if on is not None and is_server else "")
    return names


def step_row(run: Run, server: str, state: DisplayState, i: int, now: float) -> StepRow:
    """One step as a row."""
    step, record = run.steps[i], run.records[i]
    fault = record.fault
    undo = state in (DisplayState.UNDOING, DisplayState.UNDO_RETRYING, DisplayState.UNDO_FAILED)
    return StepRow(
        index=i,
        step=step.id,
        operation=step.operation,
        provider=step.provider,
        server=server,
        action=step.action,
        state=state,
        doing=doing(run, i, now),
        attempt=record.undo_attempt if undo else record.attempt,
        started_at=record.started_at,
        attempt_at=record.attempt_at,
        ended_at=record.ended_at,
        until=record.until if state in (DisplayState.RETRYING, DisplayState.UNDO_RETRYING) else 0.0,
        ref=record.ref,
        address=record.address,
        cause=fault.kind if fault else "",
        code=fault.code if fault else "",
        message=record.reason or (fault.message if fault else ""),
        said=record.said if i in run.in_flight else "",
        counted=step.counted,
    )


def _fits(run: Run, servers: list[str], i: int, query: StepQuery) -> bool:
    step, record = run.steps[i], run.records[i]
    if query.operations and step.operation not in query.operations:
        return False
    if query.counted and not step.counted:
        return False
    if query.server and servers[i] != query.server:
        return False
    if query.provider and step.provider != query.provider:
        return False
    if query.cause and (record.fault is None or record.fault.kind != query.cause):
        return False
    if not query.find:
        return True
    message = record.reason or (record.fault.message if record.fault else "")
    text = f"{step.id}\n{servers[i]}\n{record.ref}\n{record.address}\n{message}".casefold()
    return all(word in text for word in query.find.casefold().split())


def _was_on(run: Run, history: RunHistory, i: int, now: float, query: StepQuery) -> bool:
    """Whether the step was in flight, or ended, between two times."""
    begin = query.begin if query.begin is not None else run.created_at
    end = query.end if query.end is not None else now
    return any(a <= end and (b if state in DRAWN else a) >= begin for a, b, state, _ in history.spans(i, run.seq, now))


def _place(cursor: str, order: StepOrder) -> tuple[int, int]:
    word, *numbers = cursor.split("-")
    if word != order or len(numbers) != 2 or not all(one.isascii() and one.isdigit() for one in numbers):
        raise UsageError(f"this cursor is of no page in the order {order!r}", hint="Start again without a cursor.")
    return int(numbers[0]), int(numbers[1])


def _suggestion(plan: Plan, servers: list[str], find: str) -> str:
    near = close_matches(find, list(dict.fromkeys(_names(plan, servers)))[:COMPARED], n=1)
    return near[0] if near else ""


def _names(plan: Plan, servers: list[str]) -> Iterator[str]:
    yield from (op.id for op in plan.operations)
    yield from (step.id.rpartition("/")[2] for step in plan.steps)
    yield from servers
