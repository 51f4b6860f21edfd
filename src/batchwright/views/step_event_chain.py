"""The chain of events that led a step to its state, in words."""

from __future__ import annotations

from msgspec import Struct
from msgspec.structs import replace

from batchwright.model import events as ev
from batchwright.model.actions import Doubt
from batchwright.model.lifecycle import STEP_ENDED, StepState
from batchwright.model.run import Run
from batchwright.model.templates import Reference, Root, Value, joined
from batchwright.model.workflow import DependencyKind
from batchwright.operations.base import PortKind
from batchwright.operations.registry import type_of
from batchwright.views.events import event_line, step_text
from batchwright.views.run_history import RunHistory
from batchwright.views.step_events import CAUSES_MAX
from batchwright.views.text_format import duration, one_line

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


class StepChain:
    """Folds a step's own events and the run's, and records what mattered to the step. Other steps stay as planned."""

    def __init__(self, run: Run, i: int, history: RunHistory) -> None:
        self.run = Run(run.created)
        self.history = history
        self.seq = 0  # of the event that is taken
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
        self._paused_at = 0.0

    @property
    def record_state(self) -> StepState:
        return self.run.records[self.i].state

    @property
    def lane(self) -> str:
        """Where the step was at that time."""
        return self.run.lane(self.i)

    def take(self, seq: int, event: ev.AnyEvent) -> None:
        self.seq = seq
        if isinstance(event, ev.RunCreated):
            self._say(event.at, f"planned to {type_of(self.step).verb(self.step.action)}, by {event.by or 'somebody'}")
            return
        named = getattr(event, "step", None)
        if named is not None and isinstance(event, _EndedEvent):
            self._remember(event, self.run.index[named])
        if named not in (None, self.step.id) and not isinstance(event, ev.RunStopping):
            return
        before = self.record_state
        failures, until = self.run.records[self.i].failures, self.run.records[self.i].until
        if isinstance(event, ev.RunReopened):  # its answers are about steps that are not folded here
            event = replace(event, skip=tuple(one for one in event.skip if one == self.step.id))
        i = self.run.apply(event)
        if i is None:
            self._take_of_run(event, before)
            return
        if isinstance(event, ev.StepStarted) and before is S.RETRYING:
            self._say_wait(event.at, until)
        self._take_own(event, before, failures)

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
        if self.history.full_at(self.seq) > opened:
            return f"for a free slot: parallel_limit {self.run.plan.parallel_limit} was reached"
        if self.history.throttled_at(self.lane, self.seq) >= opened:
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
