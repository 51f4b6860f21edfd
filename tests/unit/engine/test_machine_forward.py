"""Decisions on the way forward, by hand: what starts, waits, is skipped, retried, given up."""

from __future__ import annotations

import msgspec
import pytest

from batchwright.engine import effects
from batchwright.engine.machine import Machine
from batchwright.engine.policy import RETRY_AFTER_MAX, THROTTLES_MAX
from batchwright.errors import NotAllowed
from batchwright.model import events as ev
from batchwright.model.call_outcome import Applied, Created, Observed, ServerState, Unknown
from batchwright.model.fault import FaultClass
from batchwright.model.lifecycle import RunState
from batchwright.model.machine_rules import SEMANTICS
from batchwright.model.run import Run
from batchwright.model.workflow import OnFailure, Retry
from tests.unit.engine.hand import START, Hand, fault, kinds, refusal
from tests.unit.engine.stage import QUICK, Part, installs, keeps, operation, plan_of, servers

ONCE = Retry(max_attempts=1)


def test_a_plan_of_other_semantics_is_refused() -> None:
    plan = msgspec.structs.replace(plan_of(QUICK, servers("up", "a")), semantics=SEMANTICS + 1)
    with pytest.raises(NotAllowed, match="semantics") as refused:
        Machine(Run(ev.RunCreated(START, "run", plan)))
    assert "version that planned it" in refused.value.hint


def test_no_more_start_than_the_parallel_limit_and_the_permits_allow() -> None:
    plan = plan_of(QUICK, servers("up", *"abcdef"), limit=4)
    tight = Hand(plan, begin=False)
    tight.take([ev.DriverStarted(START, "hand", 1), ev.RunStarted(START)])
    assert len(tight.machine.decide(START, {"upcloud": 2})) == 2
    hand = Hand(plan)
    assert len(hand.taken(effects.DoStep)) == 4
    hand.make("up/a")
    assert len(hand.taken(effects.DoStep)) == 1, "an end makes a place"


def test_lanes_share_the_places_and_one_without_permits_holds_none() -> None:
    plan = plan_of(QUICK, servers("up", *"abcdef"), servers("aws", *"uvwxyz", provider="aws"), limit=4)
    hand = Hand(plan, begin=False)
    hand.take([ev.DriverStarted(START, "hand", 1), ev.RunStarted(START)])
    hand.take(hand.machine.decide(START, {"upcloud": 0, "aws": 50}))
    assert {plan.steps[c.step].provider for c in hand.taken(effects.DoStep)} == {"aws"}
    fair = Hand(plan).taken(effects.DoStep)
    assert sorted(plan.steps[c.step].provider for c in fair) == ["aws", "aws", "upcloud", "upcloud"]


def test_a_failed_dependency_skips_with_the_reason_and_a_soft_one_does_not() -> None:
    plan = plan_of(QUICK, servers("up", "a"), servers("hard", "b", after=["up"]), servers("soft", "c", after=["~up"]))
    hand = Hand(plan)
    hand.answer("up/a", FaultClass.PERMANENT)
    assert hand.state("hard/b") == "skipped"
    assert hand.run.record("hard/b").because == "up"
    assert "up did not succeed" in hand.run.record("hard/b").reason
    assert hand.state("soft/c") == "started"


def test_a_skip_runs_down_the_whole_branch() -> None:
    up = servers("up", "a")
    plan = plan_of(QUICK, up, installs("svc", up, "one", "two", after=["up"]), servers("top", "b", after=["svc"]))
    hand = Hand(plan)
    hand.make("up/a")
    hand.answer("svc/a/one", FaultClass.INVALID)
    assert hand.run.record("svc/a/two").because == "svc/a/one"
    assert hand.run.record("top/b").because == "svc"
    hand.swept()
    assert (hand.run.status, hand.run.reason) == (RunState.FAILED, "1 failed, 2 skipped")


def test_operations_without_steps_do_not_hold_anything_up() -> None:
    hollow: Part = (operation("hollow", after=["up"]), [])
    hand = Hand(plan_of(QUICK, servers("up", "a"), hollow, servers("top", "b", after=["hollow"])))
    hand.make("up/a")
    assert hand.state("top/b") == "started"
    assert Hand(plan_of(QUICK, (operation("empty"), []))).run.status is RunState.COMPLETED


