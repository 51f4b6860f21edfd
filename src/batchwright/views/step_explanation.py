"""Explains why a step ran, waited, was skipped, retried or undone: the events that led to its current state."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

from batchwright.model import events as ev
from batchwright.model.actions import Action, Doubt
from batchwright.model.fault import FaultClass
from batchwright.model.lifecycle import RUN_ENDED, STEP_ENDED, StepState
from batchwright.model.run import Run
from batchwright.model.templates import Reference, Root, Value, joined
from batchwright.model.workflow import DependencyKind
from batchwright.operations.base import PortKind
from batchwright.operations.registry import type_of
from batchwright.views.events import event_line, step_text
from batchwright.views.next_action import next_action
from batchwright.views.plan_index import plan_index
from batchwright.views.run_provenance import inputs_line
from batchwright.views.text_format import counted, duration, one_line, some
from batchwright.views.wait_reasons import (
    LIVE,
    Circumstances,
    approval_reason,
    ended_operations,
    gate_reason,
    open_needs,
    operations_waited_for,
    place_reason,
    retry_reason,
    twin_reason,
    unclear_seconds,
)

CAUSES_MAX = 50  # how many skipped operations a chain is followed back
NOTICEABLE = 0.05  # seconds; shorter waits are not mentioned
VALUES_MAX, VALUE_SHOWN = 20, 60  # values in a chain, and characters of one

S = StepState
_Failure = ev.StepFailed | ev.HoldRefused | ev.HoldExpired
_EndedEvent = ev.StepSucceeded | ev.StepSkipped | ev.StepNotWanted | ev.HoldGranted | ev.HoldPassed | _Failure


class Link(Struct, frozen=True):
    """One thing that happened. `after` is seconds since the run was created; `step` is the step it happened to."""

    at: float
    after: float
    text: str
    step: str = ""


class ValueOrigin(Struct, frozen=True):
    """What a reference in the step's texts stands for, and the step that gave it: "" if several did, or the run."""

    reference: str
    value: Value
    step: str


class Explanation(Struct, frozen=True):
    """The answer in one sentence, the chain of events that led to it, and what the step still waits for."""

    run: str
    step: str
    operation: str
    provider: str
    action: Action
    state: StepState
    summary: str
    chain: tuple[Link, ...]
    waits_for: tuple[str, ...]
    next: str
    planned_from: str = ""  # the inputs of the run
    values: tuple[ValueOrigin, ...] = ()


def explain(
    run: Run, history: Iterable[ev.AnyEvent], step: str, now: float, around: Circumstances | None = None
) -> Explanation:
    """Explain a step, given by its full id, from the run's whole history. Raises StepNotFound."""
    around = around or Circumstances()
    i = run.step(step)
    told = _Telling(run, i)
    for event in history:
        told.take(event)
    planned = run.steps[i]
    waits = waits_for(run, i, now, around)
    return Explanation(
        run=run.id,
        step=step,
        operation=planned.operation,
        provider=planned.provider,
        action=planned.action,
        state=run.records[i].state,
        summary=_summary(run, i, waits, told.root),
        chain=tuple(told.chain),
        waits_for=waits,
        next=next_action(run, driven=around.driven),
        planned_from=inputs_line(run.created.inputs),
        values=value_origins(run, i),
    )


def value_origins(run: Run, i: int) -> tuple[ValueOrigin, ...]:
    """The values of a step, from when its operation was opened last; none before that."""
    known = run.request(i).values
    return tuple(ValueOrigin(name, value, _origin(run, Reference(name))) for name, value in sorted(known.items()))


def _origin(run: Run, reference: Reference) -> str:
    match reference.root, *reference.segments:
        case Root.SERVERS, name, _:
            servers = (step for step in run.steps if step.retired is None and type_of(step).port is PortKind.PROVIDER)
            return next((step.id for step in servers if step.request.name == name), "")
        case Root.OUTPUTS, operation, _:
            return next((step.id for step in run.steps if step.operation == operation), "")
    return ""


