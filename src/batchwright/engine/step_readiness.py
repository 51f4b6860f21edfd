"""Which steps may start: operations are barriers, steps have needs. Incremental, in both directions."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from batchwright.model.plan import Plan
from batchwright.model.workflow import DependencyScope


class ReadinessTracker:
    """Readiness of a plan's steps; `backward` turns every edge around. Work per ended step is its own edges only.

    `ended[i]` says which steps count as ended from the start. Steps that become free are appended to `free`.
    """

    def __init__(self, plan: Plan, step_operation: Sequence[int], ended: Sequence[bool], *, backward: bool) -> None:
        self.free: deque[int] = deque()
        self.left = 0
        self._operation = step_operation
        self._ended = list(ended)
        self._steps: list[list[int]] = [[] for _ in plan.operations]
        self._left = [0] * len(plan.operations)
        for i, op in enumerate(step_operation):
            self._steps[op].append(i)
            if not ended[i]:
                self._left[op] += 1
                self.left += 1
        self._step_edges(plan, backward)
        self._operation_edges(plan, backward)
        for op in range(len(plan.operations)):
            if self._waits[op] == 0:
                self._open(op)

    def _step_edges(self, plan: Plan, backward: bool) -> None:
        """A step that ended out of turn (nothing of it is to be undone) still hands on the order of those around it."""
        self._after: dict[int, list[int]] = {}
        self._wait: dict[int, int] = {}
        index = {step.id: i for i, step in enumerate(plan.steps)} if any(s.needs for s in plan.steps) else {}
        for i, step in enumerate(plan.steps):
            for need in step.needs:
                first, then = (i, index[need.step]) if backward else (index[need.step], i)
                self._after.setdefault(first, []).append(then)
                self._wait[then] = self._wait.get(then, 0) + 1
        done = [i for i in self._after if self._ended[i] and not self._wait.get(i)]
        while done:  # a step may need one that comes later in the plan: the gate of a wave does
            for other in self._after.pop(done.pop(), ()):
                self._wait[other] -= 1
                if self._wait[other] == 0 and self._ended[other]:
                    done.append(other)

    def _operation_edges(self, plan: Plan, backward: bool) -> None:
        index = {op.id: i for i, op in enumerate(plan.operations)}
        count = len(plan.operations)
        self._next: list[list[int]] = [[] for _ in range(count)]
        before: list[list[int]] = [[] for _ in range(count)]
        for i, op in enumerate(plan.operations):
            for dependency in op.dependencies:
                if dependency.per is DependencyScope.SERVER:
                    continue  # its steps need those on their servers
                first, then = (i, index[dependency.id]) if backward else (index[dependency.id], i)
                self._next[first].append(then)
                before[then].append(first)
        self._waits = [0] * count
        done = [False] * count
        for i in reversed(range(count)) if backward else range(count):  # the plan's order is topological
            self._waits[i] = sum(not done[other] for other in before[i])
            done[i] = self._waits[i] == 0 and self._left[i] == 0

    def _open(self, op: int) -> None:
        for i in self._steps[op]:
            if not self._ended[i] and not self._wait.get(i):
                self.free.append(i)

    def end(self, step: int) -> None:
        """Note that the step has ended, in whatever state. A second call changes nothing."""
        if self._ended[step]:
            return
        self._ended[step] = True
        self.left -= 1
        done = [] if self._wait.get(step) else [step]
        while done:
            for other in self._after.pop(done.pop(), ()):
                self._wait[other] -= 1
                if self._wait[other] == 0 and self._ended[other]:
                    done.append(other)
                elif self._wait[other] == 0 and self._waits[self._operation[other]] == 0:
                    self.free.append(other)
        op = self._operation[step]
        self._left[op] -= 1
        closing = [op] if self._left[op] == 0 and self._waits[op] == 0 else []
        while closing:
            for other in self._next[closing.pop()]:
                self._waits[other] -= 1
                if self._waits[other] == 0:
                    self._open(other)
                    if self._left[other] == 0:
                        closing.append(other)
