"""Events as one line each for people, and as numbered records for programs."""

from __future__ import annotations

from typing import Any

import msgspec

from batchwright.journal.lease_holder import process_of
from batchwright.model import events as ev
from batchwright.model.fault import Fault
from batchwright.model.templates import joined
from batchwright.views.text_format import counted, duration, one_line, some

VALUE_SHOWN, NAMED = 60, 3  # characters of a value, and values of an operation


def event_record(run: str, seq: int, event: ev.AnyEvent) -> dict[str, Any]:
    """The event as the journal holds it, plus its run and number: one line of `events --json`."""
    return {"run": run, "seq": seq, **msgspec.to_builtins(event)}


def numbered_line(began: float, seq: int, event: ev.AnyEvent) -> str:
    """One line of `events`: its number, the time since the run was created at `began`, and what happened."""
    return f"{seq:>7}  {'+' + duration(event.at - began):>12}  {event_line(event)}"


def event_line(event: ev.AnyEvent) -> str:
    """What happened, on one line, without the time."""
    match event:
        case ev.RunCreated():
            plan = event.plan
            size = f"{counted(len(plan.steps), 'step')} in {counted(len(plan.operations), 'operation')}"
            return f"run created{_by(event.by)}: {plan.environment or plan.workflow} {plan.version}, {size}"
        case ev.OperationOpened():
            known = (f"${{{name}}} = {one_line(joined(value), VALUE_SHOWN)}" for name, value in event.values.items())
            return f"{event.operation}: its values are {some(list(known), NAMED)}"
        case ev.DriverStarted():
            return f"driven by {process_of(event.driver)} (fence {event.fence}){_ahead(event.clock_ahead)}"
        case ev.SweepStarted() | ev.OrphanFound() | ev.OrphanRemovalEnded() | ev.SweepEnded():
            return _sweep_line(event)
        case ev.UndoStarted() | ev.UndoRetrying() | ev.StepUndone() | ev.UndoFailed():
            return f"{event.step}: {_undo_line(event)}"
        case (
            ev.StepStarted()
            | ev.StepInDoubt()
            | ev.StepOutput()
            | ev.StepCreated()
            | ev.StepSucceeded()
            | ev.StepRetrying()
            | ev.StepMoved()
            | ev.StepFailed()
            | ev.StepSkipped()
            | ev.StepNotWanted()
            | ev.GatePassed()
            | ev.HoldAsked()
            | ev.HoldAnswered()
            | ev.HoldGranted()
            | ev.HoldPassed()
            | ev.HoldRefused()
            | ev.HoldExpired()
        ):
            return f"{event.step}: {step_text(event)}"
    return _run_line(event)


def _ahead(seconds: float) -> str:
    if not seconds:
        return ""
    return f"; {duration(seconds)} after the last event: nothing happened for so long, or the clock was set forward"


def _run_line(event: ev.AnyEvent) -> str:
    match event:
        case ev.RunStarted():
            return "run started"
        case ev.RunPaused():
            return f"run paused{_by(event.by)}: no new steps are started"
        case ev.RunResumed():
            return f"run resumed{_by(event.by)}"
        case ev.CancelRequested():
            how = "without waiting for calls in flight" if event.force else "calls in flight may finish"
            return f"cancel requested{_by(event.by)}: {how}"
        case ev.RunStopping():
            then = ", then the run is rolled back" if event.rollback else ""
            return f"run is stopping because step {event.step} failed: no new steps are started{then}"
        case ev.ProviderStopped():
            return f"nothing more can be created in {event.lane}: {_fault(event.fault)}"
        case ev.OperationFailed():
            return f"operation {event.operation} cannot succeed any more, because of step {event.because}"
        case ev.RunEnded():
            return f"run {event.status}" + (f": {event.reason}" if event.reason else "")
        case ev.RunReopened():
            answers = f"; run again: {some(event.redo)}" if event.redo else ""
            answers += f"; marked as done: {some(event.skip)}" if event.skip else ""
            return f"run reopened{_by(event.by)}: continuing with the unfinished steps{answers}"
        case ev.DoubtForgotten():
            return _forgotten(event)
        case ev.RollbackStarted():
            return f"rollback started{_by(event.by)}" + (f" because {event.reason}" if event.reason else "")
        case ev.RollbackEnded():
            left = f": {counted(len(event.residue), 'thing')} left" if event.residue else ""
            return f"run {event.status}{left}"
    raise AssertionError(f"no words for {type(event).__name__}")


def _forgotten(event: ev.DoubtForgotten) -> str:
    left = f": {some(event.servers)} may exist there; look in the provider's console" if event.servers else ""
    return f"calls of unknown outcome in {event.lane} were forgotten{_by(event.by)}{left}"


