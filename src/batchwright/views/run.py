"""A run as people see it: its progress, what runs, what waits and why, what failed, and what to do next."""

from __future__ import annotations

from collections import Counter
from itertools import islice

from msgspec import Struct

from batchwright.model.environment import EnvironmentKey
from batchwright.model.lifecycle import RUN_ENDED, RunState, StepState
from batchwright.model.operation_end import OperationEnd, operation_end
from batchwright.model.plan import PlannedOperation
from batchwright.model.run import Run, made_something
from batchwright.model.run_provenance import RunInputs
from batchwright.model.workflow import DependencyKind
from batchwright.views.approvals import OpenQuestion, open_questions
from batchwright.views.eta import remaining_seconds
from batchwright.views.next_action import next_action
from batchwright.views.plan_index import PlanIndex, plan_index
from batchwright.views.planned_waves import wave_now
from batchwright.views.steps import (
    ROLLBACK,
    FailedStep,
    ServerLine,
    StepLine,
    StepsByReason,
    failed_state,
    failed_steps,
    indices_in,
    number_in,
    servers,
    step_line,
    steps_by_reason,
)
from batchwright.views.wait_reasons import (
    Circumstances,
    Tally,
    WaitingSteps,
    as_list,
    ended_operations,
    undo_reason,
    waiting_reasons,
)

S = StepState
_UNDO_STATES = (S.UNDOING, S.UNDO_RETRYING, S.UNDONE, S.UNDO_FAILED)


class OperationProgress(Struct, frozen=True):
    """One operation. In a rollback `done` of `total` counts the steps that are undone.

    `despite` are soft dependencies that ended without success; `waiting_for` are dependencies that have not ended.
    `wave` is the wave that it is in, of `waves`; both are 0 if it has none.
    """

    id: str
    type: str
    provider: str
    state: str
    done: int
    total: int
    counts: dict[str, int]
    despite: tuple[str, ...] = ()
    waiting_for: tuple[str, ...] = ()
    wave: int = 0
    waves: int = 0


class ProviderProgress(Struct, frozen=True):
    """One provider: n of m steps, counts of its troubles, and, if known, why its calls wait or it cannot be reached."""

    name: str
    done: int
    total: int
    failed: int
    retries: int
    throttles: int
    limit: str = ""


class RunView(Struct, frozen=True):
    """A whole run. Times are seconds since the epoch, 0 if it has not happened; `elapsed` and `eta` are seconds.

    `driven` says whether a process drives the run now. Lists are bounded; `..._more` says how many entries are left
    out.
    """

    run: str
    workflow: str
    version: str
    status: RunState
    reason: str
    driven: bool
    store: str
    simulated: bool
    created_at: float
    started_at: float
    ended_at: float
    updated_at: float
    elapsed: float
    eta: float | None
    parallel_limit: int
    done: int
    total: int
    counts: dict[str, int]
    operations: tuple[OperationProgress, ...]
    providers: tuple[ProviderProgress, ...]
    running: tuple[StepLine, ...]
    running_more: int
    waiting: tuple[WaitingSteps, ...]
    failed: tuple[FailedStep, ...]
    failed_more: int
    skipped: tuple[StepsByReason, ...]
    doubts: tuple[str, ...]
    doubts_more: int
    servers: tuple[ServerLine, ...]
    servers_more: int
    stopped_providers: dict[str, str]
    retries: int
    throttles: int
    restarts: int
    strays_found: int
    residue: tuple[str, ...]
    cancelling: str
    next: str
    rolled_back_by: str = ""
    rolled_back_automatically: bool = False
    environment: str = ""
    degraded: tuple[str, ...] = ()  # operations that succeeded although some of their steps did not
    inputs: RunInputs | None = None  # what it was planned from; None for runs older than this
    not_wanted: tuple[StepsByReason, ...] = ()
    asks: tuple[OpenQuestion, ...] = ()  # what people are asked now


class ViewBounds(Struct, frozen=True):
    """How many entries each list of a view has at most."""

    running: int = 20
    failed: int = 20
    doubts: int = 20
    servers: int = 50


LIVE = ViewBounds(running=20, failed=20, doubts=1, servers=0)  # for a picture that is redrawn often


