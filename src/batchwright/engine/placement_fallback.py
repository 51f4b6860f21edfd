"""Where the server of a step is created next, once a place has refused it. Pure.

Only a definite refusal moves a step, so nothing of it exists at the place that it leaves.
"""

from __future__ import annotations

from collections.abc import Collection

from batchwright.engine.policy import POLICIES
from batchwright.model import events as ev
from batchwright.model.fault import Fault
from batchwright.model.run import Run


def may_move(run: Run, i: int, fault: Fault) -> bool:
    """Whether this refusal sends the step to another of its places. One that may have created something stays."""
    step, record = run.plan.steps[i], run.records[i]
    wanted = step.alternatives and fault.kind in run.plan.operations[run.step_operation[i]].otherwise_on
    return bool(wanted) and not (record.doubt or record.ref or record.stale)


def next_place(run: Run, i: int, fault: Fault) -> int | None:
    """The place that is tried after this refusal; None if the step does not move, or no place is left."""
    if not may_move(run, i, fault):
        return None
    return _open_place(run, i, run.records[i].place + 1, _closed(run, i, fault))


def first_place(run: Run, i: int, fault: Fault) -> int | None:
    """The place with which a step begins again whose last place refused it; None if it does not move."""
    return _open_place(run, i, 0, _closed(run, i, fault)) if may_move(run, i, fault) else None


def moved_off(run: Run, i: int, now: float) -> list[ev.AnyEvent]:
    """The event that moves a step away from a lane in which nothing more can be created; none if it stays."""
    fault = run.stopped_lanes.get(run.lane(i))
    place = next_place(run, i, fault) if fault is not None else None
    if fault is None or place is None:
        return []
    return [moved(run, i, place, fault, ev.MoveReason.LANE_STOPPED, now)]


def moved(run: Run, i: int, place: int, fault: Fault, reason: ev.MoveReason, now: float) -> ev.StepMoved:
    """The event that moves a step to this place."""
    step = run.plan.steps[i]
    return ev.StepMoved(now, step.id, run.records[i].attempt, place, fault, reason, *step.offers[place])


def _closed(run: Run, i: int, fault: Fault) -> set[str]:
    """The lanes in which nothing can be created, now that this step was refused."""
    return {*run.stopped_lanes, *([run.lane(i)] if POLICIES[fault.kind].stops_lane else [])}


def _open_place(run: Run, i: int, begin: int, closed: Collection[str]) -> int | None:
    step = run.plan.steps[i]
    lanes = (run.plan.operations[run.step_operation[i]].lane, *(one.provider for one in step.alternatives))
    return next((place for place in range(begin, len(lanes)) if lanes[place] not in closed), None)