def _origin_words(one: ValueOrigin) -> str:
    reference = Reference(one.reference)
    value = one_line(joined(one.value), VALUE_SHOWN)
    match reference.root:
        case Root.OPERATIONS:
            return f"{reference} is {value}, from the servers of {reference.segments[0]}"
        case Root.SERVERS | Root.OUTPUTS:
            return f"{reference} is {value}, from {one.step}"
    return f"{reference} is {value}"


def waits_for(run: Run, i: int, now: float, around: Circumstances) -> tuple[str, ...]:
    """What a step of a live run still waits for; empty if it does not wait."""
    record = run.records[i]
    if run.status not in LIVE:
        return ()
    if record.state is S.RETRYING:
        assert record.fault is not None
        return (retry_reason(run, record.until, record.fault, around, now),)
    if i in run.asking:
        return (approval_reason(run, i, now),)
    if left := unclear_seconds(run, i, now):
        return (twin_reason(run.steps[i].request.name, left),)
    if record.state is not S.WAITING:
        return ()
    shape = plan_index(run.plan)
    op = run.step_operation[i]
    blockers = [f"operation {name}" for name in operations_waited_for(run, shape, ended_operations(run, shape), op)]
    blockers += [_need_words(run, need, now) for need in open_needs(run, i)]
    return tuple(blockers) or (place_reason(run, run.plan.operations[run.step_operation[i]], run.lane(i), around)[1],)


def _need_words(run: Run, need: str, now: float) -> str:
    """A step that another one still waits for, in words."""
    step, state = run.plan.steps[run.step(need)], run.record(need).state
    if step.traits.counted:
        return f"step {need} ({state.replace('_', ' ')})"
    return gate_reason(run, run.step(need), now)[1].removeprefix("waits for ")


def _summary(run: Run, i: int, waits: tuple[str, ...], root: str) -> str:
    record = run.records[i]
    fault = f"{record.fault.kind}: {one_line(record.fault.message)}" if record.fault else ""
    match record.state:
        case S.WAITING if run.status in RUN_ENDED:
            return f"never started: the run ended first ({run.reason or run.status})"
        case S.CREATED if waits:
            return f"created, not used yet: {waits[0]}"
        case S.WAITING:
            return f"has not started: {waits[0] if waits else f'the run is {run.status}'}"
        case S.ASKING:
            return f"waits for {waits[0]}" if waits else "asked when the run ended"
        case S.RETRYING:
            return f"attempt {record.attempt} failed; {waits[0] if waits else fault}"
        case S.SUCCEEDED if run.plan.steps[i].hold is not None:
            names = [one.name or one.principal for one in run.holds[run.plan.steps[i].id].answers]
            return f"approved by {some(names)}" if names else "nobody answered in time, and the run went on"
        case S.SUCCEEDED if record.reason:
            return f"succeeded: {record.reason}"
        case S.SUCCEEDED if run.plan.steps[i].traits.holds:
            return "passed: what is behind it may begin"
        case S.SUCCEEDED if not record.made:
            return "succeeded: it existed before, so nothing was created and a rollback keeps it"
        case S.SUCCEEDED:
            tries = f" with {counted(record.attempt, 'attempt')}" if record.attempt > 1 else ""
            return f"succeeded in {duration(record.ended_at - record.started_at)}{tries}"
        case S.FAILED if run.plan.steps[i].hold is not None:
            return f"not approved: {record.fault.message if record.fault else ''}"
        case S.FAILED:
            return f"failed after {counted(record.attempt, 'attempt')}: {fault}"
        case S.SKIPPED:
            return f"skipped because {record.reason}" + (f"; the cause: {root}" if root else "")
        case S.NOT_WANTED:
            return f"not wanted: {record.reason}"
        case S.UNDONE:
            return f"undone by the rollback that {run.rolled_back_by or 'somebody'} asked for"
        case S.UNDO_FAILED:
            return f"could not be undone: {fault}"
    return type_of(run.steps[i]).doing(run.steps[i], record)


