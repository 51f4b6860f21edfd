"""Estimates how long a run will still take: the remaining work over the limit, or the longest remaining path.

The plan's estimates are corrected by observation: by how long steps really took, and by how fast the steps of a running
operation have been ending lately, which is where throttling and limits show.
"""

from __future__ import annotations

from msgspec import Struct

from batchwright.model.lifecycle import STEP_ENDED, RunState, StepState
from batchwright.model.run import Run, StepFoldState
from batchwright.views.plan_index import PlanIndex

PROBES = 2000  # steps that are sampled, evenly spread
RECENT, ENOUGH = 40, 8  # of the sampled steps of an operation that ended: the last 40 count, at least 8 are needed
_TO_DO = (StepState.WAITING, StepState.RETRYING)


class ObservedPace(Struct, frozen=True):
    """`pace`: real over estimated duration of steps; `speed`: steps that end per second, by operation."""

    pace: float
    speed: dict[int, float]


def remaining_seconds(run: Run, shape: PlanIndex, now: float) -> float | None:
    """The estimate; None if the run is not running or no step has an estimate."""
    spans = _seconds_ahead(run, shape, now)
    if spans is None:
        return None
    seconds = max(end for _, end in spans)
    return seconds if seconds > 0 or not run.count(*_TO_DO) else None


def expected_spans(run: Run, shape: PlanIndex, now: float) -> list[tuple[float, float] | None]:
    """From when to when the rest of each operation may take; None if nothing is left, or the run is not running."""
    spans = _seconds_ahead(run, shape, now) or [(0.0, 0.0)] * len(run.counts)
    return [(now + begin, now + end) if end > begin else None for begin, end in spans]


def _seconds_ahead(run: Run, shape: PlanIndex, now: float) -> list[tuple[float, float]] | None:
    """In how many seconds the rest of each operation may begin and end.

    Where the limit of the run holds it up, all of them are stretched to the time that the work takes.
    """
    if run.status is not RunState.RUNNING or run.cancelling or run.stopping or not run.plan.steps:
        return None
    seen = observed(run, now)
    in_flight: dict[int, float] = {}  # operation -> seconds left of its longest step in flight
    work = 0.0
    for i in run.in_flight:
        left = _left(run.plan.steps[i].seconds * seen.pace, run.records[i], now)
        op = run.step_operation[i]
        in_flight[op] = max(in_flight.get(op, 0.0), left)
        work += left
    begins: list[float] = []
    ends: list[float] = []
    for op, counts in enumerate(run.counts):
        steps = len(shape.steps[op])
        to_do = sum(counts.get(state, 0) for state in _TO_DO)
        work += seen.pace * shape.work[op] * to_do / steps if steps else 0.0
        own = shape.chain[op] * seen.pace * _waves_left(run, op) if to_do else in_flight.get(op, 0.0)
        if to_do and op in seen.speed:
            own = max(own, to_do / seen.speed[op])
        begin = max((ends[other] for other in shape.before[op]), default=0.0)
        begin = max([begin, *(begins[other] for other in shape.before_on_server[op])])
        begins.append(begin)
        ends.append(begin + own)
    stretch = max(1.0, work / run.plan.parallel_limit / max(ends)) if max(ends) > 0 else 1.0
    return [(begin * stretch, end * stretch) for begin, end in zip(begins, ends, strict=True)]


def _waves_left(run: Run, op: int) -> float:
    """Which part of an operation's waves has not ended; all of it, if it has none."""
    gates = [run.records[i].state for i in run.gates[op] if run.plan.steps[i].traits.holds]
    return (1 + sum(state not in STEP_ENDED for state in gates)) / (1 + len(gates))


def _left(usual: float, record: StepFoldState, now: float) -> float:
    """Seconds left of a step in flight.

    A step that is late is assumed to need as long again as it is late, counted from its first attempt. So while nothing
    ends, the estimate grows and never stands still.
    """
    late = now - record.attempt_at - usual
    if late <= 0 and not record.failures:
        return -late
    return max(-late, now - record.started_at - usual) if record.started_at else abs(late)


def observed(run: Run, now: float) -> ObservedPace:
    """Measure the steps that succeeded."""
    took = said = 0.0
    stride = max(1, len(run.records) // PROBES)
    ended: dict[int, list[float]] = {}
    for i in range(0, len(run.records), stride):
        record = run.records[i]
        if record.state is StepState.SUCCEEDED and not run.plan.steps[i].traits.holds:
            took += record.ended_at - record.attempt_at
            said += run.plan.steps[i].seconds
            ended.setdefault(run.step_operation[i], []).append(record.ended_at)
    speed = {}
    for op, times in ended.items():
        recent = sorted(times)[-RECENT:]
        if len(recent) >= ENOUGH and now > recent[0]:
            speed[op] = len(recent) * stride / (now - recent[0])
    return ObservedPace(took / said if said > 0 and took > 0 else 1.0, speed)