def test_retries_of_a_counted_fault_come_later_each_time_and_end() -> None:
    retry = Retry(max_attempts=4, initial_delay=1.0, max_delay=60.0)
    hand = Hand(plan_of(QUICK, servers("up", "a", retry=retry)))
    for failure in range(3):
        (again,) = [e for e in hand.answer("up/a", FaultClass.TRANSIENT) if isinstance(e, ev.StepRetrying)]
        wait = again.until - hand.now
        assert 2**failure / 2 <= wait <= 2**failure
        assert hand.machine.wake_at() == again.until
        assert hand.later(wait - 0.01) == []
        assert kinds(hand.later(0.01)) == ["StepStarted"]
    assert kinds(hand.answer("up/a", FaultClass.TRANSIENT)) == ["StepFailed", "SweepStarted"]
    assert [c.attempt for c in hand.taken(effects.DoStep)] == [1, 2, 3, 4]
    assert {e.token for e in hand.events(ev.StepStarted)} == {hand.run.token(0)}, "always under the same token"


def test_throttles_do_not_use_up_attempts_and_a_longest_pause_is_respected() -> None:
    hand = Hand(plan_of(QUICK, servers("up", "a", retry=ONCE)))
    for _ in range(5):
        hand.answer("up/a", refusal(FaultClass.THROTTLE, retry_after=1e9))
        assert hand.run.records[0].until == hand.now + RETRY_AFTER_MAX
        hand.later(RETRY_AFTER_MAX)
    assert (hand.run.records[0].failures, hand.run.throttles, hand.run.retries) == (0, 5, 0)
    hand.make("up/a")
    assert hand.state("up/a") == "succeeded"


def test_a_step_that_is_throttled_for_ever_fails_in_the_end() -> None:
    hand = Hand(plan_of(QUICK, servers("up", "a")))
    for _ in range(THROTTLES_MAX + 1):
        hand.answer("up/a", FaultClass.THROTTLE)
    assert hand.state("up/a") == "failed"


@pytest.mark.parametrize("kind", [FaultClass.QUOTA, FaultClass.BILLING, FaultClass.AUTH])
def test_a_lane_that_can_make_nothing_more_is_stopped_and_the_others_go_on(kind: FaultClass) -> None:
    plan = plan_of(QUICK, servers("up", "a", "b", "c"), servers("aws", "d", "e", provider="aws"), limit=1)
    hand = Hand(plan)
    hand.answer("up/a", FaultClass.TRANSIENT)
    hand.answer("up/b", kind)
    hand.later(60.0)
    assert [e.lane for e in hand.events(ev.ProviderStopped)] == ["upcloud"]
    assert hand.run.record("up/c").because == "upcloud"
    assert f"it is {kind}" in hand.run.record("up/c").reason
    assert hand.state("up/a") == "skipped", "a step that backs off in the lane too"
    hand.make("aws/d", "aws/e")
    hand.swept(lane="upcloud")
    hand.swept(lane="aws")
    assert (hand.run.status, hand.run.reason) == (RunState.FAILED, "1 failed, 2 skipped")


def test_what_one_server_refuses_stops_no_other_installs() -> None:
    up = servers("up", "a", "b")
    hand = Hand(plan_of(QUICK, up, installs("svc", up, "redis", after=["up"]), limit=1))
    hand.make("up/a", "up/b")
    hand.answer("svc/a/redis", FaultClass.AUTH)
    assert not hand.events(ev.ProviderStopped)
    assert hand.state("svc/b/redis") == "started"


def test_on_failure_stop_starts_nothing_new_and_lets_flight_end() -> None:
    plan = plan_of(QUICK, servers("up", *"abcde", on_failure=OnFailure.STOP), limit=3)
    hand = Hand(plan)
    hand.answer("up/a", FaultClass.TRANSIENT)
    assert hand.state("up/d") == "started", "in its place"
    hand.answer("up/b", FaultClass.PERMANENT)
    assert hand.machine.wake_at() is None, "no retry is waited for"
    assert hand.later(100.0) == []
    hand.make("up/c", "up/d")
    hand.swept()
    assert (hand.run.status, hand.run.reason) == (RunState.FAILED, "stopped because step up/b failed")
    assert [hand.state(f"up/{name}") for name in "abcde"] == ["retrying", "failed", "succeeded", "succeeded", "waiting"]


def test_a_failure_that_wants_a_rollback_is_stronger_than_one_that_only_stops() -> None:
    stops, back = servers("s", "a", on_failure=OnFailure.STOP), servers("r", "b", "c", on_failure=OnFailure.ROLLBACK)
    for first, second in (("s/a", "r/b"), ("r/b", "s/a")):
        hand = Hand(plan_of(QUICK, stops, back))
        hand.answer(first, FaultClass.PERMANENT)
        hand.answer(second, FaultClass.PERMANENT)
        hand.make("r/c")
        hand.swept()
        assert hand.run.status is RunState.ROLLING_BACK
        assert [e.by for e in hand.events(ev.RollbackStarted)] == ["on_failure"]


