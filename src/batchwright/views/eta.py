"""How much longer a run will take: the work that is left over the limit, or the longest way that is left.

Estimates of the plan are corrected by what was observed: how long steps really took, and how quickly the steps of an
operation that is under way have been ending lately, which is what throttling and limits show in.
"""

from __future__ import annotations

from msgspec import Struct

from batchwright.model.lifecycle import RunState, StepState
from batchwright.model.run import Run, StepFoldState
from batchwright.views.plan_index import PlanIndex

PROBES = 2000  # steps looked at, evenly spread
RECENT, ENOUGH = 40, 8  # of the probes of one operation that ended: so many last ones, at least so many
_TO_DO = (StepState.WAITING, StepState.RETRYING)


class ObservedPace(Struct, frozen=True):
    """`pace`: how long steps really took over how long they were said to; `speed`: by operation, ends per second."""

    pace: float
    speed: dict[int, float]


def remaining_seconds(run: Run, shape: PlanIndex, now: float) -> float | None:
    """An estimate, None when nothing can be said: it is not running, or no step has an estimate."""
    if run.status is not RunState.RUNNING or run.cancelling or run.stopping or not run.plan.steps:
        return None
    seen = observed(run, now)
    in_flight: dict[int, float] = {}  # operation -> what its longest step in flight has left
    work = 0.0
    for i in run.in_flight:
        left = _left(run.plan.steps[i].seconds * seen.pace, run.records[i], now)
        op = run.step_operation[i]
        in_flight[op] = max(in_flight.get(op, 0.0), left)
        work += left
    ends: list[float] = []
    for op, counts in enumerate(run.counts):
        steps = len(shape.steps[op])
        to_do = sum(counts.get(state, 0) for state in _TO_DO)
        work += seen.pace * shape.work[op] * to_do / steps if steps else 0.0
        own = shape.chain[op] * seen.pace if to_do else in_flight.get(op, 0.0)
        if to_do and op in seen.speed:
            own = max(own, to_do / seen.speed[op])
        ends.append(max((ends[other] for other in shape.before[op]), default=0.0) + own)
    seconds = max(max(ends), work / run.plan.parallel_limit)
    return seconds if seconds > 0 or not run.count(*_TO_DO) else None


def _left(usual: float, record: StepFoldState, now: float) -> float:
    """Of a step in flight. One that is late is taken to need as long again as it is late, from its first attempt on: so
    long as nothing ends, the estimate grows and never stands still.
    """
    late = now - record.attempt_at - usual
    if late <= 0 and not record.failures:
        return -late
    return max(-late, now - record.started_at - usual) if record.started_at else abs(late)


def observed(run: Run, now: float) -> ObservedPace:
    """What the steps that succeeded tell."""
    took = said = 0.0
    stride = max(1, len(run.records) // PROBES)
    ended: dict[int, list[float]] = {}
    for i in range(0, len(run.records), stride):
        record = run.records[i]
        if record.state is StepState.SUCCEEDED:
            took += record.ended_at - record.attempt_at
            said += run.plan.steps[i].seconds
            ended.setdefault(run.step_operation[i], []).append(record.ended_at)
    speed = {}
    for op, times in ended.items():
        recent = sorted(times)[-RECENT:]
        if len(recent) >= ENOUGH and now > recent[0]:
            speed[op] = len(recent) * stride / (now - recent[0])
    return ObservedPace(took / said if said > 0 and took > 0 else 1.0, speed)
