"""Facts about a plan that never change while it runs, computed once so that a screen can be drawn often."""

from __future__ import annotations

from msgspec import Struct

from batchwright.model.plan import Plan


class PlanIndex(Struct, frozen=True):
    """Lists are indexed by operation. `chain` is the longest path through its steps, in estimated seconds."""

    steps: list[list[int]]
    before: list[list[int]]  # the operations that each one depends on directly
    work: list[float]
    chain: list[float]
    has_needs: list[bool]


def plan_index(plan: Plan) -> PlanIndex:
    """Compute the index of a plan."""
    index = {op.id: i for i, op in enumerate(plan.operations)}
    count = len(plan.operations)
    steps: list[list[int]] = [[] for _ in range(count)]
    work, chain, has_needs = [0.0] * count, [0.0] * count, [False] * count
    ends: dict[str, float] = {}
    for i, step in enumerate(plan.steps):
        op = index[step.operation]
        steps[op].append(i)
        work[op] += step.seconds
        end = step.seconds
        if step.needs:
            has_needs[op] = True
            end += max(ends[need.step] for need in step.needs)
        ends[step.id] = end
        chain[op] = max(chain[op], end)
    before = [[index[dependency.id] for dependency in op.dependencies] for op in plan.operations]
    return PlanIndex(steps, before, work, chain, has_needs)
