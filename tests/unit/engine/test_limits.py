"""Lanes: concurrency, then a rate bucket that slows down when it is told and recovers by itself."""

from __future__ import annotations

import pytest

from batchwright.engine.limits import PAUSE_FIRST, PAUSE_MAX, RATE_FLOOR, RECOVERY, Lane, Limits
from batchwright.engine.policy import RETRY_AFTER_MAX

NOW = 1_000.0


def test_concurrency_is_what_is_free() -> None:
    lane = Lane(3)
    assert lane.available(NOW) == 3
    lane.take()
    lane.take()
    assert lane.available(NOW) == 1
    lane.release()
    assert lane.available(NOW) == 2
    assert lane.wake_at(NOW) is None, "only the end of a call makes room"


def test_a_bucket_holds_its_burst_and_refills_with_time() -> None:
    lane = Lane(100, rate=2.0, burst=4)
    assert lane.available(NOW) == 4
    for _ in range(4):
        lane.take()
    assert lane.available(NOW) == 0
    assert lane.wake_at(NOW) == pytest.approx(NOW + 0.5)
    assert lane.available(NOW + 0.5) == 1
    assert lane.available(NOW + 1.0) == 2
    assert lane.available(NOW + 1_000.0) == 4, "never more than the burst"


def test_full_concurrency_wins_over_a_full_bucket() -> None:
    lane = Lane(1, rate=100.0, burst=50)
    lane.take()
    assert lane.available(NOW) == 0


def test_more_calls_than_the_limit_after_a_crash_leave_nothing_free() -> None:
    limits = Limits()
    limits.add("x", Lane(2))
    for _ in range(5):
        limits.lanes["x"].take()
    assert limits.permits(["x"], NOW)["x"] <= 0
    told: list[int] = []
    limits.listen(lambda: told.append(1))
    for _ in range(4):
        limits.release("x")
        limits.permits(["x"], NOW)
    assert limits.permits(["x"], NOW) == {"x": 1}
    assert told, "who waits is told"


def test_a_throttle_halves_the_rate_once_per_burst() -> None:
    lane = Lane(100, rate=8.0, burst=8)
    lane.available(NOW)
    for n in range(5):
        lane.throttled(NOW + n / 100, None)
    assert lane.rate == pytest.approx(4.0, rel=0.05)
    assert lane.available(NOW + 0.05) == 0, "what was saved up is gone"
    lane.throttled(NOW + 10.0, None)
    assert lane.rate == pytest.approx(2.0, rel=0.05)


def test_the_rate_has_a_floor_and_comes_back() -> None:
    lane = Lane(100, rate=8.0)
    for n in range(50):
        lane.throttled(NOW + n, None)
    assert lane.rate == 8.0 * RATE_FLOOR
    lane.available(NOW + 100)
    lane.available(NOW + 101)
    assert lane.rate == pytest.approx(8.0 * (RATE_FLOOR + RECOVERY))
    lane.available(NOW + 1_000)
    assert lane.rate == 8.0


def test_retry_after_blocks_the_lane_and_is_bounded() -> None:
    for lane in (Lane(10, rate=5.0, burst=5), Lane(10)):
        lane.available(NOW)
        lane.throttled(NOW, 3.0)
        assert lane.available(NOW + 2.9) == 0
        assert lane.wake_at(NOW + 2.9) == NOW + 3.0
        assert lane.available(NOW + 3.5) > 0
        lane.throttled(NOW + 4, 1e12)
        assert lane.blocked_until <= NOW + 4 + RETRY_AFTER_MAX


def test_a_lane_of_unknown_rate_pauses_longer_each_time() -> None:
    lane, now, pauses = Lane(10), NOW, []
    for _ in range(10):
        lane.throttled(now, None)
        pauses.append(lane.blocked_until - now)
        now = lane.blocked_until
    assert pauses[:3] == pytest.approx([PAUSE_FIRST, 2 * PAUSE_FIRST, 4 * PAUSE_FIRST])
    assert pauses[-1] == pytest.approx(PAUSE_MAX)
    lane.answered(now)
    lane.throttled(now, None)
    assert lane.blocked_until - now == pytest.approx(PAUSE_FIRST), "an answer ends the row"


