"""Estimates how long a plan takes, from its steps' estimates: the critical path and the total work."""

from __future__ import annotations

from msgspec import Struct

from batchwright.model.plan import Plan, Step


class Estimate(Struct, frozen=True):
    """Estimated durations in seconds. If every step took its estimate, no schedule could be faster than `least`.

    `least` is the longer of the critical path and the total work over the limit. Steps may be quicker than estimated,
    so it is shown as an approximation.
    """

    critical_path: tuple[str, ...]
    critical_seconds: float
    work: float
    least: float


def estimate(plan: Plan) -> Estimate:
    """The estimate of a whole run of this plan. Operations are barriers: all of one before any of the next."""
    steps: dict[str, list[Step]] = {op.id: [] for op in plan.operations}
    for step in plan.steps:
        steps[step.operation].append(step)
    ends: dict[str, _End] = {}  # by operation
    cause: dict[str, str] = {}
    for op in plan.operations:
        opened = max((ends[one.id] for one in op.dependencies), default=_NOW, key=_seconds)
        ends[op.id] = _last_end(steps[op.id], opened, cause)
    longest, last = max(ends.values(), default=_NOW, key=_seconds)
    work = sum(step.seconds for step in plan.steps)
    return Estimate(_path(cause, last), longest, work, max(longest, work / plan.parallel_limit))


_End = tuple[float, str]  # when, and which step ended then
_NOW: _End = (0.0, "")


def _seconds(end: _End) -> float:
    return end[0]


def _last_end(steps: list[Step], opened: _End, cause: dict[str, str]) -> _End:
    """When the last of an operation's steps ends; `cause` gets for each step the one that held it up."""
    done: dict[str, _End] = {}
    for step in steps:
        begin = max((done[need.step] for need in step.needs), default=opened, key=_seconds)
        done[step.id] = (begin[0] + step.seconds, step.id)
        cause[step.id] = begin[1]
    return max(done.values(), default=opened, key=_seconds)


def _path(cause: dict[str, str], last: str) -> tuple[str, ...]:
    path: list[str] = []
    while last:
        path.append(last)
        last = cause[last]
    return tuple(reversed(path))
