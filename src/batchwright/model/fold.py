"""The one fold: what each event changes in a RunFoldState, one function per event.

It decides nothing and never reads a clock. The state of a step changes only through model/lifecycle.py.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from batchwright.errors import IllegalTransition
from batchwright.model import events as ev
from batchwright.model.actions import Doubt
from batchwright.model.fault import FaultClass
from batchwright.model.gate_fold import HOLDS
from batchwright.model.lifecycle import (
    CancelMode,
    RunState,
    StepState,
    next_run_state,
    next_step_state,
)
from batchwright.model.run_fold_state import RunFoldState, StepFoldState
from batchwright.model.step_transition import move
from batchwright.model.sweep_fold import SWEEPS


def _run_created(_run: RunFoldState, _event: ev.RunCreated) -> None:
    raise IllegalTransition("run_created must be the first event of a journal and may occur only once")


def _driver_started(run: RunFoldState, event: ev.DriverStarted) -> None:
    run.driver = event.driver
    run.driven_at = event.at
    run.clock_ahead = event.clock_ahead
    run.restarts += not event.rested and run.status in (RunState.RUNNING, RunState.PAUSED, RunState.ROLLING_BACK)
    _lose_sight(run, event.at)


def _lose_sight(run: RunFoldState, at: float) -> None:
    """The process that sent the open calls will not see their answers."""
    for i in run.in_flight:
        record = run.records[i]
        if record.state is StepState.STARTED and run.plan.steps[i].doubt is not Doubt.NONE:
            _doubt(run, i, record, at)
            record.crashed = True


def _doubt(run: RunFoldState, i: int, record: StepFoldState, at: float) -> None:
    record.doubt = True
    record.doubt_at = at
    record.turn = run.turn
    if run.plan.steps[i].traits.sweeps:
        run.doubtful[run.lane(i)] = at


def _run_started(run: RunFoldState, event: ev.RunStarted) -> None:
    run.status = next_run_state(run.status, "run_started")
    run.started_at = event.at


def _run_paused(run: RunFoldState, _event: ev.RunPaused) -> None:
    run.status = next_run_state(run.status, "run_paused")


def _run_resumed(run: RunFoldState, _event: ev.RunResumed) -> None:
    run.status = next_run_state(run.status, "run_resumed")


def _cancel_requested(run: RunFoldState, event: ev.CancelRequested) -> None:
    run.cancelling = CancelMode.FORCE if event.force else CancelMode.GRACEFUL


def _run_stopping(run: RunFoldState, event: ev.RunStopping) -> None:
    run.stopping = event.step
    run.rollback_after_stop = event.rollback


def _provider_stopped(run: RunFoldState, event: ev.ProviderStopped) -> None:
    run.stopped_lanes[event.lane] = event.fault


def _run_ended(run: RunFoldState, event: ev.RunEnded) -> None:
    run.status = next_run_state(run.status, f"run_{event.status.value.lower()}")
    run.ended_at = event.at
    run.reason = event.reason
    _lose_sight(run, event.at)  # only a forced cancel leaves anything in flight


def _run_reopened(run: RunFoldState, event: ev.RunReopened) -> None:
    status = next_run_state(run.status, "run_reopened")
    for step in event.skip:
        next_step_state(run.records[run.step(step)].state, "taken_as_done", step)
    run.status = status
    run.turn = event.turn or run.turn
    run.continued_by = event.principal
    run.started_at = run.started_at or event.at
    run.ended_at = 0.0
    run.reason = run.stopping = ""
    run.cancelling = CancelMode.NO
    run.rollback_after_stop = False
    run.stopped_lanes.clear()
    run.failed_operations.clear()
    _forget_sweeps(run)
    for step in event.skip:
        _take_as_done(run, step, event)
    done = (op.id for op, one in zip(run.plan.operations, run.counts, strict=True) if one.get(StepState.SUCCEEDED))
    run.opened.intersection_update(done)  # the others take what joined meanwhile
    for i, record in enumerate(run.records):
        if (before := record.state) in _REOPENED:
            move(run, run.plan.steps[i].id, "run_reopened")
            record.failures = record.throttles = 0
            record.until = record.ended_at = 0.0
            record.reason = record.because = ""
            if record.place and before in _FROM_THE_FIRST_PLACE and not (record.ref or record.doubt or record.stale):
                _move(run, i, record, 0)
            if record.ref and not record.made and run.plan.steps[i].traits.replaces:
                _replace(record)
                record.turn = run.turn


_REOPENED = frozenset({StepState.FAILED, StepState.SKIPPED, StepState.RETRYING, StepState.ASKING, StepState.NOT_WANTED})

_FROM_THE_FIRST_PLACE = frozenset({StepState.FAILED, StepState.SKIPPED})


def _take_as_done(run: RunFoldState, step: str, event: ev.RunReopened) -> None:
    _, record = _change(run, step, "taken_as_done")
    record.made_turn = run.turn
    record.made, record.doubt, record.fault = True, False, None
    record.reason = f"marked as done by {event.by}" if event.by else "marked as done"
    record.outputs = event.outputs.get(step, {})
    record.ended_at = event.at


def _forget_sweeps(run: RunFoldState) -> None:
    run.swept.clear()
    run.sweep_faults.clear()


def _rollback_started(run: RunFoldState, event: ev.RollbackStarted) -> None:
    run.status = next_run_state(run.status, "rollback_started")
    run.turn = event.turn or run.turn
    run.rolled_back_by = event.by
    run.rolled_back_automatically = event.by == "on_failure" if event.automatic is None else event.automatic
    run.ended_at = 0.0
    run.reason = event.reason
    run.residue = ()
    run.strays_found = 0
    _forget_sweeps(run)
    for record in run.records:
        record.undo_failures = record.throttles = 0


def _rollback_ended(run: RunFoldState, event: ev.RollbackEnded) -> None:
    clean = event.status is RunState.ROLLED_BACK
    run.status = next_run_state(run.status, "rollback_completed" if clean else "rollback_left_residue")
    run.ended_at = event.at
    run.residue = event.residue


def _change(run: RunFoldState, step: str, event: str) -> tuple[int, StepFoldState]:
    """Move a step by an event that changes something in the environment."""
    i, record = move(run, step, event)
    record.turn = run.turn
    return i, record


def _operation_opened(run: RunFoldState, event: ev.OperationOpened) -> None:
    run.values[event.operation] = event.values
    run.opened.add(event.operation)


def _step_started(run: RunFoldState, event: ev.StepStarted) -> int:
    i, record = _change(run, event.step, "step_started")
    record.attempt = event.attempt
    record.started_at = record.started_at or event.at
    record.attempt_at = event.at
    record.fault = None
    record.crashed = False
    record.said = ""
    if run.plan.steps[i].traits.sweeps:
        lane = run.lane(i)
        run.sent_lanes[lane] = min(i, run.sent_lanes.get(lane, i))
    return i


def _step_in_doubt(run: RunFoldState, event: ev.StepInDoubt) -> int:
    i, record = _change(run, event.step, "step_in_doubt")
    _doubt(run, i, record, event.at)
    return i


def _step_output(run: RunFoldState, event: ev.StepOutput) -> int:
    i = run.step(event.step)
    if event.lines:
        run.records[i].said = event.lines[-1]
    return i


def _step_created(run: RunFoldState, event: ev.StepCreated) -> int:
    i, record = _change(run, event.step, "step_created")
    record.ref = event.ref
    record.known_at = event.at
    record.stale = ""
    record.doubt = False
    return i


def _step_succeeded(run: RunFoldState, event: ev.StepSucceeded) -> int:
    i, record = _change(run, event.step, "step_succeeded")
    record.host_keys = event.host_keys
    record.ref, record.stale = event.ref or record.ref, ""
    record.address = event.address
    record.answer, record.outputs = event.answer, event.outputs
    record.made, record.made_turn = event.made, run.turn
    record.doubt, record.fault = False, None
    record.ended_at = event.at
    return i


def _step_retrying(run: RunFoldState, event: ev.StepRetrying) -> int:
    i, record = _change(run, event.step, "step_retrying")
    record.until, record.fault, record.doubt = event.until, event.fault, event.doubt
    if event.counted:
        record.failures += 1
        _count_retry(run, i)
    elif event.fault.kind is FaultClass.THROTTLE:
        _count_throttle(run, i, record)
    if event.replace:
        _replace(record)
    return i


def _step_moved(run: RunFoldState, event: ev.StepMoved) -> int:
    at_once = event.reason is ev.MoveReason.REFUSED
    i, record = move(run, event.step, "step_moved")
    record.fault = event.fault
    record.until = event.at if at_once else record.until
    _move(run, i, record, event.place)
    return i


def _move(run: RunFoldState, i: int, record: StepFoldState, place: int) -> None:
    """The next create call is sent to another place, where it gets a token of its own."""
    record.generation += 1
    run.put(i, place)


def _count_retry(run: RunFoldState, i: int) -> None:
    provider = run.steps[i].provider
    run.retries += 1
    run.provider_retries[provider] = run.provider_retries.get(provider, 0) + 1


def _count_throttle(run: RunFoldState, i: int, record: StepFoldState) -> None:
    provider = run.steps[i].provider
    record.throttles += 1
    run.throttles += 1
    run.provider_throttles[provider] = run.provider_throttles.get(provider, 0) + 1


def _step_failed(run: RunFoldState, event: ev.StepFailed) -> int:
    i, record = _change(run, event.step, "step_failed")
    record.fault = event.fault
    record.doubt = event.doubt
    record.ended_at = event.at
    if event.stale:
        _replace(record)
    return i


def _replace(record: StepFoldState) -> None:
    """Its server is unusable and is to be destroyed; the next one gets a token of its own."""
    record.stale, record.ref = record.ref, ""
    record.generation += 1


def _step_skipped(run: RunFoldState, event: ev.StepSkipped) -> int:
    i, record = move(run, event.step, "step_skipped")
    record.reason = event.reason
    record.because = event.because
    record.ended_at = event.at
    return i


def _step_not_wanted(run: RunFoldState, event: ev.StepNotWanted) -> int:
    i, record = move(run, event.step, "step_not_wanted")
    record.reason = event.reason
    record.because = event.because
    record.ended_at = event.at
    return i


def _operation_failed(run: RunFoldState, event: ev.OperationFailed) -> None:
    run.failed_operations[event.operation] = event.because


def _undo_started(run: RunFoldState, event: ev.UndoStarted) -> int:
    i, record = _change(run, event.step, "undo_started")
    record.undo_attempt = event.attempt
    record.attempt_at = event.at
    return i


def _undo_retrying(run: RunFoldState, event: ev.UndoRetrying) -> int:
    i, record = move(run, event.step, "undo_retrying")
    record.until = event.until
    record.fault = event.fault
    if event.fault.kind is FaultClass.THROTTLE:
        _count_throttle(run, i, record)
    else:
        record.undo_failures += 1
        _count_retry(run, i)
    return i


def _step_undone(run: RunFoldState, event: ev.StepUndone) -> int:
    i, record = _change(run, event.step, "step_undone")
    record.doubt = record.made = False
    record.gone = event.gone
    record.address = event.address or record.address
    record.ended_at = event.at
    record.fault = None
    return i


def _undo_failed(run: RunFoldState, event: ev.UndoFailed) -> int:
    i, record = _change(run, event.step, "undo_failed")
    record.undo_failures += 1
    record.fault = event.fault
    record.ended_at = event.at
    return i


APPLY: dict[type[ev.Event], Callable[[RunFoldState, Any], int | None]] = {
    ev.RunCreated: _run_created,
    ev.DriverStarted: _driver_started,
    ev.RunStarted: _run_started,
    ev.RunPaused: _run_paused,
    ev.RunResumed: _run_resumed,
    ev.CancelRequested: _cancel_requested,
    ev.RunStopping: _run_stopping,
    ev.ProviderStopped: _provider_stopped,
    ev.RunEnded: _run_ended,
    ev.RunReopened: _run_reopened,
    ev.RollbackStarted: _rollback_started,
    ev.RollbackEnded: _rollback_ended,
    ev.OperationOpened: _operation_opened,
    ev.StepStarted: _step_started,
    ev.StepInDoubt: _step_in_doubt,
    ev.StepOutput: _step_output,
    ev.StepCreated: _step_created,
    ev.StepSucceeded: _step_succeeded,
    ev.StepRetrying: _step_retrying,
    ev.StepMoved: _step_moved,
    ev.StepFailed: _step_failed,
    ev.StepSkipped: _step_skipped,
    ev.StepNotWanted: _step_not_wanted,
    ev.OperationFailed: _operation_failed,
    **HOLDS,
    ev.UndoStarted: _undo_started,
    ev.UndoRetrying: _undo_retrying,
    ev.StepUndone: _step_undone,
    ev.UndoFailed: _undo_failed,
    **SWEEPS,
}
