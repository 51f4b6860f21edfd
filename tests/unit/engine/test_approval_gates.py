"""Gates between waves, questions to people, operations that may lose some of their steps: what the machine decides."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from msgspec.structs import replace

from batchwright.engine import effects, reports
from batchwright.engine.machine import Machine
from batchwright.model import events as ev
from batchwright.model.actions import Action, Undo
from batchwright.model.approver import Principal
from batchwright.model.call_outcome import Created, Rejected
from batchwright.model.fault import Fault, FaultClass
from batchwright.model.lifecycle import RunState, StepState
from batchwright.model.operation_end import OperationEnd, operation_end, required
from batchwright.model.plan import Hold, Need, Plan, Step
from batchwright.model.run import Run
from batchwright.model.run_signal import HoldAnswer, Signal, SignalKind
from batchwright.model.run_snapshot import encode_snapshot, restore_run
from batchwright.model.workflow import Dependency, DependencyKind, DependencyScope, OnFailure
from batchwright.operations.approval import HoldRequest
from batchwright.views.approvals import question_text
from tests.unit.engine.stage import QUICK, Part, installs, operation, plan_of, servers

SOFT = DependencyKind.SOFT
BROKEN = Fault(FaultClass.INVALID, "no such plan")
S = StepState


def waves(op: str, *sizes: int, hold: Hold | None = None, **rest: object) -> Part:
    """A server batch in waves of these sizes; `hold` is asked after the first."""
    planned, steps = servers(op, *(f"s{n}" for n in range(sum(sizes))), **rest)  # type: ignore[arg-type]
    found: list[Step] = []
    gate = ""
    for number, size in enumerate(sizes, 1):
        wave, steps = steps[:size], steps[size:]
        found += [replace(one, wave=number, needs=(Need(gate),) if gate else ()) for one in wave]
        if not steps:
            break
        before = (*(Need(one.id, SOFT) for one in wave), *((Need(gate),) if gate else ()))
        gate = f"{op}/(wave {number + 1})"
        request = HoldRequest(f"wave {number + 1}", "Go on?" if hold and number == 1 else "")
        asks = hold if number == 1 else None
        found.append(
            Step(gate, op, "", Action.GATE, Undo.NOTHING, request, before, seconds=0.0, wave=number + 1, hold=asks)
        )
    return planned, found


def made(up: Part) -> Part:
    """The servers of a batch, without the gates."""
    return up[0], [step for step in up[1] if step.traits.counted]


def approval(op: str, hold: Hold, after: Sequence[str] = (), **rest: object) -> Part:
    """A question to people."""
    step = Step(f"{op}/ask", op, "", Action.ASK, Undo.NOTHING, HoldRequest(op, "Go on?"), seconds=0.0, hold=hold)
    return operation(op, "", after, lane="approvals", type="approval", **rest), [step]


class Hand:
    """A machine whose calls are answered by the test."""

    def __init__(self, plan: Plan) -> None:
        self.now = 100.0
        self.run = Run(ev.RunCreated(self.now, "run", plan))
        self.machine = Machine(self.run)
        self.history: list[ev.AnyEvent] = []
        self.open: dict[str, effects.Command] = {}
        self.take([ev.DriverStarted(self.now, "test", 1)])

    def take(self, events: Sequence[ev.AnyEvent]) -> None:
        for event in events:
            for command in self.machine.apply(event):
                if isinstance(command, effects.Sweep):
                    self.take([ev.SweepEnded(self.now, command.lane)])
                else:
                    assert isinstance(command, effects.DoStep | effects.UndoStep)
                    self.open[self.run.plan.steps[command.step].id] = command
            self.history.append(event)

    def go(self, read_at: float | None = None) -> list[str]:
        """Decide until nothing is due; gives the steps that have a call open."""
        permits = {op.lane: 100 for op in self.run.plan.operations}
        while events := self.machine.decide(self.now, permits, read_at):
            self.take(events)
        return sorted(self.open)

    def end(self, *steps: str, fault: Fault | None = None) -> list[str]:
        for step in steps:
            command = self.open.pop(step)
            assert isinstance(command, effects.DoStep)
            outcome = Rejected(fault) if fault else Created(f"r-{step}", ready=True, address="10.0.0.1")
            self.take(self.machine.accept(reports.CallReport(command.step, command.attempt, outcome), self.now))
        return self.go()

    def answer(self, step: str, who: str, *, yes: bool = True, at: float = 0.0, ask: int = 1) -> list[str]:
        hold = self.run.holds[step]
        answer = HoldAnswer(step, ask, hold.hash, yes, Principal(who, who), comment="" if yes else "not today")
        self.take(self.machine.request(Signal(SignalKind.ANSWER, at or self.now, who, answer), self.now, 7))
        return self.go()

    def state(self, step: str) -> StepState:
        return self.run.record(step).state

    def of(self, kind: type[ev.Event]) -> list[ev.AnyEvent]:
        return [event for event in self.history if isinstance(event, kind)]

    def ends(self) -> dict[str, OperationEnd | None]:
        return {op.id: operation_end(self.run, i) for i, op in enumerate(self.run.plan.operations)}

    def reborn(self) -> Hand:
        """The machine of the next process, which knows only the journal."""
        other = Hand(self.run.plan)
        other.run = restore_run(self.run.created, encode_snapshot(self.run))
        other.machine, other.now, other.history, other.open = Machine(other.run), self.now, [], dict(self.open)
        return other


@pytest.mark.parametrize(
    ("least", "steps", "number"),
    [("", 7, 7), ("90%", 20, 18), ("90%", 19, 18), ("1%", 7, 1), ("100%", 7, 7), ("5", 7, 5), ("0%", 7, 0)],
)
def test_a_share_is_rounded_up(least: str, steps: int, number: int) -> None:
    assert required(operation("o", min_success=least), steps) == number


def test_a_wave_begins_when_the_one_before_has_ended() -> None:
    hand = Hand(plan_of(QUICK, waves("up", 1, 2, 1)))
    assert hand.go() == ["up/s0"]
    assert hand.end("up/s0") == ["up/s1", "up/s2"]
    assert hand.end("up/s1") == ["up/s2"]
    assert hand.end("up/s2") == ["up/s3"]
    hand.end("up/s3")
    assert (hand.run.status, hand.run.summary("m").steps) == (RunState.COMPLETED, 4)
    assert len(hand.of(ev.GatePassed)) == 2


def test_a_wave_that_failed_stops_the_next_one() -> None:
    hand = Hand(plan_of(QUICK, waves("up", 1, 2)))
    hand.go()
    assert hand.end("up/s0", fault=BROKEN) == []
    assert [hand.state(f"up/{name}") for name in ("s1", "s2", "(wave 2)")] == [S.SKIPPED] * 3
    assert hand.ends() == {"up": OperationEnd.FAILED}
    assert hand.run.status is RunState.FAILED


def test_enough_of_an_operation_is_success_and_says_that_it_is_degraded() -> None:
    up = waves("up", 1, 3, min_success="75%")
    hand = Hand(plan_of(QUICK, up, installs("web", made(up), "nginx", after=["up"])))
    hand.go()
    assert hand.end("up/s0", fault=BROKEN) == ["up/s1", "up/s2", "up/s3"]
    hand.end("up/s1", "up/s2", "up/s3")
    assert hand.ends()["up"] is OperationEnd.DEGRADED
    assert sorted(hand.open) == [f"web/s{n}/nginx" for n in (1, 2, 3)]
    assert hand.state("web/s0/nginx") is S.NOT_WANTED
    hand.end(*hand.open)
    assert hand.ends()["web"] is OperationEnd.SUCCEEDED
    assert hand.run.status is RunState.COMPLETED


def test_an_operation_fails_as_soon_as_it_cannot_succeed() -> None:
    hand = Hand(plan_of(QUICK, waves("up", 2, 3, min_success="4", on_failure=OnFailure.STOP)))
    hand.go()
    assert hand.end("up/s0", fault=BROKEN) == ["up/s1"]
    assert hand.of(ev.OperationFailed) == []
    assert not hand.run.stopping, "one lost step is allowed"
    hand.end("up/s1", fault=BROKEN)
    [failed] = hand.of(ev.OperationFailed)
    assert (failed.operation, failed.because) == ("up", "up/s1")  # type: ignore[union-attr]
    assert hand.run.stopping == "up/s1"
    assert hand.run.status is RunState.FAILED


def test_what_has_not_begun_of_a_failed_operation_is_skipped() -> None:
    hand = Hand(plan_of(QUICK, servers("up", "a", "b", "c", "d", min_success="75%"), limit=2))
    assert hand.go() == ["up/a", "up/b"]
    hand.end("up/a", fault=BROKEN)
    assert sorted(hand.open) == ["up/b", "up/c"]
    assert hand.end("up/b", fault=BROKEN) == ["up/c"]
    assert hand.state("up/d") is S.SKIPPED
    hand.end("up/c")
    assert (hand.state("up/c"), hand.run.status) == (S.SUCCEEDED, RunState.FAILED)


def test_people_are_asked_and_a_quorum_lets_the_run_go_on() -> None:
    hand = Hand(plan_of(QUICK, approval("ok", Hold(quorum=2)), servers("up", "a", after=["ok"])))
    assert hand.go() == []
    assert hand.state("ok/ask") is S.ASKING
    assert hand.machine.wake_at() is None
    assert hand.answer("ok/ask", "ada") == []
    assert hand.answer("ok/ask", "ada") == [], "one person has one voice"
    assert len(hand.of(ev.HoldAnswered)) == 1
    assert hand.answer("ok/ask", "grace") == ["up/a"]
    assert hand.run.heard == 7


def test_the_first_no_refuses() -> None:
    hand = Hand(plan_of(QUICK, approval("ok", Hold(quorum=2)), servers("up", "a", after=["ok"])))
    hand.go()
    hand.answer("ok/ask", "ada")
    hand.answer("ok/ask", "grace", yes=False)
    assert (hand.state("ok/ask"), hand.state("up/a"), hand.run.status) == (S.FAILED, S.SKIPPED, RunState.FAILED)
    assert "grace refused: not today" in str(hand.run.record("ok/ask").fault)


@pytest.mark.parametrize("go_on", [False, True])
def test_a_question_expires_only_when_every_answer_given_in_time_was_read(go_on: bool) -> None:
    hand = Hand(plan_of(QUICK, approval("ok", Hold(expires=60.0, go_on=go_on)), servers("up", "a", after=["ok"])))
    hand.go()
    assert hand.machine.wake_at() == 160.0
    hand.now = 161.0
    assert hand.go(read_at=159.0) == []
    assert hand.state("ok/ask") is S.ASKING
    assert hand.go(read_at=160.5) == (["up/a"] if go_on else [])
    assert hand.state("ok/ask") is (S.SUCCEEDED if go_on else S.FAILED)


def test_an_answer_that_was_given_in_time_counts_whenever_it_is_read() -> None:
    hand = Hand(plan_of(QUICK, approval("ok", Hold(expires=60.0)), servers("up", "a", after=["ok"])))
    hand.go()
    hand.now = 500.0
    late = hand.reborn()
    late.answer("ok/ask", "ada", at=160.0)
    assert late.state("ok/ask") is S.FAILED
    assert hand.answer("ok/ask", "ada", at=159.0) == ["up/a"]


def test_a_paused_run_may_be_answered_and_goes_on_when_it_is_resumed() -> None:
    hand = Hand(plan_of(QUICK, approval("ok", Hold()), servers("up", "a", after=["ok"])))
    hand.go()
    hand.take([ev.RunPaused(hand.now)])
    assert hand.answer("ok/ask", "ada") == []
    assert hand.state("ok/ask") is S.ASKING
    hand.take([ev.RunResumed(hand.now)])
    assert hand.go() == ["up/a"]


def test_a_run_that_was_cancelled_while_it_asked_asks_again_when_it_is_reopened() -> None:
    hand = Hand(plan_of(QUICK, approval("ok", Hold(quorum=2)), servers("up", "a", after=["ok"])))
    hand.go()
    hand.answer("ok/ask", "ada")
    hand.take([ev.CancelRequested(hand.now)])
    hand.go()
    assert hand.run.status is RunState.CANCELLED
    hand.take([ev.RunReopened(hand.now)])
    hand.go()
    assert hand.run.holds["ok/ask"].ask == 2
    assert hand.answer("ok/ask", "grace", ask=1) == []
    assert hand.answer("ok/ask", "grace", ask=2) == [], "the old answer does not count"
    assert hand.answer("ok/ask", "ada", ask=2) == ["up/a"]


def test_a_refused_question_is_asked_again_when_the_run_is_resumed() -> None:
    hand = Hand(plan_of(QUICK, approval("ok", Hold()), servers("up", "a", after=["ok"])))
    hand.go()
    hand.answer("ok/ask", "ada", yes=False)
    first = hand.run.holds["ok/ask"].hash
    assert hand.run.status is RunState.FAILED
    hand.take([ev.RunReopened(hand.now, principal="grace")])
    hand.go()
    assert (hand.run.holds["ok/ask"].ask, hand.run.holds["ok/ask"].hash != first) == (2, True)
    assert hand.answer("ok/ask", "grace", ask=2) == [], "who continued it does not answer"
    assert hand.answer("ok/ask", "ada", ask=2) == ["up/a"]


def test_a_question_holds_values_of_the_run() -> None:
    question = HoldRequest.of("ok", "Go on with ${servers.a.address}?")
    asking, [step] = approval("ok", Hold(), after=["up"])
    plan = plan_of(QUICK, servers("up", "a"), (asking, [replace(step, request=question)]))
    hand = Hand(plan)
    hand.go()
    hand.end("up/a")
    opened, asked = hand.history[-2:]
    assert isinstance(opened, ev.OperationOpened)
    assert isinstance(asked, ev.HoldAsked)
    assert question_text(hand.run, hand.run.index["ok/ask"]) == "Go on with 10.0.0.1?"


def test_a_gate_asks_only_if_something_can_start_behind_it() -> None:
    hand = Hand(plan_of(QUICK, waves("up", 1, 2, hold=Hold(), min_success="1")))
    hand.go()
    hand.end("up/s0")
    assert hand.state("up/(wave 2)") is S.ASKING
    stopped = Hand(plan_of(QUICK, waves("up", 1, 2, hold=Hold(), min_success="1")))
    stopped.go()
    stopped.take([ev.ProviderStopped(stopped.now, "upcloud", Fault(FaultClass.QUOTA, "full"))])
    stopped.end("up/s0")
    assert stopped.of(ev.HoldAsked) == []
    assert stopped.ends() == {"up": OperationEnd.DEGRADED}


def test_a_refused_wave_fails_its_operation_as_its_on_failure_says() -> None:
    hand = Hand(plan_of(QUICK, waves("up", 1, 2, hold=Hold(), on_failure=OnFailure.ROLLBACK)))
    hand.go()
    hand.end("up/s0")
    hand.answer("up/(wave 2)", "ada", yes=False)
    [stopping] = hand.of(ev.RunStopping)
    assert stopping == ev.RunStopping(hand.now, "up/(wave 2)", rollback=True)


@pytest.mark.parametrize(("least", "end"), [("50%", S.SKIPPED), ("1", S.NOT_WANTED)])
def test_what_follows_the_servers_of_refused_waves_is_judged_by_the_whole_operation(least: str, end: S) -> None:
    """Four of five servers are not made: the refusal makes that certain, and not the last of them that is skipped."""
    up = waves("up", 1, 2, 2, hold=Hold(), min_success=least)
    web = installs("web", made(up), "nginx", after=[])
    per = (Dependency("up", per=DependencyScope.SERVER),)
    steps = [replace(step, needs=(Need(step.server),)) for step in web[1]]
    hand = Hand(plan_of(QUICK, up, (replace(web[0], dependencies=per), steps)))
    assert [hand.go(), hand.end("up/s0"), hand.end("web/s0/nginx")][1:] == [["web/s0/nginx"], []]
    hand.answer("up/(wave 2)", "ada", yes=False)
    assert [hand.state(f"web/s{n}/nginx") for n in range(1, 5)] == [end] * 4
    skipped = [event for event in hand.of(ev.StepSkipped) if event.step.startswith("up/")]  # type: ignore[union-attr]
    assert {event.because for event in skipped} == {"up/(wave 2)"}  # type: ignore[union-attr]
    assert hand.run.reason == ("" if least == "1" else "1 failed, 8 skipped")


def test_a_machine_rebuilt_in_the_midst_of_a_wave_goes_on() -> None:
    """The gate of a wave comes before steps that it needs, when they belong to a later operation."""
    up = waves("up", 1, 1)
    web = installs("web", made(up), "nginx", after=[])
    per = [replace(step, needs=(Need(step.server, SOFT),)) for step in web[1]]
    gate = replace(up[1][1], needs=(*up[1][1].needs, Need("web/s0/nginx", SOFT)))
    plan = plan_of(QUICK, (up[0], [up[1][0], gate, up[1][2]]), (web[0], per))
    hand = Hand(plan)
    hand.go()
    assert hand.end("up/s0") == ["web/s0/nginx"]
    assert hand.reborn().end("web/s0/nginx") == ["up/s1"]
    hand.end("web/s0/nginx")
    assert hand.reborn().end("up/s1") == ["web/s1/nginx"]


def test_what_is_in_flight_when_its_operation_fails_is_not_tried_again() -> None:
    hand = Hand(plan_of(QUICK, servers("up", "a", "b", "c", min_success="3")))
    hand.go()
    hand.end("up/a", fault=BROKEN)
    assert hand.ends()["up"] is None
    hand.end("up/b", fault=Fault(FaultClass.TRANSIENT, "not now"))
    assert hand.state("up/b") is S.SKIPPED
    hand.end("up/c")
    assert (hand.state("up/c"), hand.run.status) == (S.SUCCEEDED, RunState.FAILED)


def test_what_waited_for_a_skipped_step_of_a_failed_operation_does_not_start() -> None:
    up = servers("up", "a", "b")
    web = installs("web", up, "x", "y", after=["up"], min_success="4")
    soft = [replace(step, needs=tuple(Need(need.step, SOFT) for need in step.needs)) for step in web[1]]
    hand = Hand(plan_of(QUICK, up, (web[0], soft), limit=1))
    hand.go()
    hand.end("up/a")
    assert hand.end("up/b") == ["web/a/x"]
    assert hand.end("web/a/x", fault=BROKEN) == []
    assert [hand.state(f"web/{one}") for one in ("a/y", "b/x", "b/y")] == [S.SKIPPED] * 3


def test_an_operation_that_is_not_wanted_has_not_failed() -> None:
    up = servers("up", "a")
    other = servers("other", "b", "c", min_success="2")
    edge = Dependency("up", DependencyKind.FAILED)
    hand = Hand(plan_of(QUICK, up, (replace(other[0], dependencies=(edge,)), other[1])))
    hand.go()
    hand.end("up/a")
    assert hand.of(ev.OperationFailed) == []
    assert hand.ends()["other"] is OperationEnd.NOT_WANTED
    assert hand.run.status is RunState.COMPLETED


def test_a_number_does_not_shrink_with_what_is_not_wanted() -> None:
    up = servers("up", "a", "b", min_success="1")
    web = installs("web", up, "x", after=["up"], min_success="2", on_failure=OnFailure.STOP)
    hand = Hand(plan_of(QUICK, up, web))
    hand.go()
    hand.end("up/a", fault=BROKEN)
    hand.end("up/b")
    assert hand.state("web/a/x") is S.NOT_WANTED
    assert hand.run.failed_operations == {"web": "web/a/x"}
    assert hand.run.stopping == "web/a/x"


def test_a_step_without_its_server_is_decided_while_the_operation_of_the_server_goes_on() -> None:
    """The gate of the next wave waits for it, so it cannot wait for the end of that operation."""
    up = waves("up", 1, 1, min_success="1")
    web = installs("web", made(up), "nginx", after=[])
    per = Dependency("up", per=DependencyScope.SERVER)
    steps = [replace(step, needs=(Need(step.server, SOFT),)) for step in web[1]]
    gate = replace(up[1][1], needs=(*up[1][1].needs, Need("web/s0/nginx", SOFT)))
    parts = (up[0], [up[1][0], gate, up[1][2]]), (replace(web[0], dependencies=(per,)), steps)
    hand = Hand(plan_of(QUICK, *parts))
    hand.go()
    assert hand.end("up/s0", fault=BROKEN) == ["up/s1"]
    assert hand.state("web/s0/nginx") is S.NOT_WANTED
    assert hand.end("up/s1") == ["web/s1/nginx"]
    hand.end("web/s1/nginx")
    assert hand.run.status is RunState.COMPLETED
    assert hand.run.degraded == ("up",)
