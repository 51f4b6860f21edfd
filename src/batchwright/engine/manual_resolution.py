"""Steps whose doubt only a person can settle: the question, and the effect of the answer. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from batchwright.errors import NotAllowed
from batchwright.model import events as ev
from batchwright.model.actions import Doubt
from batchwright.model.fault import Fault, FaultClass
from batchwright.model.lifecycle import RUN_ENDED, RunState, StepState
from batchwright.model.run import Run, unsettled

SHOWN = 3  # steps in one message


class ResumeAnswers(Struct, frozen=True):
    """What a person decides when a run is resumed: commands in doubt to run again, and those to count as done.

    `forget` are lanes whose calls of unknown outcome are given up.
    """

    redo: Sequence[str] = ()
    skip: Sequence[str] = ()
    forget: Sequence[str] = ()


NO_ANSWERS = ResumeAnswers()


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


def doubtful_lanes(run: Run) -> dict[str, list[int]]:
    """The lanes in which a call may have made a server that no run knows, each with the steps of these calls."""
    lanes: dict[str, list[int]] = {lane: [] for lane in run.doubtful}
    for i, record in enumerate(run.records):
        if run.plan.steps[i].traits.sweeps and (record.doubt or record.state is StepState.STARTED):
            lanes.setdefault(run.lane(i), []).append(i)
    return lanes


def forget(run: Run, now: float, by: str, lanes: Sequence[str]) -> list[ev.AnyEvent]:
    """The events that forget the calls of unknown outcome in these lanes of a run that no process drives.

    A run that has not ended ends as Cancelled. Raises NotAllowed for a lane without such a call, and in a rollback.
    """
    if run.status is RunState.ROLLING_BACK or run.rollback_due:
        raise NotAllowed(
            f"run {run.id} is being rolled back, which settles its calls or names what is left",
            hint=f"Continue the rollback: batchwright resume {run.id}",
        )
    known = doubtful_lanes(run)
    hint = (
        f"It has some in: {', '.join(sorted(known))}"
        if known
        else f"Nothing of it is in doubt: batchwright status {run.id}"
    )
    for lane in lanes:
        if lane not in known:
            raise NotAllowed(f"run {run.id} has no call of unknown outcome in {lane!r}", hint=hint)
    ended = [] if run.status in RUN_ENDED else cancelled(now, by, "before its calls were forgotten")
    names = {lane: tuple(run.plan.steps[i].request.name for i in known[lane]) for lane in lanes}
    return [*ended, *(ev.DoubtForgotten(now, lane, by, servers) for lane, servers in names.items())]


def cancelled(now: float, by: str, when: str) -> list[ev.AnyEvent]:
    """A run whose process has died ends as Cancelled; a resume continues it from there."""
    ended = ev.RunEnded(now, RunState.CANCELLED, f"its process ended {when}")
    return [ev.CancelRequested(now, by, force=True), ended]


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
