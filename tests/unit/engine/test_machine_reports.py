"""Reports that come twice, late or out of place amount to nothing; a crash gives back what it swallowed."""

from __future__ import annotations

import pytest

from batchwright.engine import effects, reports
from batchwright.errors import IllegalTransition
from batchwright.model import events as ev
from batchwright.model.call_outcome import Applied, Created, Observed, ServerState, Unknown
from batchwright.model.fault import Fault, FaultClass
from batchwright.model.lifecycle import RunState
from batchwright.model.run_signal import SignalKind
from batchwright.model.workflow import Retry
from tests.unit.engine.hand import START, Hand, fault, kinds, refusal
from tests.unit.engine.stage import QUICK, installs, keeps, plan_of, servers


def test_a_second_answer_amounts_to_nothing() -> None:
    hand = Hand(plan_of(QUICK, servers("up", "a")))
    hand.answer("up/a", Created("r1"))
    assert hand.say(reports.CallReport(0, 1, Created("r2"))) == []
    assert hand.say(reports.CallReport(0, 1, refusal(FaultClass.PERMANENT))) == []
    assert hand.say(reports.SettleReport(0, 1, None)) == []
    hand.looked("up/a")
    assert hand.say(reports.ServerReport(0, 1, "r1", "addr")) == []
    assert hand.run.records[0].ref == "r1"


def test_reports_of_an_earlier_attempt_amount_to_nothing() -> None:
    hand = Hand(plan_of(QUICK, servers("up", "a")))
    hand.answer("up/a", Created("r1"))
    hand.looked("up/a", fault(FaultClass.TIMEOUT))
    hand.later(60.0)
    assert hand.run.records[0].attempt == 2
    assert hand.say(reports.CallReport(0, 1, Created("r1", ready=True))) == []
    assert hand.say(reports.ServerReport(0, 1, "r1", "addr")) == []
    hand.answer("up/a", Created("r2"))
    assert hand.say(reports.ServerReport(0, 2, "r1", "addr")) == [], "of another server"


def test_reports_to_a_run_that_has_ended_amount_to_nothing() -> None:
    hand = Hand(plan_of(QUICK, servers("up", "a")))
    hand.wish(SignalKind.FORCE_CANCEL)
    assert hand.answer("up/a", Created("r1")) == []
    assert hand.say(reports.SweepReport("upcloud", 1)) == []
    assert hand.run.records[0].doubt, "what came of it is settled by a resume or a rollback"


def test_undo_reports_out_of_place_amount_to_nothing() -> None:
    hand = Hand(plan_of(QUICK, servers("up", "a")))
    assert hand.say(reports.UndoReport(0, 1)) == []
    hand.make("up/a")
    hand.swept()
    hand.take(hand.machine.rollback(hand.now, "user"))
    hand.decide()
    assert hand.say(reports.CallReport(0, 1, Created("r9"))) == []
    assert hand.say(reports.UndoReport(0, 7)) == []
    hand.undid("up/a")
    assert hand.undid("up/a") == []


def test_a_crash_between_intent_and_outcome_is_settled_and_costs_no_attempt() -> None:
    hand = Hand(plan_of(QUICK, servers("up", "a", retry=Retry(max_attempts=1)))).crash()
    assert hand.commands == [effects.Settle(0, 1)]
    assert hand.run.records[0].doubt
    hand.settled("up/a")
    assert (hand.state("up/a"), hand.run.records[0].failures) == ("started", 0)
    assert hand.taken(effects.DoStep) == [effects.DoStep(0, 2)]


def test_a_crash_while_a_server_starts_waits_for_it_again() -> None:
    hand = Hand(plan_of(QUICK, servers("up", "a")))
    hand.answer("up/a", Created("r1"))
    hand = hand.crash()
    assert hand.commands == [effects.Await(0, 1, "r1", START + 60.0)]
    assert not hand.run.records[0].doubt, "its reference is known"


def test_a_crash_during_an_install_or_a_look_at_a_kept_server_does_it_again() -> None:
    kept = keeps("up", {"a": "r1"})
    hand = Hand(plan_of(QUICK, kept, installs("svc", kept, "redis", after=["up"]))).crash()
    assert hand.commands == [effects.Await(0, 1, "r1", START + 60.0)]
    assert not hand.run.records[0].doubt, "nothing was sent for a kept server"
    hand.looked("up/a")
    again = hand.crash()
    assert again.commands == [effects.DoStep(1, 1)]
    again.answer("svc/a/redis", Applied(changed=False))
    assert again.run.record("svc/a/redis").made, "the swallowed call may have installed it"


def test_timers_outlive_a_crash() -> None:
    hand = Hand(plan_of(QUICK, servers("up", "a")))
    hand.answer("up/a", FaultClass.TRANSIENT)
    until = hand.run.records[0].until
    hand = hand.crash()
    assert hand.machine.wake_at() == until
    assert hand.decide() == []
    assert kinds(hand.later(until - hand.now)) == ["StepStarted"]


def test_a_paused_run_settles_what_a_crash_left_open() -> None:
    hand = Hand(plan_of(QUICK, servers("up", "a", "b"), limit=1))
    hand.wish(SignalKind.PAUSE)
    hand = hand.crash()
    assert hand.run.status is RunState.PAUSED
    assert hand.taken(effects.Settle) == [effects.Settle(0, 1)]
    hand.settled("up/a", Observed("r1", ServerState.READY))
    assert (hand.state("up/a"), hand.state("up/b")) == ("succeeded", "waiting")


def test_a_first_event_comes_once() -> None:
    hand = Hand(plan_of(QUICK, servers("up", "a")))
    with pytest.raises(IllegalTransition, match="only once"):
        hand.machine.apply(hand.run.created)


def test_an_install_whose_outcome_is_unknown_is_done_again_and_counted() -> None:
    up = servers("up", "a", retry=Retry(max_attempts=2))
    hand = Hand(plan_of(QUICK, up, installs("svc", up, "redis", after=["up"], retry=Retry(max_attempts=2))))
    hand.make("up/a")
    hand.answer("svc/a/redis", Unknown("lost"))
    hand.later(60.0)
    (failed,) = [e for e in hand.answer("svc/a/redis", Unknown("lost")) if isinstance(e, ev.StepFailed)]
    assert failed.fault == Fault(FaultClass.IN_DOUBT, "lost")


def test_what_a_call_says_counts_only_while_it_is_in_flight() -> None:
    web = servers("up", "a")
    hand = Hand(plan_of(QUICK, web, installs("svc", web, "redis", after=("up",))))
    said = reports.OutputReport(1, 1, ("one", "two"))
    assert hand.say(said) == [], "not begun"
    hand.make("up/a")
    before = len(hand.commands)
    assert hand.say(said) == [ev.StepOutput(hand.now, "svc/a/redis", 1, ("one", "two"))]
    assert len(hand.commands) == before, "output asks for nothing"
    assert hand.run.records[1].said == "two"
    assert hand.say(reports.OutputReport(1, 2, ("of another attempt",))) == []
    assert hand.say(reports.OutputReport(1, 1, ("of an undo",), undo=True)) == []
    hand.answer("svc/a/redis", Applied())
    assert hand.say(said) == [], "it has ended"