def run_view(
    run: Run,
    now: float,
    *,
    around: Circumstances | None = None,
    store: str = "",
    shape: PlanIndex | None = None,
    bounds: ViewBounds | None = None,
) -> RunView:
    """The view of a run at `now`. `shape` is `plan_index(run.plan)`: pass it if the same run is drawn often."""
    around = around or Circumstances()
    shape = shape or plan_index(run.plan)
    bounds = bounds or ViewBounds()
    ended = ended_operations(run, shape)
    operations = operation_progress(run, shape, ended)
    flying = list(islice(run.in_flight, bounds.running))
    failed = failed_steps(run, bounds.failed)
    doubts = _doubts(run)
    exist, exist_more = servers(run, bounds.servers) if bounds.servers else ((), 0)
    return RunView(
        run=run.id,
        workflow=run.plan.workflow,
        version=run.plan.version,
        status=run.status,
        reason=run.reason,
        driven=around.driven and run.status not in RUN_ENDED,
        store=store or run.plan.storage_backend,
        simulated=run.plan.simulation is not None,
        created_at=run.created_at,
        started_at=run.started_at,
        ended_at=run.ended_at,
        updated_at=run.updated_at,
        elapsed=_elapsed(run, now, around.driven),
        eta=remaining_seconds(run, shape, now) if around.driven else None,
        parallel_limit=run.plan.parallel_limit,
        done=sum(op.done for op in operations),
        total=sum(op.total for op in operations),
        counts={state.value: count for state in S if (count := run.count(state))},
        operations=operations,
        providers=_providers(run, operations, around),
        running=tuple(step_line(run, i, now) for i in flying),
        running_more=len(run.in_flight) - len(flying),
        waiting=(*waiting_reasons(run, shape, ended, around, now), *_still_to_undo(run, operations, around)),
        failed=failed,
        failed_more=number_in(run, failed_state(run)) - len(failed),
        skipped=() if run.status in ROLLBACK else steps_by_reason(run, S.SKIPPED),
        not_wanted=() if run.status in ROLLBACK else steps_by_reason(run, S.NOT_WANTED),
        doubts=tuple(run.plan.steps[i].id for i in doubts[: bounds.doubts]),
        doubts_more=max(0, len(doubts) - bounds.doubts),
        servers=exist,
        servers_more=exist_more,
        stopped_providers={lane: fault.message for lane, fault in run.stopped_lanes.items()},
        retries=run.retries,
        throttles=run.throttles,
        restarts=run.restarts,
        strays_found=run.strays_found,
        residue=run.residue,
        cancelling=run.cancelling,
        next=next_action(run, driven=around.driven),
        rolled_back_by=run.rolled_back_by,
        rolled_back_automatically=run.rolled_back_automatically,
        environment=EnvironmentKey.of(run.plan).name,
        degraded=run.degraded if run.status not in ROLLBACK else (),
        inputs=run.created.inputs and run.created.inputs.bounded(),
        asks=open_questions(run),
    )


def _elapsed(run: Run, now: float, driven: bool) -> float:
    if not run.started_at:
        return 0.0
    end = run.ended_at if run.status in RUN_ENDED else (now if driven else run.updated_at)
    return max(0.0, end - run.started_at)


def _doubts(run: Run) -> list[int]:
    """Steps in doubt that are in flight, failed in doubt, or wait for a retry in doubt."""
    doubts = [i for i in run.in_flight if run.records[i].doubt]
    if run.count(S.FAILED, S.RETRYING, S.UNDO_FAILED):
        resting = indices_in(run, (S.FAILED, S.RETRYING, S.UNDO_FAILED), len(run.records))
        doubts += [i for i in resting if run.records[i].doubt]
    return doubts


# -- operations and providers ---------------------------------------------------------------------------------------


def operation_progress(run: Run, shape: PlanIndex, ended: list[bool]) -> tuple[OperationProgress, ...]:
    """How far each operation has got; `ended` is what `ended_operations` gives."""
    backward, at = run.status in ROLLBACK, _moved_to(run, shape)
    rows = []
    for i, op in enumerate(run.plan.operations):
        counts = {state.value: count for state, count in run.counts[i].items() if count}
        if backward:
            done, total = run.counts[i].get(S.UNDONE, 0), _to_undo(run, shape, i)
            state = _backward_word(run, i, done, total)
        else:
            done, total = run.counts[i].get(S.SUCCEEDED, 0), _wanted(run, i)
            state = _forward_word(run, shape, ended, i)
        waiting_for = () if ended[i] else tuple(run.plan.operations[o].id for o in shape.before[i] if not ended[o])
        names = (op.id, op.type, ", ".join(at.get(i, (op.provider,))))
        rows.append(
            OperationProgress(*names, state, done, total, counts, _despite(run, op), waiting_for, *wave_now(run, i))
        )
    return tuple(rows)


