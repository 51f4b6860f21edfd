"""What an account lets through is learned from its refusals, and two runs share it."""

from __future__ import annotations

import pytest
from bench.account_limits import beside, beside_rollback, two_runs
from hypothesis import given
from hypothesis import strategies as st

from batchwright.engine.bucket import Bucket
from batchwright.engine.learned_rate import BACK, LearnedRate

NOW = 1_000.0


def steady(pace: LearnedRate, rate: float, seconds: float, start: float = NOW) -> float:
    """So many calls per second are accepted; gives the time after them."""
    for n in range(int(rate * seconds)):
        pace.accepted(start + n / rate)
    return start + seconds


def test_nothing_is_known_before_a_refusal() -> None:
    pace = LearnedRate()
    assert pace.limit(steady(pace, 5.0, 20.0)) == 0.0


def test_what_was_accepted_lately_is_the_limit_less_a_tenth() -> None:
    pace = LearnedRate()
    now = steady(pace, 5.0, 20.0)
    pace.refused(now)
    assert pace.limit(now) == pytest.approx(BACK * 5.0, rel=0.05)


def test_refusals_of_one_burst_count_once_and_a_stream_of_them_does_not() -> None:
    pace = LearnedRate()
    now = steady(pace, 5.0, 20.0)
    for n in range(4):
        pace.refused(now + n / 10)
    once = pace.limit(now + 0.3)
    assert once == pytest.approx(BACK * 5.0, rel=0.05)
    for n in range(60):
        pace.refused(now + n / 10)
    assert pace.limit(now + 6.0) < once / 2


def test_one_refusal_after_silence_says_nothing() -> None:
    pace = LearnedRate()
    pace.refused(NOW)
    assert pace.limit(NOW) == 0.0


@given(st.floats(0.5, 200.0), st.lists(st.floats(0.0, 30.0), max_size=30))
def test_a_refusal_never_raises_the_limit_and_calm_never_lowers_it(rate: float, gaps: list[float]) -> None:
    pace = LearnedRate()
    now = steady(pace, rate, 10.0)
    pace.refused(now)
    for gap in gaps:
        calm = pace.limit(now + gap)
        assert calm >= pace.limit(now)
        now += gap
        pace.refused(now)
        assert pace.limit(now) <= calm


def test_a_raised_limit_is_found_within_minutes() -> None:
    pace = LearnedRate()
    now = steady(pace, 2.0, 20.0)
    pace.refused(now)
    assert pace.limit(now + 30.0) == pytest.approx(pace.limit(now), rel=0.02)
    assert pace.limit(now + 240.0) > 4 * pace.limit(now)


def test_a_bucket_paces_its_calls_by_what_it_learned_and_says_so() -> None:
    bucket, now = Bucket(16), NOW
    for _ in range(100):
        bucket.answered(now)
        now += 0.2
    for _ in range(4):  # one of fifty may be chance
        bucket.throttled(now, None)
    now = bucket.blocked_until
    bucket.available(now)
    assert bucket.available(now + 0.1) == 0
    assert bucket.describe(now + 0.1).startswith("rate 4.")
    wake = bucket.wake_at(now + 0.1)
    assert wake is not None
    assert bucket.available(wake + 0.001) == 1
    assert bucket.top(now) < 5.0


@pytest.mark.parametrize("stated", [0.0, 5.0, 10.0])
def test_two_runs_use_the_account_and_are_hardly_ever_refused(stated: float) -> None:
    refused, used = two_runs(5.0, stated, servers=400)
    assert refused < 0.01
    assert used >= 0.85


def test_a_throttled_account_does_not_slow_another() -> None:
    assert beside(5.0) < 1.1


def test_throttled_destroys_do_not_slow_the_creates_of_another_run() -> None:
    assert beside_rollback(1.0, servers=100) < 1.1
