"""Steps that may begin, in queues by lane; an operation with a limit of its own has a queue of its own. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping

from batchwright.model.lifecycle import STEP_IN_FLIGHT
from batchwright.model.run import Run

Queue = tuple[str, int]  # the lane, and the index of an operation with a limit of its own, else -1


def queue_of(run: Run, i: int) -> Queue:
    """The queue in which this step waits for its turn."""
    op = run.step_operation[i]
    return run.lane(i), op if run.plan.operations[op].parallel_limit else -1


def taken(ready: Mapping[Queue, deque[int]], permits: Mapping[str, int], run: Run, room: int) -> list[int]:
    """Take up to `room` steps from the queues in turn, as far as the permits of each lane and the operations allow."""
    left = {queue: min(len(waiting), _room_of(run, queue[1])) for queue, waiting in ready.items() if waiting}
    lanes = {lane: permits.get(lane, 0) for lane, _ in left}
    found: list[int] = []
    while room > 0 and (usable := [queue for queue, count in left.items() if count > 0 and lanes[queue[0]] > 0]):
        each = max(1, room // len(usable))
        for queue in usable:
            count = min(each, left[queue], lanes[queue[0]], room)
            left[queue] -= count
            lanes[queue[0]] -= count
            room -= count
            found.extend(ready[queue].popleft() for _ in range(count))
    return found


def _room_of(run: Run, op: int) -> int:
    limit = run.plan.operations[op].parallel_limit if op >= 0 else 0
    if not limit:
        return len(run.records)
    return limit - sum(run.counts[op].get(state, 0) for state in STEP_IN_FLIGHT)
