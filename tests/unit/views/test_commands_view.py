"""What people see of commands: what one is doing, what to do about one in doubt, and that it is no provider's."""

from __future__ import annotations

from tests.unit.engine.hand import Hand
from tests.unit.engine.stage import QUICK, plan_of, runs, servers

from batchwright.model import events as ev
from batchwright.model.call_outcome import Applied, Rejected, Unknown
from batchwright.model.fault import Fault, FaultClass
from batchwright.views.events import event_line
from batchwright.views.run import run_view
from batchwright.views.step_explanation import explain
from batchwright.views.steps import step_line

LOST = Unknown("the connection was lost")


def doing(hand: Hand, step: str) -> str:
    return step_line(hand.run, hand.run.step(step), hand.now).doing


def test_what_a_command_is_doing() -> None:
    hand = Hand(plan_of(QUICK, runs("once"), runs("again", idempotent=True)))
    assert doing(hand, "once/run") == "running"
    after = hand.crash()
    assert doing(after, "once/run") == "in doubt: checking whether it still runs"
    assert doing(after, "again/run") == "running again"
    hand.answer("once/run", Applied())
    hand.answer("again/run", Applied())
    hand.take(hand.machine.rollback(hand.now, "user"))
    hand.decide()
    assert doing(hand, "once/run") == "running its undo"


def test_a_run_with_a_command_in_doubt_says_what_to_do() -> None:
    hand = Hand(plan_of(QUICK, runs("do", undo=False)))
    hand.answer("do/run", LOST)
    view = run_view(hand.run, hand.now)
    assert view.doubts == ("do/run",)
    assert view.next == (
        "check whether do/run took effect, then run it again with: batchwright resume run --redo do/run, "
        "or mark it as done with: batchwright resume run --skip do/run"
    )
    assert "--skip do/run" in view.failed[0].hint
    told = explain(hand.run, hand.history, "do/run", hand.now)
    assert told.next == view.next
    assert told.summary == "failed after 1 attempt: in_doubt: the connection was lost"
    assert any("not run again automatically" in link.text for link in told.chain)


def test_a_command_that_plainly_failed_is_just_resumed() -> None:
    hand = Hand(plan_of(QUICK, runs("do", undo=False)))
    hand.answer("do/run", Rejected(Fault(FaultClass.EXIT, "make exited with code 2")))
    view = run_view(hand.run, hand.now)
    assert view.next == "fix the cause, then finish the remaining steps with: batchwright resume run"


def test_what_was_taken_as_done_says_so() -> None:
    hand = Hand(plan_of(QUICK, runs("do"), runs("other")))
    hand.answer("do/run", LOST)
    hand.answer("other/run", LOST)
    reopened = hand.machine.reopen(hand.now, "ann", ["other/run"], ["do/run"])
    hand.take(reopened)
    assert event_line(reopened[0]) == (
        "run reopened by ann: continuing with the unfinished steps; run again: other/run; marked as done: do/run"
    )
    assert step_line(hand.run, 0, hand.now).message == "marked as done by ann"
    assert explain(hand.run, hand.history, "do/run", hand.now).summary == "succeeded: marked as done by ann"


def test_commands_are_counted_as_steps_and_under_no_provider() -> None:
    hand = Hand(plan_of(QUICK, servers("up", "a"), runs("do", after=["up"])))
    view, summary = run_view(hand.run, hand.now), hand.run.summary("memory")
    assert (view.total, [one.name for one in view.providers]) == (2, ["upcloud"])
    assert (summary.steps, list(summary.providers)) == (2, ["upcloud"])
    assert [(one.type, one.provider) for one in view.operations] == [("server_batch", "upcloud"), ("command", "")]
    assert isinstance(hand.history[0], ev.RunCreated)
