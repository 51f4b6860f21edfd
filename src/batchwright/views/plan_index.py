"""Facts about a plan that never change while it runs, computed once so that a screen can be drawn often."""

from __future__ import annotations

from graphlib import TopologicalSorter

from msgspec import Struct

from batchwright.model.plan import Plan
from batchwright.model.workflow import DependencyScope


class PlanIndex(Struct, frozen=True):
    """Lists are indexed by operation. `steps` are those that count, without the gates of waves.

    `chain` is the longest path that ends in one of its steps, in estimated seconds; it begins in the operations that it
    depends on per server, `before_on_server`, and a wave's gate adds what follows the wave before. `before` are the
    operations that it depends on as a whole.
    """

    steps: list[list[int]]
    before: list[list[int]]
    before_on_server: list[list[int]]
    work: list[float]
    chain: list[float]
    has_needs: list[bool]


def plan_index(plan: Plan) -> PlanIndex:
    """Compute the index of a plan."""
    index = {op.id: i for i, op in enumerate(plan.operations)}
    count = len(plan.operations)
    steps: list[list[int]] = [[] for _ in range(count)]
    work, has_needs = [0.0] * count, [False] * count
    for i, step in enumerate(plan.steps):
        op = index[step.operation]
        if step.counted:
            steps[op].append(i)
        work[op] += step.seconds
        has_needs[op] = has_needs[op] or bool(step.needs)
    before: dict[DependencyScope, list[list[int]]] = {
        scope: [[index[one.id] for one in op.dependencies if one.per is scope] for op in plan.operations]
        for scope in DependencyScope
    }
    chain = _chains(plan, index)
    return PlanIndex(steps, before[DependencyScope.OPERATION], before[DependencyScope.SERVER], work, chain, has_needs)


def _chains(plan: Plan, index: dict[str, int]) -> list[float]:
    chain = [0.0] * len(plan.operations)
    ends: dict[str, float] = {}
    needing = {step.id: [need.step for need in step.needs] for step in plan.steps}
    seconds = {step.id: step.seconds for step in plan.steps}
    operation = {step.id: index[step.operation] for step in plan.steps}
    for step in TopologicalSorter(needing).static_order():
        ends[step] = seconds[step] + max((ends[other] for other in needing[step]), default=0.0)
        chain[operation[step]] = max(chain[operation[step]], ends[step])
    return chain