def step_text(event: ev.AnyEvent) -> str:
    """What happened to the step of a forward or undo event, without the step's name."""
    match event:
        case ev.StepStarted():
            return f"attempt {event.attempt} started" if event.attempt > 1 else "started"
        case ev.StepOutput(lines=lines):
            before = f" (and {counted(len(lines) - 1, 'line')} before)" if len(lines) != 1 else ""
            return lines[-1] + before
        case ev.StepInDoubt():
            return f"in doubt: the outcome of attempt {event.attempt} is unknown ({one_line(event.reason)})"
        case ev.StepCreated():
            how = "found again as" if event.settled else "changed:" if event.changed else "created as"
            return f"{how} {event.ref}, waiting until it is ready"
        case ev.StepSucceeded():
            found = ", confirmed after doubt" if event.settled else ""
            kept = "" if event.made else ", existed before"
            kept += f", gave {some(list(event.outputs))}" if event.outputs else ""
            answer = f", and answered {event.answer}" if event.answer else ""
            where = f" ({', '.join(x for x in (event.ref, event.address) if x)})" if event.ref or event.address else ""
            return f"succeeded{where}{found}{kept}{answer}"
        case ev.StepRetrying():
            tail = ", the server is replaced" if event.replace else ""
            again = f"again in {duration(event.until - event.at)}" if event.until > event.at else "again at once"
            return f"attempt {event.attempt} failed ({_fault(event.fault)}): {again}{tail}"
        case ev.StepMoved():
            return _moved_line(event)
        case ev.StepFailed():
            doubt = ", still in doubt" if event.doubt else ""
            if event.attempt == 0:
                return f"failed before anything was started: {_fault(event.fault)}"
            return f"failed after {counted(event.attempt, 'attempt')}{doubt}: {_fault(event.fault)}"
        case ev.StepSkipped():
            return f"skipped: {event.reason}"
        case ev.StepNotWanted():
            return f"not wanted: {event.reason}"
        case ev.UndoStarted() | ev.UndoRetrying() | ev.StepUndone() | ev.UndoFailed():
            return _undo_line(event)
    return _hold_text(event)


def _moved_line(event: ev.StepMoved) -> str:
    where = " ".join(word for word in (event.provider, event.plan, event.zone) if word)
    match event.reason:
        case ev.MoveReason.REFUSED:
            return f"attempt {event.attempt} was refused ({_fault(event.fault)}): it goes to {where} instead"
        case ev.MoveReason.LANE_STOPPED:
            return f"goes to {where} instead: {_fault(event.fault)}"
        case ev.MoveReason.AGAIN:
            return f"no alternative is left: the next attempt begins with {where} again"


def _hold_text(event: ev.AnyEvent) -> str:
    match event:
        case ev.GatePassed():
            return "the next wave begins"
        case ev.HoldAsked():
            until = f"; the question expires in {duration(event.until - event.at)}" if event.until else ""
            return f"waits for approval{until}"
        case ev.HoldAnswered():
            said = f": {one_line(event.comment)}" if event.comment else ""
            return f"{'approved' if event.yes else 'refused'} by {event.name or event.principal}{said}"
        case ev.HoldGranted():
            return "approved"
        case ev.HoldPassed():
            return "nobody answered in time; the run continues as planned for that case"
        case ev.HoldRefused() | ev.HoldExpired():
            return f"not approved: {event.fault.message}"
    raise AssertionError(f"{type(event).__name__} is not about a step")


def _undo_line(event: ev.UndoStarted | ev.UndoRetrying | ev.StepUndone | ev.UndoFailed) -> str:
    match event:
        case ev.UndoStarted():
            return "undo started" if event.attempt <= 1 else f"undo attempt {event.attempt} started"
        case ev.UndoRetrying():
            return f"undo failed ({_fault(event.fault)}): again in {duration(event.until - event.at)}"
        case ev.StepUndone():
            if event.gone:
                return "nothing to undo: the server no longer exists"
            return "undone together with its server" if event.with_server else "undone"
        case ev.UndoFailed():
            return f"could not be undone after {counted(event.attempt, 'attempt')}: {_fault(event.fault)}"


def _sweep_line(event: ev.SweepStarted | ev.OrphanFound | ev.OrphanRemovalEnded | ev.SweepEnded) -> str:
    match event:
        case ev.SweepStarted():
            return f"closing sweep of {event.lane}: looking for orphans"
        case ev.OrphanFound():
            name = f" ({event.name})" if event.name else ""
            if event.shared:
                return f"{event.ref}{name} in {event.lane} belonged to the run and is removed with its last server"
            return f"orphan found in {event.lane}: {event.ref}{name}; destroying it"
        case ev.OrphanRemovalEnded():
            if event.fault is not None:
                return f"{event.ref} in {event.lane} could not be removed: {_fault(event.fault)}"
            return f"{event.ref} in {event.lane} is gone"
        case ev.SweepEnded():
            if event.fault is not None:
                return f"closing sweep of {event.lane} could not finish: {_fault(event.fault)}"
            return f"closing sweep of {event.lane} done: no orphans are left"


def _fault(fault: Fault) -> str:
    code = f" [{fault.code}]" if fault.code else ""
    return f"{fault.kind}: {one_line(fault.message)}{code}"


def _by(who: str) -> str:
    return f" by {who}" if who else ""