def _moved_to(run: Run, shape: PlanIndex) -> dict[int, tuple[str, ...]]:
    """The providers at which the steps of an operation are, for those of which a server moved."""
    moved = {run.step_operation[i] for i in run.moved}
    return {op: tuple(dict.fromkeys(run.steps[i].provider for i in shape.steps[op])) for op in moved}


def _wanted(run: Run, op: int) -> int:
    return sum(run.counts[op].values()) - run.counts[op].get(S.NOT_WANTED, 0)


def _to_undo(run: Run, shape: PlanIndex, op: int) -> int:
    counts = run.counts[op]
    undo = sum(counts.get(state, 0) for state in _UNDO_STATES)
    if undo == len(shape.steps[op]):
        return undo
    rest = (S.STARTED, S.CREATED, S.SUCCEEDED, S.FAILED, S.RETRYING, S.WAITING, S.SKIPPED)
    return undo + sum(run.records[i].state in rest and made_something(run, i) for i in shape.steps[op])


def _still_to_undo(
    run: Run, operations: tuple[OperationProgress, ...], around: Circumstances
) -> tuple[WaitingSteps, ...]:
    if run.status is not RunState.ROLLING_BACK:
        return ()
    tally: Tally = {}
    for op, row, counts in zip(run.plan.operations, operations, run.counts, strict=True):
        begun = sum(counts.get(state, 0) for state in (S.UNDOING, S.UNDO_RETRYING, S.UNDO_FAILED))
        reason = undo_reason(run, op.lane, around)
        tally[reason] = tally.get(reason, 0) + row.total - row.done - begun
    return tuple(as_list(tally))


def _forward_word(run: Run, shape: PlanIndex, ended: list[bool], op: int) -> str:
    counts = run.counts[op]
    if counts.get(S.STARTED) or counts.get(S.CREATED):
        return "running"
    if any(run.step_operation[i] == op for i in run.asking):
        return "asks"
    if ended[op] and (end := operation_end(run, op)) is not None:
        if end is OperationEnd.SKIPPED and counts[S.SKIPPED] < _wanted(run, op):
            return "partly skipped"
        return "done" if end is OperationEnd.SUCCEEDED else end.replace("_", " ")
    if counts.get(S.RETRYING):
        return "retrying"
    if run.status in RUN_ENDED:
        return "not started" if counts.get(S.WAITING) == len(shape.steps[op]) else "not finished"
    return "waiting"


def _backward_word(run: Run, op: int, done: int, total: int) -> str:
    counts = run.counts[op]
    if counts.get(S.UNDOING):
        return "undoing"
    if counts.get(S.UNDO_FAILED):
        return "not undone"
    if counts.get(S.UNDO_RETRYING):
        return "retrying undo"
    if done == total:
        return "undone" if total else "nothing to undo"
    return "to undo"


def _despite(run: Run, op: PlannedOperation) -> tuple[str, ...]:
    soft = (edge.id for edge in op.dependencies if edge.kind is DependencyKind.SOFT)
    bad = (OperationEnd.FAILED, OperationEnd.SKIPPED)
    return tuple(name for name in soft if operation_end(run, run.operation_index[name]) in bad)


def _providers(
    run: Run, operations: tuple[OperationProgress, ...], around: Circumstances
) -> tuple[ProviderProgress, ...]:
    rows: dict[str, Counter[str]] = {}
    bad = failed_state(run)
    for planned, op in zip(run.plan.operations, operations, strict=True):
        if planned.provider:
            row = rows.setdefault(planned.provider, Counter())
            row.update(done=op.done, total=op.total, failed=op.counts.get(bad.value, 0))
    for i in run.moved:
        rows[run.plan.steps[i].provider].subtract(_counted_at_provider(run, i))
        rows.setdefault(run.steps[i].provider, Counter()).update(_counted_at_provider(run, i))
    return tuple(
        ProviderProgress(
            name=name,
            done=row["done"],
            total=row["total"],
            failed=row["failed"],
            retries=run.provider_retries.get(name, 0),
            throttles=run.provider_throttles.get(name, 0),
            limit=around.unheard.get(name) or around.lanes.get(name, ""),
        )
        for name, row in rows.items()
    )


def _counted_at_provider(run: Run, i: int) -> dict[str, int]:
    """What a step adds to the progress of the provider that it is at."""
    state, backward = run.records[i].state, run.status in ROLLBACK
    total = state in _UNDO_STATES or made_something(run, i) if backward else state is not S.NOT_WANTED
    done = state is (S.UNDONE if backward else S.SUCCEEDED)
    return {"done": int(done), "total": int(total), "failed": int(state is failed_state(run))}
