"""Steps whose doubt only a person can settle: the question, and the effect of the answer. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from batchwright.engine.reference_resolution import VALUE_BYTES
from batchwright.errors import NotAllowed
from batchwright.model import events as ev
from batchwright.model.actions import Doubt
from batchwright.model.fault import Fault, FaultClass
from batchwright.model.lifecycle import RUN_ENDED, RunState, StepState
from batchwright.model.run import Run, unsettled

SHOWN = 3  # steps in one message
LOST = "it was running when its process ended"


class ResumeAnswers(Struct, frozen=True):
    """What a person decides when a run is resumed: commands in doubt to run again, and those to count as done.

    `forget` are lanes whose calls of unknown outcome are given up. `outputs` are what skipped commands gave, as
    KEY=VALUE or OPERATION.KEY=VALUE.
    """

    redo: Sequence[str] = ()
    skip: Sequence[str] = ()
    forget: Sequence[str] = ()
    outputs: Sequence[str] = ()


NO_ANSWERS = ResumeAnswers()


class CommandQuestion(Struct, frozen=True):
    """A command of which nobody knows how far it got. `skippable`: it may be marked as done; `outputs` it then gave."""

    step: str
    operation: str
    message: str
    skippable: bool
    outputs: tuple[str, ...]


class DoubtfulLane(Struct, frozen=True):
    """A lane with calls of unknown outcome, and the servers that they may have made."""

    lane: str
    servers: tuple[str, ...]


class ResumeQuestions(Struct, frozen=True):
    """What a person decides when a run is resumed: empty lists if it continues without any answer."""

    run: str
    commands: tuple[CommandQuestion, ...]
    lanes: tuple[DoubtfulLane, ...]


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


def resume_questions(run: Run) -> ResumeQuestions:
    """The commands in doubt that a resume needs an answer for, and the lanes whose calls it may give up instead."""
    commands = []
    for i in range(len(run.records)):
        if unsettled(run, i):
            step, fault = run.plan.steps[i], run.records[i].fault
            message = fault.message if fault else LOST
            own = not step.request.answers, tuple(step.request.outputs)
            commands.append(CommandQuestion(step.id, step.operation, message, *own))
    backward = run.status is RunState.ROLLING_BACK or run.rollback_due
    lanes = {} if backward else doubtful_lanes(run)
    servers = {lane: tuple(run.plan.steps[i].request.name for i in steps) for lane, steps in sorted(lanes.items())}
    return ResumeQuestions(run.id, tuple(commands), tuple(DoubtfulLane(*one) for one in servers.items()))


def go_on(
    run: Run, now: float, by: str, redo: Sequence[str], skip: Sequence[str], outputs: Sequence[str] = ()
) -> list[ev.AnyEvent]:
    """The events that reopen a run that no process drives, with the user's answers for its commands in doubt.

    Raises NotAllowed for a command without an answer, for an answer that fits no command, and if a command that is
    taken as done was to give values and they are not all among the `outputs`.
    """
    for step in (*redo, *skip):
        _refuse_misfit(run, step, skip=step in skip, both=step in redo and step in skip)
    open_ = [i for i in range(len(run.records)) if unsettled(run, i)]
    unanswered = [step for i in open_ if (step := run.plan.steps[i].id) not in (*redo, *skip)]
    if unanswered:
        raise _unanswered(run, unanswered)
    given = _outputs(run, skip, outputs)
    lost = Fault(FaultClass.IN_DOUBT, LOST)
    given_up: list[ev.AnyEvent] = [
        ev.StepFailed(now, run.plan.steps[i].id, run.records[i].attempt, lost, doubt=True)
        for i in open_
        if run.records[i].state is StepState.STARTED
    ]
    answers = tuple(dict.fromkeys(redo)), tuple(dict.fromkeys(skip))
    return [*given_up, ev.RunReopened(now, by, *answers, outputs=given)]


def _outputs(run: Run, skip: Sequence[str], texts: Sequence[str]) -> dict[str, dict[str, str]]:
    """What the commands that are taken as done gave, by step."""
    steps = [run.plan.steps[run.step(step)] for step in skip]
    given: dict[str, dict[str, str]] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        operation, _, key = name.rpartition(".")
        fits = [one for one in steps if key in one.request.outputs and operation in ("", one.operation)]
        if not equals:
            raise NotAllowed(f"the output {name!r} has no value", hint="Write --output OPERATION.KEY=VALUE.")
        if len(fits) != 1:
            known = [f"{one.operation}.{key}" for one in steps for key in one.request.outputs]
            hint = f"Write OPERATION.KEY=VALUE; the skipped commands give: {', '.join(known) or 'nothing'}"
            raise NotAllowed(f"{name!r} does not name one output of the commands that are skipped", hint=hint)
        if "\n" in value or "\0" in value or len(value.encode("utf-8", "replace")) > VALUE_BYTES:
            raise NotAllowed(f"the output {key} must be one line of at most {VALUE_BYTES // 1024} KiB")
        if key in given.setdefault(fits[0].id, {}):
            raise NotAllowed(f"the output {name} is given twice", hint="Give each output once.")
        given[fits[0].id][key] = value
    for one in steps:
        if missing := [key for key in one.request.outputs if key not in given.get(one.id, {})]:
            words = " ".join(f"--output {one.operation}.{key}=VALUE" for key in missing)
            message = f"step {one.id} was to give {', '.join(missing)}, which later steps may use"
            raise NotAllowed(message, hint=f"Say what it gave: batchwright resume {run.id} --skip {one.id} {words}")
    return given


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


def _refuse_misfit(run: Run, step: str, *, skip: bool, both: bool) -> None:
    i = run.step(step)
    hint = f"batchwright explain {run.id} {step}"
    if both:
        raise NotAllowed(f"step {step} cannot be both run again and skipped", hint=hint)
    if run.plan.steps[i].traits.doubt is not Doubt.ASK:
        raise NotAllowed(f"step {step} is not a command; its provider tells what happened to it", hint=hint)
    if skip and run.plan.steps[i].request.answers:
        raise NotAllowed(
            f"step {step} cannot be marked as done: only running it tells its answer",
            hint=f"batchwright resume {run.id} --redo {step}",
        )
    if not unsettled(run, i) and run.records[i].state is not StepState.FAILED:
        raise NotAllowed(f"step {step} is {run.records[i].state} and is not in doubt", hint=hint)


def _unanswered(run: Run, steps: Sequence[str]) -> NotAllowed:
    more = f" and {len(steps) - SHOWN} more" if len(steps) > SHOWN else ""
    return NotAllowed(
        f"run {run.id} cannot continue: it is unknown how far {', '.join(steps[:SHOWN])}{more} got",
        hint=f"Check each one, then decide: batchwright resume {run.id} --redo STEP to run it again, or --skip STEP to "
        "mark it as done. Both options may be repeated.",
    )
