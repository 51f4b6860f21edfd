"""Servers that go somewhere else when a place has no room: what the machine decides."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from batchwright.engine import effects
from batchwright.model import events as ev
from batchwright.model.call_outcome import Created, Rejected, Unknown
from batchwright.model.environment_fold import turn_changes
from batchwright.model.fault import Fault, FaultClass
from batchwright.model.lifecycle import RunState, StepState
from batchwright.model.plan import Alternative, Need
from batchwright.model.run_signal import SignalKind
from batchwright.model.run_snapshot import encode_snapshot, restore_run
from batchwright.model.workflow import DependencyKind
from batchwright.operations.server_batch import ServerRequest
from tests.unit.engine.hand import Hand
from tests.unit.engine.stage import QUICK, Part, installs, plan_of, servers

CAPACITY, QUOTA, AUTH = FaultClass.CAPACITY, FaultClass.QUOTA, FaultClass.AUTH
READY = Created("r", ready=True, address="10.0.0.1")


def elsewhere(*names: str, on: tuple[FaultClass, ...] = (CAPACITY,), **rest: Any) -> Part:
    """Servers at upcloud in de-fra1, else in nl-ams1, else at aws."""
    operation, steps = servers("up", *names, otherwise_on=on, **rest)
    return operation, [
        replace(
            step,
            alternatives=(
                Alternative("upcloud", ServerRequest(step.request.name, "1xCPU-2GB", "nl-ams1")),
                Alternative("aws", ServerRequest(step.request.name, "t3.micro", "eu-central-1")),
            ),
        )
        for step in steps
    ]


def hand_of(*parts: Part, permits: int = 1_000, limit: int = 10) -> Hand:
    plan = plan_of(QUICK, *parts, limit=limit)
    facts = plan_of(QUICK, servers("x", "x", provider="aws")).providers
    return Hand(replace(plan, providers=(*facts, *plan.providers)), permits)


def places(hand: Hand) -> list[tuple[int, ev.MoveReason]]:
    return [(event.place, event.reason) for event in hand.history if isinstance(event, ev.StepMoved)]


def tokens(hand: Hand) -> list[str]:
    return [event.token for event in hand.history if isinstance(event, ev.StepStarted)]


def test_a_place_without_room_sends_the_server_to_the_next_one_at_once() -> None:
    hand = hand_of(elsewhere("a"))
    hand.answer("up/a", CAPACITY)
    assert places(hand) == [(1, ev.MoveReason.REFUSED)]
    assert (hand.run.lane(0), hand.run.request(0).zone) == ("upcloud", "nl-ams1")
    hand.answer("up/a", CAPACITY)
    assert (hand.run.lane(0), hand.run.request(0).plan) == ("aws", "t3.micro")
    hand.answer("up/a", READY)
    assert hand.run.record("up/a").state is StepState.SUCCEEDED
    assert len(set(tokens(hand))) == 3, "each place has a token of its own"
    assert hand.run.record("up/a").failures == hand.run.retries == 0, "a move costs no attempt"
    assert hand.run.summary("m").providers["aws"] == {
        "steps": 1, "succeeded": 1, "failed": 0, "retries": 0, "throttles": 0,
    }  # fmt: skip
    assert hand.run.summary("m").providers["upcloud"]["steps"] == 0


def test_the_move_is_told_before_the_next_call_and_survives_a_death_between() -> None:
    hand = hand_of(elsewhere("a"), permits=1)
    hand.permits = 0
    hand.answer("up/a", CAPACITY)
    for run in (hand.crash().run, restore_run(hand.run.created, encode_snapshot(hand.run))):
        assert (run.steps[0].request.zone, run.lane(0), run.token(0)) == ("nl-ams1", "upcloud", hand.run.token(0))
        assert run.sent_lanes == {"upcloud": 0}


def test_after_the_last_place_it_begins_again_with_the_first_after_a_pause() -> None:
    hand = hand_of(elsewhere("a"))
    for _ in range(3):
        hand.answer("up/a", CAPACITY)
    record = hand.run.record("up/a")
    assert places(hand)[-1] == (0, ev.MoveReason.AGAIN)
    assert (record.state, record.failures, record.place) == (StepState.RETRYING, 1, 0)
    assert hand.machine.wake_at() == record.until > hand.now
    assert hand.decide() == []
    hand.now = record.until
    assert [type(event) for event in hand.decide()] == [ev.StepStarted], "once, not once for each event before"
    assert hand.run.request(0).zone == "de-fra1"
    assert len(set(tokens(hand))) == 4


def test_no_more_is_sent_than_the_attempts_times_the_places() -> None:
    hand = hand_of(elsewhere("a"))
    for _ in range(100):
        if hand.run.record("up/a").state is StepState.FAILED:
            break
        if hand.run.record("up/a").state is StepState.RETRYING:
            hand.now = hand.run.record("up/a").until
            hand.decide()
        else:
            hand.answer("up/a", CAPACITY)
    attempts = 3 * 2  # room comes back slowly, so it is asked for twice as often
    assert len(tokens(hand)) == attempts * 3
    hand.swept(lane="aws")
    hand.swept()
    assert hand.run.status is RunState.FAILED


@pytest.mark.parametrize("kind", [FaultClass.INVALID, QUOTA, FaultClass.CONFLICT])
def test_only_the_named_classes_move_a_server(kind: FaultClass) -> None:
    hand = hand_of(elsewhere("a"))
    hand.answer("up/a", kind)
    assert places(hand) == []
    assert hand.run.record("up/a").state is StepState.FAILED


def test_an_unknown_outcome_never_moves_a_server() -> None:
    hand = hand_of(elsewhere("a"))
    hand.answer("up/a", Unknown("cut off"))
    hand.settled("up/a")
    assert (places(hand), hand.run.record("up/a").state) == ([], StepState.RETRYING)
    assert len(set(tokens(hand))) == 1


def test_a_server_that_is_replaced_stays_where_its_broken_one_is() -> None:
    hand = hand_of(elsewhere("a"))
    hand.answer("up/a", Created("r1"))
    hand.looked("up/a", Fault(CAPACITY, "it lost its host"))
    assert hand.run.records[0].stale == "r1"
    hand.later(hand.run.records[0].until - hand.now)
    hand.answer("up/a", CAPACITY)
    assert places(hand) == []


def test_a_quota_moves_all_that_wait_for_the_lane_without_a_call() -> None:
    hand = hand_of(elsewhere(*(f"s{n}" for n in range(50)), on=(CAPACITY, QUOTA)), limit=4)
    [refused] = [event for event in hand.answer("up/s0", QUOTA) if isinstance(event, ev.ProviderStopped)]
    assert refused.lane == "upcloud"
    assert [place for place, _ in places(hand)] == [2] * 47, "those in flight are not touched"
    assert sum(reason is ev.MoveReason.LANE_STOPPED for _, reason in places(hand)) == 46
    at = [type(event) for event in hand.history]
    moved = at.index(ev.StepMoved)
    assert at[moved + 1] is ev.ProviderStopped
    assert {hand.run.lane(i) for i in hand.run.moved} == {"aws"}
    assert hand.run.sent_lanes == {"upcloud": 0, "aws": 4}, "three are still in flight where they were"


def test_what_may_not_move_is_skipped_when_its_lane_stops() -> None:
    hand = hand_of(elsewhere("a", "b", "c"), limit=1)
    hand.answer("up/a", QUOTA)
    assert [hand.run.records[i].state for i in range(3)] == [StepState.FAILED, StepState.SKIPPED, StepState.SKIPPED]
    assert places(hand) == []


def test_at_the_quota_of_the_last_place_it_begins_again_where_calls_are_taken() -> None:
    hand = hand_of(elsewhere("a", on=(CAPACITY, QUOTA)))
    hand.answer("up/a", CAPACITY)
    hand.answer("up/a", CAPACITY)
    events = hand.answer("up/a", QUOTA)
    assert [type(event) for event in events] == [ev.StepRetrying, ev.StepMoved, ev.ProviderStopped]
    assert places(hand)[-1] == (0, ev.MoveReason.AGAIN)
    hand.now = hand.run.records[0].until
    hand.decide()
    hand.answer("up/a", CAPACITY)
    hand.answer("up/a", CAPACITY)
    assert hand.run.record("up/a").failures == 2, "the stopped lane is no place any more"


def test_a_lane_that_stopped_for_another_reason_is_passed_over() -> None:
    hand = hand_of(elsewhere("a", "b"), servers("other", "x", provider="aws"))
    hand.answer("other/x", AUTH)
    hand.answer("up/a", CAPACITY)
    hand.answer("up/a", CAPACITY)
    assert places(hand) == [(1, ev.MoveReason.REFUSED), (0, ev.MoveReason.AGAIN)]


def test_a_run_that_goes_on_begins_a_failed_step_with_the_first_place() -> None:
    hand = hand_of(elsewhere("a"))
    hand.answer("up/a", CAPACITY)
    hand.answer("up/a", FaultClass.INVALID)
    hand.swept()
    assert (hand.run.status, hand.run.records[0].place) == (RunState.FAILED, 1)
    hand.take(hand.machine.reopen(hand.now, "user"))
    hand.decide()
    assert hand.run.records[0].place == 0
    assert len(set(tokens(hand))) == 3


def test_what_was_not_sent_at_its_new_place_stays_there_when_the_run_goes_on() -> None:
    hand = hand_of(elsewhere("a"))
    hand.permits = 0
    hand.answer("up/a", CAPACITY)
    hand.wish(SignalKind.CANCEL)
    hand.swept()
    assert hand.run.status is RunState.CANCELLED
    hand.permits = 1
    hand.take(hand.machine.reopen(hand.now, "user"))
    hand.decide()
    assert hand.run.request(0).zone == "nl-ams1"


def test_every_lane_to_which_a_create_was_sent_is_swept() -> None:
    hand = hand_of(elsewhere("a"))
    hand.answer("up/a", CAPACITY)
    hand.answer("up/a", CAPACITY)
    hand.answer("up/a", READY)
    assert hand.machine.sweeping.lanes == ["upcloud", "aws"]
    assert [command.lane for command in hand.commands if isinstance(command, effects.Sweep)] == ["upcloud", "aws"]


def test_the_environment_has_the_server_where_it_is() -> None:
    up = elsewhere("a")
    hand = hand_of(up, installs("web", up, "nginx", after=["up"]))
    hand.run.turn = 1
    hand.answer("up/a", Rejected(Fault(CAPACITY, "full")))
    hand.answer("up/a", Rejected(Fault(CAPACITY, "full")))
    hand.answer("up/a", READY)
    [server, *_] = turn_changes({}, hand.run, 1).resources.values()
    assert (server.provider, server.account, server.request["zone"]) == ("aws", "simulated-aws", "eu-central-1")
    assert server.token == hand.run.token(0)


def test_a_step_whose_last_place_closes_as_it_is_released_is_skipped() -> None:
    """It is to move to a place that was open when the step before it ended, and is closed right after that."""
    operation, (first, second) = elsewhere("a", "b", on=(CAPACITY, QUOTA))
    second = replace(second, needs=(Need("up/a", DependencyKind.SOFT),))
    hand = hand_of((operation, [first, second]))
    hand.answer("up/a", QUOTA)
    assert hand.run.lane(0) == "aws"
    hand.answer("up/a", QUOTA)
    assert hand.run.record("up/a").state is StepState.FAILED
    assert hand.run.record("up/b").state is StepState.SKIPPED
