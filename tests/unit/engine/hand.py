"""A machine driven by hand: what it decides is applied at once, and the commands wait for the test to answer them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from batchwright.engine import effects, reports
from batchwright.engine.machine import Machine
from batchwright.model import events as ev
from batchwright.model.call_outcome import Applied, Created, Observed, Rejected, Unknown
from batchwright.model.fault import Fault, FaultClass
from batchwright.model.plan import Plan
from batchwright.model.run import Run
from batchwright.model.run_signal import Signal, SignalKind

T = TypeVar("T")
START = 1_000_000.0
TURNS_MAX = 1_000


class Hand:
    """`permits` holds for every lane; `history` is the journal, `commands` what was asked for and not taken yet."""

    def __init__(self, plan: Plan, permits: int = 1_000, *, begin: bool = True) -> None:
        self.now = START
        self.run = Run(ev.RunCreated(self.now, "run", plan))
        self.machine = Machine(self.run)
        self.permits = permits
        self.history: list[ev.AnyEvent] = [self.run.created]
        self.commands: list[effects.Command] = []
        if begin:
            self.take([ev.DriverStarted(self.now, "hand", 1)])
            self.decide()

    def take(self, events: Sequence[ev.AnyEvent]) -> list[ev.AnyEvent]:
        """Apply events."""
        for event in events:
            self.commands += self.machine.apply(event)
            self.history.append(event)
        return list(events)

    def decide(self) -> list[ev.AnyEvent]:
        """Let it decide until it is at rest; gives all that it decided."""
        lanes = dict.fromkeys(self.run.plan.lanes, self.permits)
        decided: list[ev.AnyEvent] = []
        for _ in range(TURNS_MAX):
            events = self.machine.decide(self.now, lanes)
            if not events:
                return decided
            decided += self.take(events)
        raise AssertionError("the machine never comes to rest")

    def say(self, report: reports.Report) -> list[ev.AnyEvent]:
        """Report; gives what that and the decisions after it amount to."""
        return [*self.take(self.machine.accept(report, self.now)), *self.decide()]

    def answer(self, step: str, outcome: Created | Applied | Rejected | Unknown | FaultClass) -> list[ev.AnyEvent]:
        """The answer to the step's present attempt; a fault class stands for a refusal of this kind."""
        i = self.run.step(step)
        said = refusal(outcome) if isinstance(outcome, FaultClass) else outcome
        return self.say(reports.CallReport(i, self.run.records[i].attempt, said))

    def make(self, *steps: str) -> None:
        """Answer these creates with a server that is ready."""
        for step in steps:
            self.answer(step, Created(f"ref-{step}", ready=True, address="addr"))

    def settled(self, step: str, found: Observed | None = None, fault: Fault | None = None) -> list[ev.AnyEvent]:
        """What the provider knows of the step's call in doubt."""
        i = self.run.step(step)
        return self.say(reports.SettleReport(i, self.run.records[i].attempt, found, fault))

    def looked(self, step: str, fault: Fault | None = None) -> list[ev.AnyEvent]:
        """How the server that is waited for is."""
        i = self.run.step(step)
        record = self.run.records[i]
        ref = record.ref or self.run.plan.steps[i].ref
        return self.say(reports.ServerReport(i, record.attempt, ref, "addr", fault))

    def undid(self, step: str, fault: Fault | None = None) -> list[ev.AnyEvent]:
        """How the step's undo went."""
        i = self.run.step(step)
        return self.say(reports.UndoReport(i, self.run.records[i].undo_attempt, fault))

    def swept(self, *strays: tuple[str, str], lane: str = "upcloud", fault: Fault | None = None) -> list[ev.AnyEvent]:
        """What the sweep of a lane found."""
        return self.say(reports.SweepReport(lane, self.run.sweeps[lane], strays, fault))

    def wish(self, kind: SignalKind) -> list[ev.AnyEvent]:
        """A user's signal, and what is decided then."""
        return [*self.take(self.machine.request(Signal(kind, self.now, "user"), self.now)), *self.decide()]

    def later(self, seconds: float) -> list[ev.AnyEvent]:
        """Time passes."""
        self.now += seconds
        return self.decide()

    def crash(self) -> Hand:
        """The next process, with nothing but the journal."""
        successor = Hand(self.run.plan, self.permits, begin=False)
        successor.now = self.now
        successor.run = Run.replay(self.history)
        successor.machine = Machine(successor.run)
        successor.history = list(self.history)
        successor.take([ev.DriverStarted(self.now, "successor", 2)])
        return successor

    def taken(self, kind: type[T]) -> list[T]:
        """The commands of one kind, which the test takes upon itself."""
        found = [command for command in self.commands if isinstance(command, kind)]
        self.commands = [command for command in self.commands if not isinstance(command, kind)]
        return found

    def events(self, kind: type[T]) -> list[T]:
        """The journal's events of one kind."""
        return [event for event in self.history if isinstance(event, kind)]

    def state(self, step: str) -> str:
        """Of one step."""
        return self.run.record(step).state.value


def fault(kind: FaultClass, retry_after: float | None = None) -> Fault:
    """A fault of a kind."""
    return Fault(kind, f"it is {kind}", retry_after=retry_after)


def refusal(kind: FaultClass, retry_after: float | None = None) -> Rejected:
    """A refusal of a kind."""
    return Rejected(fault(kind, retry_after))


def kinds(events: Sequence[ev.AnyEvent]) -> list[str]:
    """The names of events."""
    return [type(event).__name__ for event in events]
