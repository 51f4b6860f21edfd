"""What a fault means for its step, and a failure for the rest of the run. Pure."""

from __future__ import annotations

from msgspec.structs import replace

from batchwright.engine.manual_resolution import asks
from batchwright.engine.placement_fallback import first_place, moved, next_place
from batchwright.engine.policy import POLICIES, asked_pause, backoff, may_retry
from batchwright.model import events as ev
from batchwright.model.fault import Fault, FaultClass
from batchwright.model.plan import PlannedOperation
from batchwright.model.run import Run
from batchwright.model.workflow import OnFailure


def refused(run: Run, i: int, fault: Fault, now: float, *, doubt: bool = False) -> list[ev.AnyEvent]:
    """What follows when a call was refused for certain: the step moves to its next place, if it has one."""
    place = next_place(run, i, fault)
    if place is None:
        return faulted(run, i, fault, now, doubt=doubt)
    return [moved(run, i, place, fault, ev.MoveReason.REFUSED, now), *_lane_stopped(run, i, fault, now)]


def faulted(
    run: Run,
    i: int,
    fault: Fault,
    now: float,
    *,
    counted: bool = True,
    replaces: bool = False,
    doubt: bool = False,
    twin: ev.Twin | None = None,
) -> list[ev.AnyEvent]:
    """What follows from a fault of a step that stays where it is: another attempt, or its failure.

    After its last place refused it, a step begins again with the first one that is open.
    """
    step, record, operation = run.steps[i], run.records[i], run.plan.operations[run.step_operation[i]]
    first = None if replaces or doubt else first_place(run, i, fault)
    # where another place is open, a limit of the account is like a place without room
    judged = replace(fault, kind=FaultClass.CAPACITY) if first is not None else fault
    policy = POLICIES[judged.kind]
    if ask := asks(run, i, fault):
        fault = replace(fault, hint=ask)
    again = may_retry(judged, operation.retry, record.failures, record.throttles)
    if not counted or (again and step.traits.retries and not ask):
        counted = counted and policy.counted
        delay = backoff(operation.retry, record.failures, run.token(i), policy) if counted else 0.0
        until = now + max(delay, asked_pause(fault.retry_after))
        events: list[ev.AnyEvent] = [
            ev.StepRetrying(now, step.id, record.attempt, until, fault, counted, replaces, doubt)
        ]
        if first is None:
            return events
        if first != record.place:
            events.append(moved(run, i, first, fault, ev.MoveReason.AGAIN, now))
        return [*events, *_lane_stopped(run, i, fault, now)]
    stale = twin is not None and step.traits.sweeps
    events = [ev.StepFailed(now, step.id, record.attempt, fault, doubt, twin, stale)]
    events += _lane_stopped(run, i, fault, now)
    if operation.min_success:
        return events  # what follows is decided when the operation cannot succeed any more
    return [*events, *stops(run, operation, step.id, now)]


def _lane_stopped(run: Run, i: int, fault: Fault, now: float) -> list[ev.AnyEvent]:
    """The event that says that nothing more can be created in the step's lane, if the fault says so."""
    lane = run.lane(i)
    stopped = run.steps[i].traits.stops_lane and POLICIES[fault.kind].stops_lane and lane not in run.stopped_lanes
    return [ev.ProviderStopped(now, lane, fault)] if stopped else []


def stops(run: Run, operation: PlannedOperation, step: str, now: float) -> list[ev.AnyEvent]:
    """The event that stops the run because of this step; none if it goes on, or was stopped as far already."""
    back = operation.on_failure is OnFailure.ROLLBACK
    if operation.on_failure is OnFailure.CONTINUE or (run.stopping and back <= run.rollback_after_stop):
        return []
    return [ev.RunStopping(now, step, back)]
