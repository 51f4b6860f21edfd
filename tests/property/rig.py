"""A machine driven by hand: random graphs, random answers in random order, and every decision checked on the way."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Mapping

from hypothesis import strategies as st
from msgspec import Struct
from msgspec.structs import replace

from batchwright.engine import effects, reports
from batchwright.engine.machine import Machine
from batchwright.model import events as ev
from batchwright.model.actions import Action, Undo
from batchwright.model.call_outcome import Applied, Created, Observed, Rejected, ServerState, Unknown
from batchwright.model.fault import Fault, FaultClass
from batchwright.model.lifecycle import STEP_ENDED, STEP_IN_FLIGHT, StepState
from batchwright.model.plan import Alternative, Guard, Need, Plan, PlannedOperation, ProviderFacts, Step
from batchwright.model.run import Run
from batchwright.model.templates import Value
from batchwright.model.workflow import Dependency, DependencyKind, DependencyScope, OnFailure, Retry
from batchwright.operations.command import CommandRequest
from batchwright.operations.server_batch import ServerRequest
from batchwright.operations.taskserv_batch import TaskservRequest

FAILS = Fault(FaultClass.PERMANENT, "it cannot work")
EXITS = Fault(FaultClass.EXIT, "it exited with code 1")
AGAIN = Fault(FaultClass.TRANSIENT, "not now")
SLOW = Fault(FaultClass.THROTTLE, "too fast")
FULL = Fault(FaultClass.CAPACITY, "no room")
LIMIT = Fault(FaultClass.QUOTA, "the account is at its limit")
TURNS_MAX = 20_000
ATTEMPTS_MAX = 4
HARD = DependencyKind.HARD


class Case(Struct, frozen=True):
    """A plan and what will happen to each step: `fates[i]` are the answers of its attempts, then the last for ever."""

    plan: Plan
    fates: tuple[tuple[str, ...], ...]
    seed: int
    permits: int


BAD = ("again", "slow", "lost", "vanished", "full")


def fates(bad: tuple[str, ...] = BAD) -> st.SearchStrategy[tuple[str, ...]]:
    """What happens to the attempts of a step."""
    return st.lists(st.sampled_from(bad), max_size=2).flatmap(
        lambda words: st.sampled_from([("ok",), ("ok",), ("wait",), ("fail",)]).map(lambda end: (*words, *end))
    )


@st.composite
def cases(
    draw: st.DrawFn,
    on_failure: OnFailure | None = OnFailure.CONTINUE,
    *,
    once: bool = True,
    bad: tuple[str, ...] = BAD,
) -> Case:
    """Up to seven operations with up to four steps each, in two lanes, with hard and soft edges.

    Servers may have up to two alternatives. `once`: among them may be commands that are not idempotent. `bad` is what
    may happen to attempts before the last.
    """
    operations: list[PlannedOperation] = []
    steps: list[Step] = []
    for n in range(draw(st.integers(1, 7))):
        earlier = [op.id for op in operations]
        chosen = draw(st.lists(st.sampled_from(earlier), unique=True, max_size=3)) if earlier else []
        dependencies = tuple(Dependency(op, draw(st.sampled_from(DependencyKind))) for op in chosen)
        lane, servers = draw(st.sampled_from(["east", "west"])), draw(st.booleans())
        policy = on_failure or draw(st.sampled_from(OnFailure))
        retry = Retry(ATTEMPTS_MAX, 1.0, 4.0)
        runs = not servers and draw(st.booleans())
        kind = "server_batch" if servers else "command" if runs else "taskserv_batch"
        others = draw(st.lists(st.sampled_from(["east", "west"]), max_size=2)) if servers else []
        on = draw(st.sampled_from(((FaultClass.CAPACITY,), (FaultClass.CAPACITY, FaultClass.QUOTA)))) if others else ()
        operation = PlannedOperation(f"op{n}", kind, lane, lane, dependencies, policy, retry, 60.0, otherwise_on=on)
        operations.append(operation)
        made = [step for step in steps if step.action is Action.CREATE and step.operation in chosen]
        mine: list[Step] = []
        for k in range(draw(st.integers(1, 4))):
            needs = tuple(
                Need(s.id, draw(st.sampled_from((HARD, DependencyKind.SOFT)))) for s in mine if draw(st.booleans())
            )
            if runs:
                mine.append(_program(f"op{n}", k, lane, needs, draw(st.booleans()) or not once, draw(st.booleans())))
                continue
            server = made[draw(st.integers(0, len(made) - 1))] if made and not servers else None
            mine.append(_step(f"op{n}", k, lane, needs, server))
        mine = [_elsewhere(step, others) for step in mine]
        if (runs or servers) and (known := _references(operations, steps, f"op{n}")):
            named = draw(st.lists(st.sampled_from(known), unique=True, max_size=3))
            mine = [_naming(step, tuple(sorted(named))) for step in mine]
        steps += mine
    facts = tuple(ProviderFacts(name, name, Guard.LABEL_ONLY, 1.0, lag) for name, lag in (("east", 0.0), ("west", 1.0)))
    limit = draw(st.integers(1, 6))
    plan = Plan("w", "1", "memory", limit, True, tuple(operations), tuple(steps), facts)
    drawn = tuple(draw(fates(bad)) for _ in steps)
    return Case(plan, drawn, draw(st.integers(0, 2**32)), draw(st.integers(1, 4)))


def _step(op: str, k: int, lane: str, needs: tuple[Need, ...], on: Step | None) -> Step:
    if on is None:
        return Step(f"{op}/s{k}", op, lane, Action.CREATE, Undo.DESTROY, ServerRequest(f"{op}-s{k}", "p", "z"), needs)
    request = TaskservRequest(f"t{k}", "1", lane)
    return Step(f"{op}/{on.request.name}/t{k}", op, lane, Action.INSTALL, Undo.WITH_SERVER, request, needs, on.id)


def _elsewhere(step: Step, lanes: list[str]) -> Step:
    """The same step, whose server may be created in these lanes too."""
    places = (Alternative(lane, replace(step.request, zone=f"z{n}")) for n, lane in enumerate(lanes, 1))  # type: ignore[type-var]
    return replace(step, alternatives=tuple(places)) if lanes else step


def _program(op: str, k: int, lane: str, needs: tuple[Need, ...], idempotent: bool, undo: bool) -> Step:
    request = CommandRequest("p", ("p",), ("u",) if undo else (), idempotent=idempotent, outputs=("k",))
    return Step(f"{op}/c{k}", op, lane, Action.RUN, Undo.RUN if undo else Undo.NOTHING, request, needs)


def _references(operations: list[PlannedOperation], steps: list[Step], name: str) -> list[str]:
    """What an operation may refer to: what comes before it over hard dependencies."""
    edges = {op.id: [one.id for one in op.dependencies if one.kind is HARD] for op in operations}
    before: set[str] = set()
    waiting = [name]
    while waiting:
        fresh = set(edges[waiting.pop()]) - before
        before |= fresh
        waiting += fresh
    of = {op: [step for step in steps if step.operation == op] for op in sorted(before)}
    found = [f"operations.{op}.addresses" for op, those in of.items() if those[0].action is Action.CREATE]
    for op, those in of.items():
        found += [f"servers.{step.request.name}.address" for step in those if step.action is Action.CREATE]
        found += [f"outputs.{op}.k"] if len(those) == 1 and those[0].action is Action.RUN else []
    return found


def _naming(step: Step, references: tuple[str, ...]) -> Step:
    request = step.request
    assert isinstance(request, CommandRequest | ServerRequest)
    return replace(step, request=replace(request, references=references))


class Rig:
    """The loop of an engine without durability, without time and without a world: answers come from the case."""

    def __init__(self, case: Case) -> None:
        self.case = case
        self.chance = random.Random(case.seed)
        self.now = 1000.0
        self.run = Run(ev.RunCreated(self.now, "run", case.plan))
        self.machine = Machine(self.run)
        self.history: list[ev.AnyEvent] = [self.run.created]
        self.open: list[effects.Command] = []
        self.said: deque[reports.Report] = deque(maxlen=20)
        self.sends: dict[int, int] = {}
        self.opened: dict[str, Mapping[str, Value]] = {}
        self.places: dict[str, tuple[str, int]] = {}  # token -> the step and place at which it was sent
        self.take([ev.DriverStarted(self.now, "rig", 1)])

    def take(self, events: list[ev.AnyEvent]) -> None:
        """Apply events and check each decision against the rules."""
        for number, event in enumerate(events):
            if isinstance(event, ev.StepStarted):
                self._check_start(event)
            if isinstance(event, ev.StepMoved):
                self._check_moved(event)
            if isinstance(event, ev.OperationOpened):
                self._check_opened(event, events[number + 1])
            self.open += self.machine.apply(event)
            self.history.append(event)
            flying = sum(record.state in STEP_IN_FLIGHT for record in self.run.records)
            assert flying <= self.case.plan.parallel_limit

    def _check_start(self, event: ev.StepStarted) -> None:
        """No step starts before its hard dependencies succeeded and everything it waits for has ended."""
        step = self.case.plan.steps[self.run.index[event.step]]
        operation = self.case.plan.operations[self.run.operation_index[step.operation]]
        record = self.run.record(event.step)
        assert self.run.lane(self.run.index[event.step]) not in self.run.stopped_lanes or record.doubt
        assert self.places.setdefault(event.token, (event.step, record.place)) == (event.step, record.place)
        assert event.attempt <= 2 * ATTEMPTS_MAX * (1 + len(step.alternatives)) + record.throttles + self.run.restarts
        for dependency in (one for one in operation.dependencies if one.per is DependencyScope.OPERATION):
            upstream = self.case.plan.operations[self.run.operation_index[dependency.id]]
            states = {self.run.record(s.id).state for s in self.case.plan.steps if s.operation == dependency.id}
            assert states <= STEP_ENDED
            if dependency.kind is HARD:  # what stood on a server that was not wanted is not wanted either
                assert StepState.SUCCEEDED in states
                assert upstream.min_success or states <= {StepState.SUCCEEDED, StepState.NOT_WANTED}
            failed = upstream.id in self.run.failed_operations or states & {StepState.FAILED, StepState.SKIPPED}
            assert dependency.kind is not DependencyKind.FAILED or failed
        for need in step.needs:
            state = self.run.record(need.step).state
            assert state in STEP_ENDED
            assert need.kind is DependencyKind.SOFT or state is StepState.SUCCEEDED

    def _check_moved(self, event: ev.StepMoved) -> None:
        """Only what was refused for certain, or not sent, goes on: to the next open place, or back to the first."""
        i = self.run.index[event.step]
        step, record = self.case.plan.steps[i], self.run.records[i]
        assert event.fault.kind in self.case.plan.operations[self.run.step_operation[i]].otherwise_on
        assert (record.doubt, record.ref, record.stale) == (False, "", "")
        assert step.at(event.place).provider not in self.run.stopped_lanes
        assert (event.place > record.place) is (event.reason is not ev.MoveReason.AGAIN)
        assert (event.provider, event.zone) == (step.at(event.place).provider, step.at(event.place).request.zone)

    def _check_opened(self, event: ev.OperationOpened, then: ev.AnyEvent) -> None:
        """Right before a step of the operation starts, with what its references stand for then."""
        assert isinstance(then, ev.StepStarted)
        assert self.case.plan.steps[self.run.index[then.step]].operation == event.operation
        self.opened[event.operation] = event.values
        for name, value in event.values.items():
            root, source, _ = name.split(".")
            field = {"servers": lambda step: step.request.name, "operations": lambda step: step.operation}
            of = field.get(root, lambda step: step.operation)
            steps = [i for i, step in enumerate(self.case.plan.steps) if of(step) == source]
            assert all(self.run.records[i].state is StepState.SUCCEEDED for i in steps)
            if root == "outputs":
                assert value == self.run.records[steps[0]].outputs["k"]
            else:
                addresses = tuple(self.run.records[i].address for i in steps)
                assert value == (addresses if root == "operations" else addresses[0])

    def _check_values(self, i: int) -> None:
        """I10: a step is started, repeated and undone with the values of its operation's newest opening."""
        request, operation = self.run.request(i), self.case.plan.steps[i].operation
        assert request.values == {name: self.opened[operation][name] for name in request.references}

    def settle(self) -> None:
        """Let the machine decide until it has nothing more to say at this time."""
        for _ in range(TURNS_MAX):
            events = self.machine.decide(self.now, dict.fromkeys(("east", "west"), self.case.permits))
            if not events:
                return
            starts: dict[str, int] = {}
            for event in events:
                if isinstance(event, ev.StepStarted | ev.UndoStarted):
                    lane = self.run.lane(self.run.index[event.step])
                    starts[lane] = starts.get(lane, 0) + 1
            assert all(count <= self.case.permits for count in starts.values())
            self.take(events)
        raise AssertionError("the machine never comes to rest")

    def play(self) -> Run:
        """To the end."""
        for _ in range(TURNS_MAX):
            self.settle()
            if self.machine.ended:
                assert not self.open, "commands are still open at the end"
                return self.run
            self.turn()
        raise AssertionError("the run does not end")

    def turn(self) -> None:
        """One thing happens: an answer, a duplicate of an earlier one, or time passes."""
        if self.said and self.chance.random() < 0.2:
            assert not self.machine.accept(self.chance.choice(self.said), self.now)
        if self.open:
            command = self.open.pop(self.chance.randrange(len(self.open)))
            report = self.answer(command)
            self.take(self.machine.accept(report, self.now))
            self.said.append(report)
            return
        due = self.machine.wake_at()
        assert due is not None, "nothing is open, nothing is due, and it has not ended"
        self.now = max(self.now, due)

    def answer(self, command: effects.Command) -> reports.Report:
        """What the case says happens."""
        if isinstance(command, effects.DoStep | effects.UndoStep):
            self._check_values(command.step)
        match command:
            case effects.DoStep(step=step, attempt=attempt):
                return reports.CallReport(step, attempt, self._answered(step))
            case effects.Settle(step=step, attempt=attempt) if self.case.plan.steps[step].action is Action.RUN:
                return reports.SettleReport(step, attempt, fault=Fault(FaultClass.IN_DOUBT, "nobody knows"))
            case effects.Settle(step=step, attempt=attempt):
                made = self.case.fates[step][min(self.sends[step], len(self.case.fates[step])) - 1] != "lost"
                found = Observed(f"ref{step}", ServerState.STARTING) if made else None
                return reports.SettleReport(step, attempt, found)
            case effects.Await(step=step, attempt=attempt, ref=ref, clear_look=look):
                return reports.ServerReport(step, attempt, ref, f"addr{step}", clear=look is not None)
            case effects.UndoStep(step=step, attempt=attempt):
                return reports.UndoReport(step, attempt, AGAIN if attempt == 1 and self.chance.random() < 0.3 else None)
            case effects.Sweep(lane=lane, round=number):
                return reports.SweepReport(lane, number)
        raise AssertionError(command)

    def _answered(self, step: int) -> Created | Applied | Rejected | Unknown:
        action, outcome = self.case.plan.steps[step].action, self._sent(step)
        if action is Action.RUN and outcome == Rejected(FAILS):
            return Rejected(EXITS)
        if action is Action.CREATE or not isinstance(outcome, Created):
            return outcome
        return Applied(outputs={"k": f"{step} {self.sends[step]}"} if action is Action.RUN else {})

    def _sent(self, step: int) -> Created | Rejected | Unknown:
        fates = self.case.fates[step]
        n = self.sends[step] = self.sends.get(step, 0) + 1
        match fates[min(n, len(fates)) - 1]:
            case "ok":
                return Created(f"ref{step}", ready=True, address=f"addr{step}")
            case "wait":
                return Created(f"ref{step}")
            case "fail":
                return Rejected(FAILS)
            case "again":
                return Rejected(AGAIN)
            case "slow":
                return Rejected(SLOW)
            case "full":
                return Rejected(FULL)
            case "limit":
                return Rejected(LIMIT)
        return Unknown("no answer")
