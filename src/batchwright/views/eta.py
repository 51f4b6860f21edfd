"""How much longer a run will take: the work that is left over the limit, or the longest way that is left."""

from __future__ import annotations

from batchwright.model.lifecycle import RunState, StepState
from batchwright.model.run import Run
from batchwright.views.shape import Shape

PROBES = 2000  # steps looked at, evenly spread, to learn how the estimates compare with the truth
_TO_DO = (StepState.WAITING, StepState.RETRYING)


def remaining_seconds(run: Run, shape: Shape, now: float) -> float | None:
    """An estimate, None when nothing can be said: it is not running, or no step has an estimate."""
    if run.status is not RunState.RUNNING or run.cancelling or run.stopping or not run.plan.steps:
        return None
    pace = observed_pace(run)
    in_flight: dict[int, float] = {}  # operation -> what its longest step in flight has left
    work = 0.0
    for i in run.in_flight:
        left = max(0.0, run.plan.steps[i].seconds * pace - (now - run.records[i].attempt_at))
        op = run.step_operation[i]
        in_flight[op] = max(in_flight.get(op, 0.0), left)
        work += left
    longest = 0.0
    ends: list[float] = []
    for op, counts in enumerate(run.counts):
        steps = len(shape.steps[op])
        to_do = sum(counts.get(state, 0) for state in _TO_DO)
        work += pace * shape.work[op] * to_do / steps if steps else 0.0
        own = shape.chain[op] * pace if to_do else in_flight.get(op, 0.0)
        ends.append(max((ends[other] for other in shape.before[op]), default=0.0) + own)
        longest = max(longest, ends[-1])
    seconds = max(longest, work / run.plan.parallel_limit)
    return seconds if seconds > 0 or not run.count(*_TO_DO) else None


def observed_pace(run: Run) -> float:
    """How long steps really took over how long they were said to take; 1 when none has ended."""
    took = said = 0.0
    for i in range(0, len(run.records), max(1, len(run.records) // PROBES)):
        record = run.records[i]
        if record.state is StepState.SUCCEEDED:
            took += record.ended_at - record.started_at
            said += run.plan.steps[i].seconds
    return took / said if said > 0 and took > 0 else 1.0