class _Telling:
    """Folds the history once and records what mattered to one step."""

    def __init__(self, run: Run, i: int) -> None:
        self.run = Run(run.created)
        self.i = i
        self.step = run.steps[i]
        self.operation = run.plan.operations[run.step_operation[i]]
        self.chain: list[Link] = []
        self.root = ""  # cause of the last skip
        self._last_end: dict[str, _EndedEvent] = {}  # operation -> the last event that ended one of its steps
        self._ends: dict[str, _EndedEvent] = {}  # step -> the event that ended it
        self._first_bad: dict[str, _Failure | ev.StepSkipped] = {}  # operation -> its first failure
        self._stopped: dict[str, ev.ProviderStopped] = {}
        self._opened = False  # its operation was opened, which was not told yet
        self._full_at = self._throttled_at = self._paused_at = 0.0

    @property
    def record_state(self) -> StepState:
        return self.run.records[self.i].state

    @property
    def lane(self) -> str:
        """Where the step was at that time."""
        return self.run.lane(self.i)

    def take(self, event: ev.AnyEvent) -> None:
        if isinstance(event, ev.RunCreated):
            self._say(event.at, f"planned to {type_of(self.step).verb(self.step.action)}, by {event.by or 'somebody'}")
            return
        before = self.record_state
        failures, until = self.run.records[self.i].failures, self.run.records[self.i].until
        if len(self.run.in_flight) >= self.run.plan.parallel_limit:
            self._full_at = event.at  # all slots were in use until now
        i = self.run.apply(event)
        if i is None:
            self._take_of_run(event, before)
            return
        if isinstance(event, _EndedEvent):
            self._remember(event, i)
        if isinstance(event, ev.StepRetrying) and event.fault.kind is FaultClass.THROTTLE and self._same_lane(i):
            self._throttled_at = event.at
        if i == self.i:
            if isinstance(event, ev.StepStarted) and before is S.RETRYING:
                self._say_wait(event.at, until)
            self._take_own(event, before, failures)

    def _same_lane(self, i: int) -> bool:
        return self.run.lane(i) == self.lane

    def _remember(self, event: _EndedEvent, i: int) -> None:
        operation = self.run.steps[i].operation
        self._last_end[operation] = event
        self._ends[event.step] = event
        first = self._first_bad.get(operation)
        if isinstance(event, _Failure) and not isinstance(first, _Failure):
            self._first_bad[operation] = event
        if isinstance(event, ev.StepSkipped):
            self._first_bad.setdefault(operation, event)

    def _say(self, at: float, text: str, step: str = "") -> None:
        self.chain.append(Link(at, at - self.run.created_at, text, step))

    # -- events of the whole run --------------------------------------------------------------------------------

    def _take_of_run(self, event: ev.AnyEvent, before: StepState) -> None:
        waiting = before in (S.WAITING, S.RETRYING)
        match event:
            case ev.ProviderStopped(lane=lane):
                self._stopped[lane] = event
                told = waiting and lane == self.lane
            case ev.RunPaused():
                self._paused_at = event.at
                told = waiting
            case ev.RunResumed():
                self._paused_at = event.at
                told = waiting
            case ev.CancelRequested() | ev.RunStopping():
                told = before not in STEP_ENDED
            case ev.DriverStarted():
                told = self.run.restarts > 0 and self.run.records[self.i].crashed and self.i in self.run.in_flight
                if told:
                    self._say(event.at, "the process that drove the run died while this step was in flight")
                    self._say(event.at, "another process took over and finds out how it ended")
                return
            case ev.RunReopened():
                told = before in (S.FAILED, S.SKIPPED, S.RETRYING, S.NOT_WANTED, S.ASKING)
                self._first_bad.clear()
                self._stopped.clear()
            case ev.DoubtForgotten(lane=lane):
                told = lane == self.lane and before in (S.STARTED, S.FAILED, S.RETRYING)
            case ev.RollbackStarted():
                told = before not in (S.WAITING, S.SKIPPED, S.NOT_WANTED)
            case ev.RunEnded():
                told = before not in STEP_ENDED
            case ev.OperationOpened(operation=operation):
                self._opened = self._opened or operation == self.operation.id
                return
            case _:
                told = False
        if told:
            self._say(event.at, event_line(event))

    # -- the step's own events ----------------------------------------------------------------------------------

    def _take_own(self, event: ev.AnyEvent, before: StepState, failures: int) -> None:
        match event:
            case ev.StepStarted() if before is S.WAITING:
                self._say_gate(event)
            case ev.StepSkipped():
                self._say_causes(event)
        text = step_text(event)
        if isinstance(event, ev.StepFailed):
            most = self.operation.retry.max_attempts
            if self.step.doubt is Doubt.ASK:
                text += " (a command that is not idempotent is not run again automatically)"
            elif self.step.traits.retries:
                used = failures + 1 >= most
                text += f" (max_attempts {most} is used up)" if used else " (this kind of fault is not retried)"
        self._say(event.at, text, self.step.id)
        if isinstance(event, ev.StepStarted) and self._opened:
            self._opened = False
            for one in value_origins(self.run, self.i)[:VALUES_MAX]:
                self._say(event.at, _origin_words(one), one.step)

    def _say_gate(self, event: ev.StepStarted) -> None:
        ends = [self._last_end.get(dependency.id) for dependency in self.operation.dependencies]
        ends += [self._ends.get(need.step) for need in self.step.needs]
        gates = [end for end in ends if end is not None]
        opened = self.run.started_at
        if gates:
            last = max(gates, key=lambda end: end.at)
            opened = last.at
            self._say(opened, f"{last.step} {_ended_word(last)}: the last step that it waited for", last.step)
        elif not ends:
            self._say(opened, "it depends on nothing: it could start with the run")
        self._say_wait(event.at, opened)

    def _say_wait(self, at: float, opened: float) -> None:
        if at - opened >= NOTICEABLE:
            self._say(at, f"waited another {duration(at - opened)} {self._held_by(opened)}")

    def _held_by(self, opened: float) -> str:
        if self._full_at > opened:
            return f"for a free slot: parallel_limit {self.run.plan.parallel_limit} was reached"
        if self._throttled_at >= opened:
            return f"because {self.lane} throttled"
        if self._paused_at >= opened:
            return "because the run was paused"
        return f"for the limits of {self.lane}"

    def _say_causes(self, event: ev.StepSkipped) -> None:
        causes: list[ev.AnyEvent] = []
        cause: ev.AnyEvent | None = event
        while isinstance(cause, ev.StepSkipped) and len(causes) < CAUSES_MAX:
            cause = self._cause(cause)
            if cause is not None:
                causes.append(cause)
        for one in reversed(causes):
            self._say(one.at, event_line(one), getattr(one, "step", ""))
        self.root = event_line(causes[-1]) if causes else ""

    def _cause(self, event: ev.StepSkipped) -> ev.AnyEvent | None:
        """The event that caused a skip: of a step, a required operation or a lane.

        An operation and a lane may have the same name. As in the run machine, a failed operation comes first.
        """
        run, because = self.run, event.because
        if because in run.index:
            return self._ends.get(because)
        operation = run.plan.operations[run.step_operation[run.index[event.step]]]
        needed = {edge.id for edge in operation.dependencies if edge.kind is DependencyKind.HARD}
        failed = self._first_bad.get(because) if because in needed else None
        return failed or self._stopped.get(because)


def _ended_word(event: _EndedEvent) -> str:
    match event:
        case ev.StepSucceeded():
            return "succeeded"
        case ev.StepFailed():
            return "failed"
        case ev.StepSkipped():
            return "was skipped"
        case ev.StepNotWanted():
            return "was not wanted"
        case ev.HoldGranted() | ev.HoldPassed():
            return "let it go on"
        case ev.HoldRefused() | ev.HoldExpired():
            return "was not approved"
