"""Steps whose doubt only a person can settle: the question, and the effect of the answer. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from batchwright.errors import NotAllowed
from batchwright.model import events as ev
from batchwright.model.actions import Doubt
from batchwright.model.fault import Fault, FaultClass
from batchwright.model.lifecycle import StepState
from batchwright.model.run import Run, unsettled

SHOWN = 3  # steps in one message


def asks(run: Run, i: int, fault: Fault) -> str:
    """The hint for a program that failed and is not retried by itself; "" if it may be retried.

    A program that was refused before it started needs no answer.
    """
    step = run.plan.steps[i]
    if step.doubt is not Doubt.ASK or fault.kind not in (FaultClass.EXIT, FaultClass.IN_DOUBT):
        return ""
    if fault.kind is FaultClass.EXIT:
        return f"Fix the cause, then run it again: batchwright resume {run.id}"
    again = f"batchwright resume {run.id} --redo {step.id}"
    return f"Check how far it got. To run it again: {again}; to mark it as done: --skip {step.id} instead."


def go_on(run: Run, now: float, by: str, redo: Sequence[str], skip: Sequence[str]) -> list[ev.AnyEvent]:
    """The events that reopen a run that no process drives, with the user's answers for its commands in doubt.

    Raises NotAllowed for a command without an answer, and for an answer that fits no command.
    """
    for step in (*redo, *skip):
        _refuse_misfit(run, step, both=step in redo and step in skip)
    open_ = [i for i in range(len(run.records)) if unsettled(run, i)]
    unanswered = [step for i in open_ if (step := run.plan.steps[i].id) not in (*redo, *skip)]
    if unanswered:
        raise _unanswered(run, unanswered)
    lost = Fault(FaultClass.IN_DOUBT, "it was running when its process ended")
    given_up: list[ev.AnyEvent] = [
        ev.StepFailed(now, run.plan.steps[i].id, run.records[i].attempt, lost, doubt=True)
        for i in open_
        if run.records[i].state is StepState.STARTED
    ]
    return [*given_up, ev.RunReopened(now, by, tuple(dict.fromkeys(redo)), tuple(dict.fromkeys(skip)))]


def _refuse_misfit(run: Run, step: str, *, both: bool) -> None:
    i = run.step(step)
    hint = f"batchwright explain {run.id} {step}"
    if both:
        raise NotAllowed(f"step {step} cannot be both run again and skipped", hint=hint)
    if run.plan.steps[i].traits.doubt is not Doubt.ASK:
        raise NotAllowed(f"step {step} is not a command; its provider tells what happened to it", hint=hint)
    if not unsettled(run, i) and run.records[i].state is not StepState.FAILED:
        raise NotAllowed(f"step {step} is {run.records[i].state} and is not in doubt", hint=hint)


def _unanswered(run: Run, steps: Sequence[str]) -> NotAllowed:
    more = f" and {len(steps) - SHOWN} more" if len(steps) > SHOWN else ""
    return NotAllowed(
        f"run {run.id} cannot continue: it is unknown how far {', '.join(steps[:SHOWN])}{more} got",
        hint=f"Check each one, then decide: batchwright resume {run.id} --redo STEP to run it again, or --skip STEP to "
        "mark it as done. Both options may be repeated.",
    )
