"""Lanes: concurrency for all calls together, then a bucket for each class of them; shared by all runs of a process."""

from __future__ import annotations

import asyncio

import pytest

from batchwright.engine.limits import CallClass, Lane, Limits
from batchwright.engine.port_calls import turn
from batchwright.testing.virtual_clock import VirtualClock, run_virtual

NOW = 1_000.0
CREATE, DESTROY = CallClass.CREATE, CallClass.DESTROY


def test_more_calls_than_the_limit_after_a_crash_leave_nothing_free() -> None:
    limits = Limits()
    limits.add("x", Lane(2))
    for _ in range(5):
        limits.take("x", CREATE)
    assert limits.permits(["x"], CREATE, NOW)["x"] <= 0
    told: list[int] = []
    limits.listen(lambda: told.append(1))
    for _ in range(4):
        limits.release("x", CREATE)
        limits.permits(["x"], CREATE, NOW)
    assert limits.permits(["x"], CREATE, NOW) == {"x": 1}
    assert told, "who waits is told"


def test_the_first_setting_of_a_lane_stays() -> None:
    limits = Limits()
    limits.add("x", Lane(1))
    limits.take("x", CREATE)
    limits.add("x", Lane(50))
    assert limits.permits(["x"], CREATE, NOW) == {"x": 0}


def test_listeners_are_told_only_when_somebody_went_without_and_can_leave() -> None:
    limits = Limits()
    limits.add("x", Lane(2))
    told: list[int] = []
    leave = limits.listen(lambda: told.append(1))
    limits.take("x", CREATE)
    assert limits.permits(["x"], CREATE, NOW) == {"x": 1}
    limits.release("x", CREATE)
    assert not told
    limits.take("x", CREATE)
    limits.take("x", CREATE)
    assert limits.permits(["x"], CREATE, NOW) == {"x": 0}
    limits.release("x", CREATE)
    limits.release("x", CREATE)
    assert told == [1], "once is enough"
    leave()
    limits.take("x", CREATE)
    limits.take("x", CREATE)
    limits.permits(["x"], CREATE, NOW)
    limits.release("x", CREATE)
    assert told == [1]


def test_a_window_that_grows_lets_the_next_run_in() -> None:
    limits = Limits()
    limits.add("x", Lane(50))
    bucket = limits.lanes["x"].buckets[CREATE]
    bucket.window = 1.0
    told: list[int] = []
    limits.listen(lambda: told.append(1))
    bucket.take()
    assert limits.permits(["x"], CREATE, NOW) == {"x": 0}, "another run asks"
    bucket.answered(NOW)
    assert bucket.window == 2.0
    limits.release("x", CREATE)
    assert told == [1]


def test_the_earliest_lane_decides_when_to_wake() -> None:
    limits = Limits()
    limits.add("a", Lane(1))
    limits.add("b", Lane(1, rate=1.0))
    limits.add("c", Lane(1))
    assert limits.wake_at(["a", "b", "c"], CREATE, NOW) is None
    limits.lanes["c"].buckets[CREATE].throttled(NOW, 7.0)
    assert limits.wake_at(["a", "b", "c"], CREATE, NOW) == NOW + 7.0
    limits.lanes["b"].buckets[CREATE].available(NOW)
    limits.take("b", CREATE)
    assert limits.wake_at(["a", "b", "c"], CREATE, NOW) == NOW + 1.0


# -- classes of calls -----------------------------------------------------------------------------------------------


def test_places_are_shared_and_rates_are_not() -> None:
    limits = Limits()
    limits.add("x", Lane(4, 1.0, 2, 5.0, 3))
    assert limits.permits(["x"], CREATE, NOW) == {"x": 2}
    assert limits.permits(["x"], DESTROY, NOW) == {"x": 3}
    for _ in range(3):
        limits.take("x", DESTROY)
    assert limits.permits(["x"], DESTROY, NOW) == {"x": 0}
    assert limits.permits(["x"], CREATE, NOW) == {"x": 1}, "one of four places is left"
    assert limits.wake_at(["x"], DESTROY, NOW) == pytest.approx(NOW + 0.2)
    assert limits.wake_at(["x"], CREATE, NOW) is None, "only the end of a call makes room"


def test_destroys_have_the_rate_of_the_creates_unless_they_have_their_own() -> None:
    lane = Lane(10, 3.0, 4)
    assert [(bucket.base_rate, bucket.burst) for bucket in lane.buckets.values()] == [(3.0, 4), (3.0, 4)]
    lane = Lane(10, 3.0, 4, 0.0)
    assert lane.buckets[DESTROY].base_rate == 0.0, "0 is a rate of its own: none is known"


@pytest.mark.parametrize("rate", [0.0, 8.0])
def test_throttled_destroys_do_not_slow_creates(rate: float) -> None:
    lane = Lane(16, rate, 8)
    before = lane.available(CREATE, NOW)
    for n in range(20):
        lane.buckets[DESTROY].throttled(NOW + n, 60.0)
    assert lane.available(DESTROY, NOW + 20) == 0
    assert lane.available(CREATE, NOW + 20) == before
    assert lane.buckets[CREATE].rate == rate


def test_why_a_call_waits_is_told_by_its_class() -> None:
    limits = Limits()
    limits.add("aws", Lane(2, 2.0, 1))
    limits.add("idle", Lane(2))
    assert limits.words(CREATE, NOW) == {}
    limits.take("aws", CREATE)
    assert limits.words(CREATE, NOW) == {"aws": "rate 2/s"}
    assert limits.words(DESTROY, NOW) == {}
    limits.lanes["aws"].buckets[DESTROY].throttled(NOW, 9.0)
    assert limits.words(DESTROY, NOW) == {"aws": "throttled, again in 9 s"}
    limits = Limits()
    limits.add("aws", Lane(1))
    limits.take("aws", DESTROY)
    assert limits.words(CREATE, NOW) == {"aws": "1 call in flight"}, "the place that a destroy holds"


def test_a_turn_waits_for_the_rate_and_for_a_place_and_gives_it_back() -> None:
    async def play() -> list[float]:
        clock, limits = VirtualClock(), Limits()
        limits.add("x", Lane(1, 2.0, 1))
        began, took = clock.now(), []

        async def call(seconds: float) -> None:
            async with turn(limits, "x", CREATE, clock):
                took.append(clock.now() - began)
                await clock.sleep(seconds)

        await asyncio.gather(call(0.0), call(10.0), call(10.0))
        assert limits.lanes["x"].in_flight == 0
        return took

    assert run_virtual(play()) == pytest.approx([0.0, 0.5, 10.5], abs=0.01)


def test_who_stops_waiting_for_a_turn_takes_nothing() -> None:
    async def play() -> None:
        clock, limits = VirtualClock(), Limits()
        limits.add("x", Lane(1))
        limits.take("x", CREATE)

        async def call() -> None:
            async with turn(limits, "x", DESTROY, clock):
                raise AssertionError("there is no place")

        task = asyncio.ensure_future(call())
        await clock.sleep(5.0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        limits.release("x", CREATE)
        assert task.cancelled()
        assert limits.lanes["x"].in_flight == 0

    run_virtual(play())