def test_one_burst_of_refusals_counts_once_where_no_rate_is_known() -> None:
    lane = Lane(100)
    for n in range(50):
        lane.throttled(NOW + n / 1_000, None)
    assert lane.blocked_until == pytest.approx(NOW + PAUSE_FIRST)


def test_nobody_spins_while_a_bucket_is_nearly_full() -> None:
    lane = Lane(10, rate=1e9, burst=1)
    lane.available(NOW)
    lane.take()
    wake = lane.wake_at(NOW)
    assert wake is not None
    assert wake >= NOW + 0.001


def test_why_a_call_waits_is_told() -> None:
    lane = Lane(1, rate=0.5)
    assert lane.describe(NOW) == ""
    lane.take()
    assert lane.describe(NOW) == "1 calls in flight"
    lane.release()
    assert lane.describe(NOW) == "rate 0.5/s"
    lane.throttled(NOW, 9.0)
    assert lane.describe(NOW) == "throttled, again in 9 s"


def test_the_first_setting_of_a_lane_stays() -> None:
    limits = Limits()
    limits.add("x", Lane(1))
    limits.lanes["x"].take()
    limits.add("x", Lane(50))
    assert limits.permits(["x"], NOW) == {"x": 0}


def test_listeners_are_told_only_when_somebody_went_without_and_can_leave() -> None:
    limits = Limits()
    limits.add("x", Lane(2))
    told: list[int] = []
    leave = limits.listen(lambda: told.append(1))
    limits.lanes["x"].take()
    assert limits.permits(["x"], NOW) == {"x": 1}
    limits.release("x")
    assert not told
    limits.lanes["x"].take()
    limits.lanes["x"].take()
    assert limits.permits(["x"], NOW) == {"x": 0}
    limits.release("x")
    limits.release("x")
    assert told == [1], "once is enough"
    leave()
    limits.lanes["x"].take()
    limits.lanes["x"].take()
    limits.permits(["x"], NOW)
    limits.release("x")
    assert told == [1]


def test_a_window_that_grows_lets_the_next_run_in() -> None:
    limits = Limits()
    limits.add("x", Lane(50))
    lane = limits.lanes["x"]
    lane.window = 1.0
    told: list[int] = []
    limits.listen(lambda: told.append(1))
    lane.take()
    assert limits.permits(["x"], NOW) == {"x": 0}, "another run asks"
    lane.answered(NOW)
    assert lane.window == 2.0
    limits.release("x")
    assert told == [1]


def test_where_no_rate_is_known_throttles_narrow_the_window_and_answers_widen_it() -> None:
    lane, now = Lane(16), NOW
    for wanted in (8.0, 4.0, 2.0, 1.0, 1.0):
        lane.throttled(now, None)
        now = lane.blocked_until
        assert lane.window == wanted
    assert lane.available(now) == 1
    for _ in range(1_000):
        lane.answered(now)
    assert (lane.window, lane.available(now)) == (16.0, 16)


def test_the_earliest_lane_decides_when_to_wake() -> None:
    limits = Limits()
    limits.add("a", Lane(1))
    limits.add("b", Lane(1, rate=1.0))
    limits.add("c", Lane(1))
    assert limits.wake_at(["a", "b", "c"], NOW) is None
    limits.lanes["c"].throttled(NOW, 7.0)
    assert limits.wake_at(["a", "b", "c"], NOW) == NOW + 7.0
    limits.lanes["b"].available(NOW)
    limits.lanes["b"].take()
    assert limits.wake_at(["a", "b", "c"], NOW) == NOW + 1.0