def test_an_unknown_outcome_is_settled_before_anything_is_sent_again() -> None:
    hand = Hand(plan_of(QUICK, servers("up", "a")))
    hand.taken(effects.DoStep)
    assert kinds(hand.answer("up/a", Unknown("reset"))) == ["StepInDoubt"]
    assert hand.taken(effects.Settle) == [effects.Settle(0, 1)]
    assert hand.answer("up/a", Unknown("again")) == [], "it is being settled"
    assert kinds(hand.settled("up/a")) == ["StepRetrying"]
    hand.later(60.0)
    assert hand.taken(effects.DoStep) == [effects.DoStep(0, 2)]
    assert hand.run.records[0].failures == 1


@pytest.mark.parametrize(("state", "wanted"), [(ServerState.READY, "succeeded"), (ServerState.STARTING, "created")])
def test_what_is_found_again_is_taken(state: ServerState, wanted: str) -> None:
    hand = Hand(plan_of(QUICK, servers("up", "a")))
    hand.answer("up/a", Unknown("reset"))
    hand.settled("up/a", Observed("r1", state))
    assert (hand.state("up/a"), hand.run.records[0].ref, hand.run.records[0].doubt) == (wanted, "r1", False)


def test_a_provider_that_cannot_be_asked_leaves_the_doubt_and_the_next_attempt_looks_first() -> None:
    hand = Hand(plan_of(QUICK, servers("up", "a", retry=Retry(max_attempts=2))))
    hand.answer("up/a", Unknown("reset"))
    hand.settled("up/a", fault=fault(FaultClass.IN_DOUBT))
    assert hand.run.records[0].doubt
    hand.taken(effects.DoStep)
    hand.later(60.0)
    assert hand.taken(effects.DoStep) == [effects.DoStep(0, 2, look_first=True)]
    hand.settled("up/a", fault=fault(FaultClass.IN_DOUBT))
    assert hand.state("up/a") == "failed"
    assert hand.run.records[0].doubt, "given up, and still nobody knows"
    assert "upcloud" in hand.run.doubtful


def test_an_attempt_that_only_settled_an_old_doubt_is_not_counted() -> None:
    hand = Hand(plan_of(QUICK, servers("up", "a", retry=Retry(max_attempts=2))))
    hand.answer("up/a", Unknown("reset"))
    hand.settled("up/a", fault=fault(FaultClass.IN_DOUBT))
    hand.later(60.0)
    hand.settled("up/a")
    assert hand.state("up/a") == "started", "at once: the next attempt is a real one"
    assert hand.run.records[0].failures == 1


def test_a_server_that_is_no_good_is_replaced_under_another_token() -> None:
    hand = Hand(plan_of(QUICK, servers("up", "a")))
    first = hand.run.token(0)
    hand.answer("up/a", Created("r1"))
    assert [(c.ref, c.deadline) for c in hand.taken(effects.Await)] == [("r1", START + 60.0)]
    hand.looked("up/a", fault(FaultClass.TIMEOUT))
    assert (hand.run.records[0].stale, hand.run.records[0].ref) == ("r1", "")
    hand.later(60.0)
    assert hand.events(ev.StepStarted)[-1].token == hand.run.token(0) != first
    hand.answer("up/a", Created("r2"))
    assert (hand.state("up/a"), hand.run.records[0].ref, hand.run.records[0].stale) == ("created", "r2", "")


def test_a_kept_server_is_only_looked_at_and_one_that_has_gone_is_a_failure() -> None:
    for end in (None, FaultClass.CONFLICT, FaultClass.TIMEOUT, FaultClass.TRANSIENT, FaultClass.IN_DOUBT):
        hand = Hand(plan_of(QUICK, keeps("up", {"a": "r1"})))
        assert [c.ref for c in hand.taken(effects.Await)] == ["r1"]
        assert not hand.commands
        hand.looked("up/a", fault(end) if end else None)
        assert (hand.state("up/a"), hand.run.records[0].made) == ("failed" if end else "succeeded", False)
        assert not hand.events(ev.SweepStarted), "nothing was sent, so there is nothing to sweep"


def test_a_task_service_that_was_there_is_not_ours_unless_an_earlier_attempt_may_have_made_it() -> None:
    up = servers("up", "a")
    plan = plan_of(QUICK, up, installs("svc", up, "redis", after=["up"]))
    there = Hand(plan)
    there.make("up/a")
    there.answer("svc/a/redis", Applied(changed=False))
    assert not there.run.record("svc/a/redis").made
    again = Hand(plan)
    again.make("up/a")
    again.answer("svc/a/redis", Unknown("lost"))
    again.later(60.0)
    again.answer("svc/a/redis", Applied(changed=False))
    assert again.run.record("svc/a/redis").made
