"""Says in words why steps do not run yet, with the same words for a whole run and for one step."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from enum import StrEnum

from msgspec import Struct

from batchwright.model.fault import Fault, FaultClass
from batchwright.model.lifecycle import STEP_ENDED, STEP_IN_FLIGHT, RunState, StepState
from batchwright.model.plan import PlannedOperation
from batchwright.model.run import Run
from batchwright.views.plan_index import PlanIndex
from batchwright.views.text_format import duration, one_line, some

OPEN = (StepState.WAITING, StepState.STARTED, StepState.CREATED, StepState.RETRYING, StepState.ASKING)
LIVE = frozenset({RunState.PENDING, RunState.RUNNING, RunState.PAUSED})


class WaitCode(StrEnum):
    """The kind of thing a step waits for."""

    OPERATION = "operation"  # an operation that it depends on
    SERVER = "server"  # an earlier step on its server
    WAVE = "wave"  # the wave before
    LIMIT = "limit"  # a limit of the run or of its account
    RETRY = "retry"  # the next attempt
    DRIVER = "driver"  # no process drives the run
    PERSON = "person"  # the run is paused
    APPROVAL = "approval"  # an answer to a question
    TWIN = "twin"  # the certainty that nobody else created a server of its name
    ENDING = "ending"  # it will not start: the run is being cancelled or stopped


class WaitingSteps(Struct, frozen=True):
    """How many steps wait for one reason: its code, and its words for people."""

    reason: str
    steps: int
    code: WaitCode = WaitCode.LIMIT


Reason = tuple[WaitCode, str]  # the code, and the words for people
Tally = dict[Reason, int]  # reason -> number of steps


class Circumstances(Struct, frozen=True):
    """Facts that are not in the journal: whether a process drives the run now, why the next call of each lane waits,
    and for each provider that does not answer, since when and why.
    """

    driven: bool = True
    lanes: Mapping[str, str] = {}
    unheard: Mapping[str, str] = {}


def ended_operations(run: Run, shape: PlanIndex) -> list[bool]:
    """For each operation, whether it has ended: all of its steps, and every operation it depends on."""
    ended: list[bool] = []
    for counts, before in zip(run.counts, shape.before, strict=True):
        ended.append(all(ended[op] for op in before) and not any(counts.get(state) for state in OPEN))
    return ended


def operations_waited_for(run: Run, shape: PlanIndex, ended: list[bool], op: int) -> list[str]:
    """The direct dependencies of an operation that have not ended, with their progress."""
    return [
        f"{run.plan.operations[other].id} ({_succeeded(run, other):,} of {len(shape.steps[other]):,} done)"
        for other in shape.before[op]
        if not ended[other]
    ]


def _succeeded(run: Run, op: int) -> int:
    return run.counts[op].get(StepState.SUCCEEDED, 0)


def waiting_reasons(
    run: Run, shape: PlanIndex, ended: list[bool], around: Circumstances, now: float
) -> list[WaitingSteps]:
    """The steps of a live run that could still run but do not, grouped by reason, retries first."""
    tally: Tally = {}
    if run.status is RunState.ROLLING_BACK:
        _add_retries(run, shape, around, now, tally, StepState.UNDO_RETRYING)
    if run.status not in LIVE:
        return as_list(tally)
    _add_retries(run, shape, around, now, tally, StepState.RETRYING)
    _add_unclear(run, around, now, tally)
    for i in run.asking:
        if not run.plan.steps[i].traits.counted:
            continue  # the steps of its wave wait
        _add(tally, (WaitCode.APPROVAL, f"waits for {approval_reason(run, i, now)}"), 1)
    moved: dict[int, list[str]] = {}
    for i in run.moved:
        if run.records[i].state is StepState.WAITING:
            moved.setdefault(run.step_operation[i], []).append(run.lane(i))
    for op, counts in enumerate(run.counts):
        count = counts.get(StepState.WAITING, 0)
        if not count:
            continue
        blockers = operations_waited_for(run, shape, ended, op)
        if blockers:
            _add(tally, (WaitCode.OPERATION, "waits for operation " + some(blockers, 2)), count)
            continue
        for reason, held in _held_by_needs(run, shape, op, now).items() if shape.has_needs[op] else ():
            _add(tally, reason, held)
            count -= held
        operation, elsewhere = run.plan.operations[op], Counter(moved.get(op, ()))
        for lane, number in elsewhere.items():
            _add(tally, place_reason(run, operation, lane, around), number)
        _add(tally, place_reason(run, operation, operation.lane, around), count - elsewhere.total())
    return as_list(tally)


def as_list(tally: Tally) -> list[WaitingSteps]:
    """The tally as a list: one entry per reason."""
    return [WaitingSteps(words, steps, code) for (code, words), steps in tally.items() if steps > 0]


def approval_reason(run: Run, i: int, now: float) -> str:
    """What a step that asks waits for."""
    hold, asked = run.plan.steps[i].hold, run.holds[run.plan.steps[i].id]
    assert hold is not None
    given = f", {len(asked.answers)} of {hold.quorum} given" if hold.quorum > 1 else ""
    until = f", open for another {duration(asked.until - now)}" if asked.until else ""
    return f"approval{given}{until}"


def undo_reason(run: Run, lane: str, around: Circumstances) -> Reason:
    """Why a step that has to be undone is not being undone."""
    return _next_in_lane(run, lane, around) or (WaitCode.LIMIT, "waits for its turn")


def _next_in_lane(run: Run, lane: str, around: Circumstances) -> Reason | None:
    """What is known to hold up the next step of a lane, if anything."""
    if not around.driven:
        return WaitCode.DRIVER, "no process drives the run"
    if len(run.in_flight) >= run.plan.parallel_limit:
        return WaitCode.LIMIT, f"waits for a free slot: parallel_limit {run.plan.parallel_limit} is reached"
    held = around.lanes.get(lane)
    return (WaitCode.LIMIT, f"waits for {lane}: {held}") if held else None


def _add(tally: Tally, reason: Reason, steps: int) -> None:
    tally[reason] = tally.get(reason, 0) + steps


def _held_by_needs(run: Run, shape: PlanIndex, op: int, now: float) -> Tally:
    tally: Tally = {}
    for i in shape.steps[op]:
        if run.records[i].state is StepState.WAITING and (reason := _reason_of_needs(run, i, now)):
            _add(tally, reason, 1)
    return tally


def _reason_of_needs(run: Run, i: int, now: float) -> Reason | None:
    """Which of the steps that it needs holds a step up, if one does: the gate of its wave, or one on its server."""
    needed = open_needs(run, i)
    gate = next((run.step(step) for step in needed if run.plan.steps[run.step(step)].traits.holds), None)
    if gate is not None:
        return gate_reason(run, gate, now)
    return (WaitCode.SERVER, "waits for an earlier step on its server") if needed else None


def gate_reason(run: Run, gate: int, now: float) -> Reason:
    """Why a wave has not begun: people are asked, or the wave before has not ended."""
    step = run.plan.steps[gate]
    if run.records[gate].state is StepState.ASKING:
        return (
            WaitCode.APPROVAL,
            f"waits for {approval_reason(run, gate, now)} to begin wave {step.wave} of {step.operation}",
        )
    return WaitCode.WAVE, f"waits for wave {step.wave - 1} of {step.operation} to end"


def open_needs(run: Run, i: int) -> list[str]:
    """The steps that this step still waits for, of its own operation and of those it depends on per server."""
    return [need.step for need in run.plan.steps[i].needs if run.record(need.step).state not in STEP_ENDED]


def place_reason(run: Run, operation: PlannedOperation, lane: str, around: Circumstances) -> Reason:
    """Why a step with no open dependency has not started."""
    if run.cancelling:
        return WaitCode.ENDING, "will not start: the run is being cancelled"
    if run.stopping:
        return WaitCode.ENDING, f"will not start: step {run.stopping} failed"
    if run.status is RunState.PAUSED:
        return WaitCode.PERSON, "paused"
    limit = operation.parallel_limit
    counts = run.counts[run.operation_index[operation.id]]
    if limit and sum(counts.get(state, 0) for state in STEP_IN_FLIGHT) >= limit:
        return WaitCode.LIMIT, f"waits for a free slot: parallel_limit {limit} of {operation.id} is reached"
    return _next_in_lane(run, lane, around) or (WaitCode.LIMIT, f"starts as soon as the limits of {lane} allow")


def unclear_seconds(run: Run, i: int, now: float) -> float:
    """For how long at least a server that was created is not used yet, since another run may have created its twin."""
    record = run.records[i]
    if record.state is not StepState.CREATED or not (visible := run.plan.clear_seconds(run.steps[i])):
        return 0.0
    return max(0.0, max(record.known_at, run.driven_at) + visible - now)


def twin_reason(what: str, seconds: float) -> str:
    """Why a server that was created is not used yet."""
    return f"making sure that nobody else created {what}, {duration(seconds)}"


def _add_unclear(run: Run, around: Circumstances, now: float, tally: Tally) -> None:
    """Servers that have had the time to become ready."""
    left = {
        i: seconds
        for i in run.in_flight
        if now - run.records[i].known_at >= run.steps[i].seconds and (seconds := unclear_seconds(run, i, now))
    }
    if left and around.driven:
        names = [run.steps[i].request.name for i in left]
        _add(tally, (WaitCode.TWIN, twin_reason(some(names, 2), max(left.values()))), len(left))


def _add_retries(run: Run, shape: PlanIndex, around: Circumstances, now: float, tally: Tally, state: StepState) -> None:
    soonest: dict[FaultClass, tuple[float, Fault]] = {}
    counts: dict[FaultClass, int] = {}
    for op, by_state in enumerate(run.counts):
        left = by_state.get(state, 0)
        for i in shape.steps[op] if left else ():
            record = run.records[i]
            if record.state is not state:
                continue
            assert record.fault is not None  # a retry always has a cause
            kind = record.fault.kind
            counts[kind] = counts.get(kind, 0) + 1
            if kind not in soonest or record.until < soonest[kind][0]:
                soonest[kind] = (record.until, record.fault)
            left -= 1
            if not left:
                break
    for kind, (until, fault) in soonest.items():
        _add(tally, (WaitCode.RETRY, retry_reason(run, until, fault, around, now)), counts[kind])


def retry_reason(run: Run, until: float, fault: Fault, around: Circumstances, now: float) -> str:
    """Why a step that backs off is not retried yet."""
    halted = run.status is not RunState.ROLLING_BACK and (run.cancelling or run.stopping)
    if run.status is RunState.PAUSED or halted or not around.driven:
        return f"retry held up: {fault.kind}: {one_line(fault.message)}"
    if until <= now:
        return f"waits for a free slot to try again, after {fault.kind}: {one_line(fault.message)}"
    return f"retry in {duration(until - now)}: {fault.kind}: {one_line(fault.message)}"
