"""What the lanes of this process do now, from the runs that it drives. Reads memory only."""

from __future__ import annotations

from collections.abc import Iterable

from batchwright.app.active_run import ActiveRun
from batchwright.engine.limits import CallClass, Lane
from batchwright.views.lanes import CallRate, LaneLine

RUNS_MOST = 20  # named per lane
LANES_MOST = 500


def lane_usage(driven: Iterable[ActiveRun], now: float) -> tuple[LaneLine, ...]:
    """The lanes that these runs use, real ones first, then by name; `now` is monotonic."""
    users: dict[tuple[int, str], list[ActiveRun]] = {}
    for one in driven:
        if one.run is not None:
            for name in one.run.plan.lanes:
                if name in one.limits.lanes:
                    users.setdefault((id(one.limits), name), []).append(one)
    lines = [_line(name, own[0].limits.lanes[name], own, now) for (_, name), own in users.items()]
    return tuple(sorted(lines, key=lambda line: (line.simulated, line.lane, line.runs))[:LANES_MOST])


def _line(name: str, lane: Lane, users: list[ActiveRun], now: float) -> LaneLine:
    runs = [one.run_id for one in users]
    return LaneLine(
        lane=name,
        simulated=all(one.run is not None and one.run.plan.simulation is not None for one in users),
        in_flight=lane.in_flight,
        places=lane.concurrency,
        waiting=sum(one.driver.ready(name) for one in users if one.driver is not None),
        rates=tuple(_rate(lane, calls, now) for calls in CallClass),
        runs=tuple(runs[:RUNS_MOST]),
        runs_more=max(0, len(runs) - RUNS_MOST),
    )


def _rate(lane: Lane, calls: CallClass, now: float) -> CallRate:
    bucket = lane.buckets[calls]
    free, top = lane.available(calls, now), bucket.top(now)
    return CallRate(
        calls=calls,
        in_flight=bucket.in_flight,
        free=max(0, free),
        rate=min(bucket.rate, top) if top else 0.0,
        base_rate=bucket.base_rate,
        burst=bucket.burst,
        throttled_seconds=max(0.0, bucket.blocked_until - now),
        wait=lane.describe(calls, now),
    )
