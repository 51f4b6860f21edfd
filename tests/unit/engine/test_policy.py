"""One policy per fault class, delays that grow and are capped, and bounds on what a provider may ask for."""

from __future__ import annotations

import pytest

from batchwright.engine.policy import POLICIES, RETRY_AFTER_MAX, THROTTLES_MAX, asked_pause, backoff, may_retry
from batchwright.model.fault import FaultClass
from batchwright.model.workflow import Retry
from tests.unit.engine.hand import fault

RETRY = Retry(max_attempts=3, initial_delay=2.0, max_delay=20.0)
STOPS = {FaultClass.QUOTA, FaultClass.BILLING, FaultClass.AUTH}
FAILS = {FaultClass.INVALID, FaultClass.NOT_FOUND, FaultClass.CONFLICT, FaultClass.PERMANENT}


def test_every_fault_class_has_a_policy() -> None:
    assert set(POLICIES) == set(FaultClass)


@pytest.mark.parametrize("kind", FaultClass)
def test_the_policy_of_a_class(kind: FaultClass) -> None:
    policy = POLICIES[kind]
    assert policy.stops_lane is (kind in STOPS)
    assert policy.retry is (kind not in STOPS | FAILS)
    assert policy.counted is (kind is not FaultClass.THROTTLE)


@pytest.mark.parametrize("kind", sorted(set(FaultClass) - STOPS - FAILS - {FaultClass.THROTTLE}))
def test_attempts_are_used_up(kind: FaultClass) -> None:
    most = 3 * POLICIES[kind].more
    assert [may_retry(fault(kind), RETRY, failures, 0) for failures in range(8)] == [n < most - 1 for n in range(8)]
    assert not may_retry(fault(kind), Retry(max_attempts=1), 0, 0), "once is once"


def test_a_place_without_room_is_given_minutes() -> None:
    """E9."""
    usual, policy = Retry(), POLICIES[FaultClass.CAPACITY]
    tries = [n for n in range(50) if may_retry(fault(FaultClass.CAPACITY), usual, n, 0)]
    waits = [backoff(usual, n, "seed", policy) for n in tries]
    assert sum(waits) >= 240
    assert min(waits) >= 10
    assert max(waits) <= 5 * usual.max_delay


def test_a_throttle_uses_up_no_attempts_but_is_not_borne_for_ever() -> None:
    throttle = fault(FaultClass.THROTTLE)
    assert may_retry(throttle, RETRY, 99, THROTTLES_MAX - 1)
    assert not may_retry(throttle, RETRY, 0, THROTTLES_MAX)


def test_delays_double_and_are_capped() -> None:
    for failures, full in enumerate((2.0, 4.0, 8.0, 16.0, 20.0, 20.0)):
        for seed in "abcdefgh":
            assert full / 2 <= backoff(RETRY, failures, seed) <= full
    assert backoff(RETRY, 10_000, "a") <= 20.0


def test_jitter_tells_steps_apart_and_is_the_same_in_every_process() -> None:
    delays = {backoff(RETRY, 1, f"token-{n}") for n in range(100)}
    assert len(delays) == 100
    assert backoff(RETRY, 1, "token-1") == backoff(RETRY, 1, "token-1")


def test_what_a_provider_asks_for_is_bounded() -> None:
    assert asked_pause(None) == 0.0
    assert asked_pause(-5.0) == 0.0
    assert asked_pause(7.5) == 7.5
    assert asked_pause(1e12) == RETRY_AFTER_MAX
