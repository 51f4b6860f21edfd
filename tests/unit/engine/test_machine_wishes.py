"""What users may ask for in which state, and what it amounts to."""

from __future__ import annotations

import pytest

from batchwright.engine import effects, reports
from batchwright.engine.manual_resolution import forget
from batchwright.errors import NotAllowed
from batchwright.model import events as ev
from batchwright.model.call_outcome import Created, Observed, ServerState
from batchwright.model.environment_fold import unsettled
from batchwright.model.fault import FaultClass
from batchwright.model.lifecycle import RunState
from batchwright.model.run import Run
from batchwright.model.run_signal import SignalKind
from batchwright.model.run_snapshot import encode_snapshot
from batchwright.model.workflow import OnFailure, Retry
from tests.unit.engine.hand import Hand, fault, kinds
from tests.unit.engine.stage import QUICK, operation, plan_of, servers

S = SignalKind


def small() -> Hand:
    """Two servers, one at a time."""
    return Hand(plan_of(QUICK, servers("up", "a", "b", retry=Retry(2, 1.0, 1.0)), limit=1))


def test_pause_starts_nothing_new_lets_flight_end_and_resume_goes_on() -> None:
    hand = small()
    assert kinds(hand.wish(S.PAUSE)) == ["RunPaused"]
    hand.make("up/a")
    assert (hand.state("up/a"), hand.state("up/b")) == ("succeeded", "waiting")
    assert hand.machine.wake_at() is None
    assert kinds(hand.wish(S.RESUME)) == ["RunResumed", "StepStarted"]


def test_a_retry_that_falls_due_while_paused_waits_for_the_resume() -> None:
    hand = small()
    hand.answer("up/a", FaultClass.TRANSIENT)
    hand.wish(S.PAUSE)
    assert hand.machine.wake_at() is None, "nobody wakes up for it"
    assert hand.later(100.0) == []
    hand.make("up/b")
    hand.wish(S.RESUME)
    assert (hand.state("up/a"), hand.run.status) == ("started", RunState.RUNNING)


def test_a_paused_run_with_nothing_left_to_do_ends_when_it_is_resumed() -> None:
    hand = small()
    hand.make("up/a")
    hand.wish(S.PAUSE)
    hand.make("up/b")
    assert not hand.events(ev.SweepStarted)
    hand.wish(S.RESUME)
    hand.swept()
    assert hand.run.status is RunState.COMPLETED


def test_cancel_waits_for_what_is_in_flight_and_sweeps() -> None:
    for paused in (False, True):
        hand = small()
        if paused:
            hand.wish(S.PAUSE)
        assert kinds(hand.wish(S.CANCEL)) == ["CancelRequested"]
        assert kinds(hand.answer("up/a", Created("r1"))) == ["StepCreated"]
        assert hand.run.status is (RunState.PAUSED if paused else RunState.RUNNING)
        hand.looked("up/a")
        assert [c.lane for c in hand.taken(effects.Sweep)] == ["upcloud"]
        hand.swept()
        assert (hand.run.status, hand.run.reason) == (RunState.CANCELLED, "cancelled")
        assert hand.state("up/b") == "waiting"


def test_a_forced_cancel_ends_at_once_and_leaves_a_doubt_that_a_resume_settles() -> None:
    hand = small()
    hand.wish(S.CANCEL)
    assert kinds(hand.wish(S.FORCE_CANCEL)) == ["CancelRequested", "RunEnded"]
    assert hand.run.records[0].doubt
    hand.commands.clear()
    hand.take([ev.DriverStarted(hand.now, "next", 2), *hand.machine.reopen(hand.now, "user")])
    assert hand.taken(effects.Settle) == [effects.Settle(0, 1)]
    hand.settled("up/a")
    assert (hand.state("up/a"), hand.run.records[0].doubt) == ("retrying", False)
    hand.make("up/b", "up/a")
    hand.swept()
    assert hand.run.status is RunState.COMPLETED


def test_a_server_that_starts_when_a_run_is_forced_to_end_is_known_and_not_in_doubt() -> None:
    hand = small()
    hand.answer("up/a", Created("r1"))
    hand.wish(S.FORCE_CANCEL)
    assert not hand.run.records[0].doubt
    assert not hand.run.doubtful


def test_a_run_is_cancelled_before_it_starts() -> None:
    hand = Hand(plan_of(QUICK, servers("up", "a")), begin=False)
    hand.take([ev.DriverStarted(hand.now, "hand", 1)])
    hand.wish(S.CANCEL)
    assert (hand.run.status, hand.commands) == (RunState.CANCELLED, [])
    hand.now += 5.0
    hand.take(hand.machine.reopen(hand.now, "user"))
    hand.decide()
    assert (hand.run.status, hand.run.started_at) == (RunState.RUNNING, hand.now)


