"""Estimates how long a plan takes, from its steps' estimates: the critical path and the total work."""

from __future__ import annotations

from collections.abc import Mapping
from graphlib import TopologicalSorter

from msgspec import Struct

from batchwright.model.plan import Plan, Step
from batchwright.model.workflow import DependencyScope


class Estimate(Struct, frozen=True):
    """Estimated durations in seconds. If every step took its estimate, no schedule could be faster than `least`.

    `least` is the longer of the critical path and the total work over the limit. Steps may be quicker than estimated,
    so it is shown as an approximation.
    """

    critical_path: tuple[str, ...]
    critical_seconds: float
    work: float
    least: float


_End = tuple[float, str]  # when, and which step ended then
_NOW: _End = (0.0, "")


def estimate(plan: Plan) -> Estimate:
    """The estimate of a whole run of this plan. An operation begins when those that it depends on as a whole end."""
    steps = {step.id: step for step in plan.steps}
    members: dict[str, list[str]] = {op.id: [] for op in plan.operations}
    for step in plan.steps:
        members[step.operation].append(step.id)
    barriers = {
        op.id: [one.id for one in op.dependencies if one.per is DependencyScope.OPERATION] for op in plan.operations
    }
    ends: dict[tuple[str, str], _End] = {}
    cause: dict[str, str] = {}
    for node in TopologicalSorter(_graph(plan, members, barriers)).static_order():
        kind, name = node
        if kind == "begin":
            ends[node] = _latest(ends, "end", barriers[name])
        elif kind == "end":
            ends[node] = max(ends["begin", name], _latest(ends, "step", members[name]), key=_seconds)
        else:
            ends[node] = _step_end(steps[name], ends, cause)
    longest, last = max(ends.values(), default=_NOW, key=_seconds)
    work = sum(step.seconds for step in plan.steps)
    return Estimate(_path(cause, last), longest, work, max(longest, work / plan.parallel_limit))


def _graph(
    plan: Plan, members: Mapping[str, list[str]], barriers: Mapping[str, list[str]]
) -> dict[tuple[str, str], list[tuple[str, str]]]:
    graph: dict[tuple[str, str], list[tuple[str, str]]] = {}
    for op in plan.operations:
        graph["begin", op.id] = [("end", other) for other in barriers[op.id]]
        graph["end", op.id] = [("begin", op.id), *(("step", step) for step in members[op.id])]
    for step in plan.steps:
        graph["step", step.id] = [("begin", step.operation), *(("step", need.step) for need in step.needs)]
    return graph


def _step_end(step: Step, ends: Mapping[tuple[str, str], _End], cause: dict[str, str]) -> _End:
    begin = max(ends["begin", step.operation], _latest(ends, "step", [need.step for need in step.needs]), key=_seconds)
    cause[step.id] = begin[1]
    return begin[0] + step.seconds, step.id


def _latest(ends: Mapping[tuple[str, str], _End], kind: str, names: list[str]) -> _End:
    return max((ends[kind, name] for name in names), default=_NOW, key=_seconds)


def _seconds(end: _End) -> float:
    return end[0]


def _path(cause: dict[str, str], last: str) -> tuple[str, ...]:
    path: list[str] = []
    while last:
        path.append(last)
        last = cause[last]
    return tuple(reversed(path))
