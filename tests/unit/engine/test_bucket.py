"""The bucket of a class of calls: a rate that slows down when it is told and recovers by itself, or a window."""

from __future__ import annotations

import pytest

from batchwright.engine.bucket import PAUSE_FIRST, PAUSE_MAX, RATE_FLOOR, RECOVERY, Bucket
from batchwright.engine.policy import RETRY_AFTER_MAX

NOW = 1_000.0


def test_concurrency_is_what_is_free() -> None:
    bucket = Bucket(3)
    assert bucket.available(NOW) == 3
    bucket.take()
    bucket.take()
    assert bucket.available(NOW) == 1
    bucket.release()
    assert bucket.available(NOW) == 2
    assert bucket.wake_at(NOW) is None, "only the end of a call makes room"


def test_a_bucket_holds_its_burst_and_refills_with_time() -> None:
    bucket = Bucket(100, rate=2.0, burst=4)
    assert bucket.available(NOW) == 4
    for _ in range(4):
        bucket.take()
    assert bucket.available(NOW) == 0
    assert bucket.wake_at(NOW) == pytest.approx(NOW + 0.5)
    assert bucket.available(NOW + 0.5) == 1
    assert bucket.available(NOW + 1.0) == 2
    assert bucket.available(NOW + 1_000.0) == 4, "never more than the burst"


def test_full_concurrency_wins_over_a_full_bucket() -> None:
    bucket = Bucket(1, rate=100.0, burst=50)
    bucket.take()
    assert bucket.available(NOW) == 0


def test_a_throttle_halves_the_rate_once_per_burst() -> None:
    bucket = Bucket(100, rate=8.0, burst=8)
    bucket.available(NOW)
    for n in range(5):
        bucket.throttled(NOW + n / 100, None)
    assert bucket.rate == pytest.approx(4.0, rel=0.05)
    assert bucket.available(NOW + 0.05) == 0, "what was saved up is gone"
    bucket.throttled(NOW + 10.0, None)
    assert bucket.rate == pytest.approx(2.0, rel=0.05), "the account still refuses"


def test_the_rate_has_a_floor_and_comes_back() -> None:
    bucket = Bucket(100, rate=8.0)
    for n in range(50):
        bucket.throttled(NOW + n, None)
    assert bucket.rate == 8.0 * RATE_FLOOR
    bucket.available(NOW + 100)
    bucket.available(NOW + 101)
    assert bucket.rate == pytest.approx(8.0 * (RATE_FLOOR + RECOVERY))
    bucket.available(NOW + 1_000)
    assert bucket.rate == 8.0


def test_retry_after_blocks_the_bucket_and_is_bounded() -> None:
    for bucket in (Bucket(10, rate=5.0, burst=5), Bucket(10)):
        bucket.available(NOW)
        bucket.throttled(NOW, 3.0)
        assert bucket.available(NOW + 2.9) == 0
        assert bucket.wake_at(NOW + 2.9) == NOW + 3.0
        assert bucket.available(NOW + 3.5) > 0
        bucket.throttled(NOW + 4, 1e12)
        assert bucket.blocked_until <= NOW + 4 + RETRY_AFTER_MAX


def test_a_bucket_of_unknown_rate_pauses_longer_each_time() -> None:
    bucket, now, pauses = Bucket(10), NOW, []
    for _ in range(10):
        bucket.throttled(now, None)
        pauses.append(bucket.blocked_until - now)
        now = bucket.blocked_until
    assert pauses[:4] == pytest.approx([PAUSE_FIRST, PAUSE_FIRST, 2 * PAUSE_FIRST, 4 * PAUSE_FIRST])
    assert pauses[-1] == pytest.approx(PAUSE_MAX)
    bucket.answered(now)
    bucket.throttled(now, None)
    assert bucket.blocked_until - now == pytest.approx(PAUSE_FIRST), "an answer ends the row"


def test_one_burst_of_refusals_counts_once_where_no_rate_is_known() -> None:
    bucket = Bucket(100)
    for n in range(50):
        bucket.throttled(NOW + n / 1_000, None)
    assert bucket.blocked_until == pytest.approx(NOW + PAUSE_FIRST, abs=0.1)


def test_nobody_spins_while_a_bucket_is_nearly_full() -> None:
    bucket = Bucket(10, rate=1e9, burst=1)
    bucket.available(NOW)
    bucket.take()
    wake = bucket.wake_at(NOW)
    assert wake is not None
    assert wake >= NOW + 0.001


def test_why_a_call_waits_is_told() -> None:
    bucket = Bucket(1, rate=0.5)
    assert bucket.describe(NOW) == ""
    bucket.take()
    assert bucket.describe(NOW) == "1 call in flight"
    bucket.release()
    assert bucket.describe(NOW) == "rate 0.5/s"
    bucket.throttled(NOW, 9.0)
    assert bucket.describe(NOW) == "throttled, again in 9 s"


def test_where_no_rate_is_known_throttles_narrow_the_window_and_answers_widen_it() -> None:
    bucket, now = Bucket(16), NOW
    for wanted in (16.0, 8.0, 4.0, 2.0, 1.0, 1.0):
        bucket.throttled(now, None)
        now = bucket.blocked_until
        assert bucket.window == wanted
    assert bucket.available(now) == 1
    for _ in range(1_000):
        bucket.answered(now)
    assert (bucket.window, bucket.available(now)) == (16.0, 16)
