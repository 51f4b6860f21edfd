"""What a gate or a question to people lets through, and the digest that an answer is bound to. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

import msgspec

from batchwright.model.plan import Plan
from batchwright.model.run import Run
from batchwright.model.step_graph import barriers
from batchwright.model.workflow import DependencyKind

FAILED = DependencyKind.FAILED


def wave_behind(run: Run, gate: int) -> list[int]:
    """The steps of the wave that begins behind a gate."""
    steps = run.plan.steps
    mine = run.operation_steps[run.step_operation[gate]]
    return [
        i for i in mine if not steps[i].traits.holds and any(need.step == steps[gate].id for need in steps[i].needs)
    ]


def let_through(run: Run, hold: int) -> Sequence[int]:
    """The steps that a yes lets through: all that waits for this question, however far, and for no later one."""
    if hold not in run.scopes:
        after = _Followers(run.plan)
        reached = after.of([hold])
        later = after.of(i for i in reached if run.plan.steps[i].hold is not None)
        run.scopes[hold] = tuple(i for i in sorted(reached - later) if run.counted[i])
    return run.scopes[hold]


class _Followers:
    """What waits for a step, by the needs of steps and by the barriers between operations. Handlers of failures do not:
    they run if it is not well.
    """

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._index = {step.id: i for i, step in enumerate(plan.steps)}
        self._needed_by: dict[str, list[int]] = {}
        self._steps: dict[str, list[int]] = {}
        for i, step in enumerate(plan.steps):
            self._steps.setdefault(step.operation, []).append(i)
            for need in step.needs:
                if need.kind is not FAILED:
                    self._needed_by.setdefault(need.step, []).append(i)
        self._operations: dict[str, list[str]] = {}
        for op in plan.operations:
            for before in barriers([one for one in op.dependencies if one.kind is not FAILED]):
                self._operations.setdefault(before, []).append(op.id)

    def of(self, steps: Iterable[int]) -> set[int]:
        """All that waits for one of these steps, however far; without these."""
        reached: set[int] = set()
        passed: set[str] = set()  # operations whose followers were reached
        left = list(steps)
        while left:
            step = self._plan.steps[left.pop()]
            found = list(self._needed_by.get(step.id, ()))
            if step.operation not in passed:
                passed.add(step.operation)
                found += (i for op in self._operations.get(step.operation, ()) for i in self._steps.get(op, ()))
            new = [i for i in found if i not in reached]
            reached.update(new)
            left += new
        return reached


def hold_digest(run: Run, i: int, ask: int, plan_hash: str) -> str:
    """Of all that an answer is bound to: the run and its plan, the question, and the steps that it lets through."""
    through = [(run.plan.steps[j].id, run.plan.steps[j].action) for j in let_through(run, i)]
    body = msgspec.json.encode((run.id, plan_hash, run.plan.steps[i].id, ask, through))
    return hashlib.sha256(body).hexdigest()[:16]
