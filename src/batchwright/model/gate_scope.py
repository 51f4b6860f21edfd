"""What a gate or a question to people lets through, and the digest that an answer is bound to. Pure."""

from __future__ import annotations

import hashlib

import msgspec

from batchwright.model.run import Run
from batchwright.model.workflow import DependencyKind


def behind(run: Run, i: int) -> list[int]:
    """The steps that a hold lets through: the wave behind a gate, or all that depends on an approval, however far."""
    steps, hold = run.plan.steps, run.plan.steps[i]
    if not hold.traits.counted:
        same = run.step_operation[i]
        needing = (j for j in run.operation_steps[same] if not steps[j].traits.holds)
        return [j for j in needing if any(need.step == hold.id for need in steps[j].needs)]
    after = {hold.operation}
    for op in run.plan.operations:  # their order is topological
        if any(edge.id in after and edge.kind is not DependencyKind.FAILED for edge in op.dependencies):
            after.add(op.id)
    after.discard(hold.operation)
    return [j for j, step in enumerate(steps) if step.operation in after and step.counted]


def hold_digest(run: Run, i: int, ask: int, plan_hash: str) -> str:
    """Of all that an answer is bound to: the run and its plan, the question, and the steps that it lets through."""
    through = [(run.plan.steps[j].id, run.plan.steps[j].action) for j in behind(run, i)]
    body = msgspec.json.encode((run.id, plan_hash, run.plan.steps[i].id, ask, through))
    return hashlib.sha256(body).hexdigest()[:16]