@pytest.mark.parametrize(
    ("before", "kind"),
    [
        ((), S.RESUME),
        ((S.PAUSE,), S.PAUSE),
        ((S.CANCEL,), S.CANCEL),
        ((S.CANCEL,), S.PAUSE),
        ((S.FORCE_CANCEL,), S.FORCE_CANCEL),
        ((S.FORCE_CANCEL,), S.CANCEL),
        ((S.FORCE_CANCEL,), S.RESUME),
        ((S.FORCE_CANCEL,), S.PAUSE),
    ],
)
def test_a_wish_for_what_is_so_already_amounts_to_nothing(before: tuple[SignalKind, ...], kind: SignalKind) -> None:
    hand = small()
    for wish in before:
        hand.wish(wish)
    assert hand.wish(kind) == []


def test_a_rollback_takes_no_signals() -> None:
    hand = small()
    hand.make("up/a", "up/b")
    hand.swept()
    hand.take(hand.machine.rollback(hand.now, "user"))
    assert [hand.wish(kind) for kind in SignalKind][1:] == [[], [], [], []]
    assert hand.run.status is RunState.ROLLING_BACK


def test_a_reopened_run_does_again_what_is_not_done_and_nothing_else() -> None:
    plan = plan_of(QUICK, servers("up", "a", "b"), servers("top", "c", after=["up"]))
    hand = Hand(plan)
    hand.make("up/a")
    hand.answer("up/b", FaultClass.QUOTA)
    hand.swept()
    assert (hand.run.status, hand.state("top/c")) == (RunState.FAILED, "skipped")
    hand.commands.clear()
    hand.take(hand.machine.reopen(hand.now, "user"))
    assert not hand.run.stopped_lanes
    hand.decide()
    assert [plan.steps[c.step].id for c in hand.taken(effects.DoStep)] == ["up/b"]
    hand.make("up/b", "top/c")
    hand.swept()
    assert (hand.run.status, hand.run.reason) == (RunState.COMPLETED, "")


def test_a_reopened_server_that_never_became_ready_is_replaced() -> None:
    hand = Hand(plan_of(QUICK, servers("up", "a", retry=Retry(1))))
    before = hand.run.token(0)
    hand.answer("up/a", Created("r1"))
    hand.looked("up/a", fault(FaultClass.TIMEOUT))
    hand.swept()
    hand.take(hand.machine.reopen(hand.now, "user"))
    hand.decide()
    assert (hand.run.records[0].stale, hand.run.token(0) == before) == ("r1", False)


def test_a_run_of_which_everything_is_done_is_not_reopened() -> None:
    hand = small()
    hand.make("up/a")
    hand.answer("up/b", Created("r1"))
    hand.wish(S.CANCEL)
    hand.looked("up/b")
    hand.swept()
    assert hand.run.status is RunState.CANCELLED
    with pytest.raises(NotAllowed, match="all of its steps are done"):
        hand.machine.reopen(hand.now, "user")


def test_a_run_that_was_not_swept_is_reopened_to_be_swept() -> None:
    hand = small()
    hand.make("up/a", "up/b")
    hand.wish(S.FORCE_CANCEL)
    assert hand.run.status is RunState.CANCELLED
    hand.take(hand.machine.reopen(hand.now, "user"))
    assert kinds(hand.decide()) == ["SweepStarted"]
    hand.swept()
    assert hand.run.status is RunState.COMPLETED


def test_a_run_whose_sweep_failed_says_so_and_is_reopened_to_sweep_again() -> None:
    hand = small()
    hand.make("up/a", "up/b")
    hand.swept(fault=fault(FaultClass.TRANSIENT))
    assert (hand.run.status, hand.run.reason) == (RunState.FAILED, "the closing sweep could not finish: upcloud")
    hand.take(hand.machine.reopen(hand.now, "user"))
    hand.decide()
    hand.swept()
    assert (hand.run.status, hand.run.sweep_faults) == (RunState.COMPLETED, {})


def test_reopen_and_rollback_say_why_not_and_what_to_do() -> None:
    hand = small()
    for ask, hint in ((hand.machine.reopen, "batchwright cancel"), (hand.machine.rollback, "batchwright cancel")):
        with pytest.raises(NotAllowed, match="Running") as refused:
            ask(hand.now, "user")
        assert hint in refused.value.hint
    hand.make("up/a", "up/b")
    hand.swept()
    with pytest.raises(NotAllowed, match="Completed") as refused:
        hand.machine.reopen(hand.now, "user")
    assert "batchwright rollback" in refused.value.hint
    hand.take(hand.machine.rollback(hand.now, "user"))
    with pytest.raises(NotAllowed, match="RollingBack"):
        hand.machine.rollback(hand.now, "user")


