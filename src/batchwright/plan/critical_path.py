"""Estimates how long a plan takes, from its steps' estimates: the critical path and the total work."""

from __future__ import annotations

from graphlib import TopologicalSorter

from msgspec import Struct

from batchwright.model.plan import Plan
from batchwright.model.step_graph import Node, edges_of, step_graph


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
    graph = step_graph(edges_of(plan.operations), plan.steps)
    ends: dict[Node, _End] = {}
    cause: dict[str, str] = {}
    for node in TopologicalSorter(graph).static_order():
        kind, name = node
        begin = max((ends[before] for before in graph[node]), default=_NOW, key=_seconds)
        if kind == "step":
            cause[name] = begin[1]
            begin = (begin[0] + steps[name].seconds, name)
        ends[node] = begin
    longest, last = max(ends.values(), default=_NOW, key=_seconds)
    work = sum(step.seconds for step in plan.steps)
    return Estimate(_path(cause, last), longest, work, max(longest, work / plan.parallel_limit))


def _seconds(end: _End) -> float:
    return end[0]


def _path(cause: dict[str, str], last: str) -> tuple[str, ...]:
    path: list[str] = []
    while last:
        path.append(last)
        last = cause[last]
    return tuple(reversed(path))