def test_a_run_that_made_nothing_or_forbids_it_is_not_rolled_back() -> None:
    hand = Hand(plan_of(QUICK, servers("up", "a")))
    hand.answer("up/a", FaultClass.PERMANENT)
    hand.swept()
    with pytest.raises(NotAllowed, match="created nothing"):
        hand.machine.rollback(hand.now, "user")
    forbidden = Hand(plan_of(QUICK, servers("up", "a"), rollback_enabled=False))
    forbidden.make("up/a")
    forbidden.swept()
    with pytest.raises(NotAllowed, match="rollback_enabled = false"):
        forbidden.machine.rollback(forbidden.now, "user")
    assert Hand(plan_of(QUICK, (operation("none"), []))).machine.ended


def test_a_crash_before_the_automatic_rollback_begins_does_not_forget_it() -> None:
    hand = Hand(plan_of(QUICK, servers("up", "a", "b", on_failure=OnFailure.ROLLBACK)))
    hand.make("up/a")
    hand.answer("up/b", FaultClass.PERMANENT)
    hand.take(hand.machine.accept(reports.SweepReport("upcloud", 1), hand.now))
    hand.take(hand.machine.decide(hand.now, {}))
    assert hand.run.status is RunState.FAILED
    assert not hand.machine.ended
    hand = hand.crash()
    hand.decide()
    assert (hand.run.status, hand.run.rolled_back_by) == (RunState.ROLLING_BACK, "on_failure")


# -- a provider that is gone for good ------------------------------------------------------------------------------


def lost() -> Hand:
    """Two creates in flight as the run was cancelled by force; the provider never answers again."""
    hand = Hand(plan_of(QUICK, servers("up", "a", "b")))
    hand.wish(S.FORCE_CANCEL)
    assert unsettled(hand.run)
    return hand


def test_a_doubt_that_is_forgotten_is_settled_by_decree() -> None:
    hand = lost()
    events = hand.take(forget(hand.run, hand.now, "ada", ["upcloud", "upcloud"]))
    assert events == [ev.DoubtForgotten(hand.now, "upcloud", "ada", ("a", "b"))]
    assert not unsettled(hand.run)
    assert (hand.run.status, hand.state("up/a"), hand.run.doubtful) == (RunState.CANCELLED, "failed", {})
    told = hand.run.record("up/a").fault
    assert told is not None
    assert told.message == "the outcome of its call is unknown and was forgotten by ada"
    again = Run.replay(hand.history)
    assert encode_snapshot(again) == encode_snapshot(hand.run)


def test_a_run_goes_on_after_it_with_other_tokens_and_looks_for_none_of_the_old() -> None:
    hand = lost()
    before = hand.run.token(0)
    hand.take(forget(hand.run, hand.now, "ada", ["upcloud"]))
    hand.commands.clear()
    hand.take([ev.DriverStarted(hand.now, "next", 2), *hand.machine.reopen(hand.now, "user")])
    hand.decide()
    assert hand.taken(effects.Settle) == []
    assert [one.look_first for one in hand.taken(effects.DoStep)] == [False, False]
    assert hand.run.token(0) != before
    assert hand.run.made(Observed("late", ServerState.READY, run="run", token=before)), "a late server is an orphan"


def test_what_has_no_doubt_is_not_forgotten() -> None:
    hand = lost()
    with pytest.raises(NotAllowed, match="no call of unknown outcome in 'aws'") as refused:
        forget(hand.run, hand.now, "ada", ["upcloud", "aws"])
    assert refused.value.hint == "It has some in: upcloud"
    hand.take(forget(hand.run, hand.now, "ada", ["upcloud"]))
    with pytest.raises(NotAllowed) as refused:
        forget(hand.run, hand.now, "ada", ["upcloud"])
    assert refused.value.hint == "Nothing of it is in doubt: batchwright status run"


def test_a_run_whose_process_died_ends_as_its_doubt_is_forgotten() -> None:
    hand = small()
    hand.take([ev.DriverStarted(hand.now, "next", 2), *forget(hand.run, hand.now, "ada", ["upcloud"])])
    assert (hand.run.status, hand.state("up/a"), hand.state("up/b")) == (RunState.CANCELLED, "failed", "waiting")
    assert not unsettled(hand.run)
    assert hand.machine.ended


def test_a_rollback_settles_its_calls_itself() -> None:
    hand = lost()
    hand.take(hand.machine.rollback(hand.now, "user"))
    with pytest.raises(NotAllowed, match="is being rolled back"):
        forget(hand.run, hand.now, "ada", ["upcloud"])


def test_only_the_lane_that_is_named_is_forgotten() -> None:
    up, other = servers("up", "a"), servers("else", "b", provider="aws")
    hand = Hand(plan_of(QUICK, up, other))
    hand.wish(S.FORCE_CANCEL)
    hand.take(forget(hand.run, hand.now, "ada", ["aws"]))
    assert (hand.state("up/a"), hand.state("else/b")) == ("started", "failed")
    assert unsettled(hand.run)
    with pytest.raises(NotAllowed) as refused:
        forget(hand.run, hand.now, "ada", ["aws"])
    assert refused.value.hint == "It has some in: upcloud"
