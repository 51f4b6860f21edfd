"""The rollback: what the run created and changed is undone in reverse order of dependency, as far as possible. Pure."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Mapping

from batchwright.engine import effects, reports
from batchwright.engine.policy import POLICIES, asked_pause, backoff, may_retry
from batchwright.engine.step_queue import Queue, queue_of, taken
from batchwright.engine.step_readiness import ReadinessTracker
from batchwright.model import events as ev
from batchwright.model.actions import Undo
from batchwright.model.lifecycle import RunState, StepState
from batchwright.model.plan import PlannedOperation
from batchwright.model.run import Run, made_something
from batchwright.operations.registry import type_of


class Backward:
    """Indices over the fold while the run is undone; rebuilt from it after a crash.

    A step whose undo failed is residue and does not hold up the others: a rollback should leave, and bill, as little as
    possible, and it can be tried again.
    """

    def __init__(self, run: Run) -> None:
        self.run = run
        self.covered: dict[str, list[int]] = {}  # server step -> task services that go with it
        self.with_server: deque[int] = deque()
        self.ready: dict[Queue, deque[int]] = {}
        self.timers: list[tuple[float, int]] = []
        self.undoable = self._candidates()
        self.order = ReadinessTracker(
            run.plan, run.step_operation, [not self._open(i) for i in self.undoable], backward=True
        )
        for i, record in enumerate(run.records):
            if record.state is StepState.UNDO_RETRYING:
                heapq.heappush(self.timers, (record.until, i))
        self._release()

    def _candidates(self) -> list[int | None]:
        """Per step its own index if its undo has something to do by itself, else None."""
        run = self.run
        made = [made_something(run, i) for i in range(len(run.records))]
        for i, step in enumerate(run.plan.steps):
            if made[i] and step.undo is Undo.WITH_SERVER and run.records[i].state is not StepState.UNDONE:
                server = run.index[step.server]
                if made[server]:
                    made[i] = False
                    self.covered.setdefault(step.server, []).append(i)
                elif run.records[server].state is StepState.UNDONE:
                    made[i] = False
                    self.with_server.append(i)
        return [i if made[i] else None for i in range(len(made))]

    def _open(self, i: int | None) -> bool:
        """Still to be undone by this rollback."""
        if i is None:
            return False
        record = self.run.records[i]
        rolling = self.run.status is RunState.ROLLING_BACK  # else this is about the next rollback, which tries again
        given_up = rolling and record.state is StepState.UNDO_FAILED and record.undo_failures > 0
        return record.state is not StepState.UNDONE and not given_up

    def recover(self) -> list[effects.Command]:
        """Undo calls that were open when the last driver stopped are sent again: they are idempotent."""
        records = self.run.records
        return [
            effects.UndoStep(i, records[i].undo_attempt)
            for i in self.run.in_flight
            if records[i].state is StepState.UNDOING
        ]

    def after(self, _event: ev.AnyEvent, i: int | None) -> list[effects.Command]:
        """Update the indices with an event that the fold has applied; gives the commands that follow."""
        if i is None:
            return []
        record = self.run.records[i]
        match record.state:
            case StepState.UNDOING:
                return [effects.UndoStep(i, record.undo_attempt)]
            case StepState.UNDO_RETRYING:
                heapq.heappush(self.timers, (record.until, i))
            case StepState.UNDONE | StepState.UNDO_FAILED:
                if record.state is StepState.UNDONE:
                    self.with_server.extend(self.covered.pop(self.run.plan.steps[i].id, ()))
                self.order.end(i)
                self._release()
        return []

    def _release(self) -> None:
        while self.order.free:
            i = self.order.free.popleft()
            if self.run.records[i].state not in (StepState.UNDOING, StepState.UNDO_RETRYING):
                self.ready.setdefault(queue_of(self.run, i), deque()).append(i)

    @property
    def finished(self) -> bool:
        """Whether everything has been undone or given up."""
        return self.order.left == 0 and not self.with_server

    def decide(self, now: float, permits: Mapping[str, int]) -> list[ev.AnyEvent]:
        """The undos that the limits allow. The caller must apply them next."""
        run, steps = self.run, self.run.plan.steps
        if self.with_server:
            gone = [self.with_server.popleft() for _ in range(len(self.with_server))]
            return [ev.StepUndone(now, steps[i].id, with_server=True) for i in gone]
        while self.timers and self.timers[0][0] <= now:
            i = heapq.heappop(self.timers)[1]
            self.ready.setdefault(queue_of(run, i), deque()).appendleft(i)
        undoing = sum(run.records[i].state is StepState.UNDOING for i in run.in_flight)
        begun = taken(self.ready, permits, run, run.plan.parallel_limit - undoing)
        return [ev.UndoStarted(now, steps[i].id, run.records[i].undo_attempt + 1) for i in begun]

    def wake_at(self) -> float | None:
        """When the next retry is due, in seconds since the epoch; None if none is."""
        return self.timers[0][0] if self.timers else None

    def accept(self, report: reports.Report, now: float) -> list[ev.AnyEvent]:
        """The events that follow from a report; none for a duplicate or outdated one."""
        if not isinstance(report, reports.UndoReport):
            return []
        i, record = report.step, self.run.records[report.step]
        if record.state is not StepState.UNDOING or record.undo_attempt != report.attempt:
            return []
        step = self.run.plan.steps[i].id
        if report.fault is None:
            return [ev.StepUndone(now, step, gone=report.gone, address=report.address)]
        retry = self._operation(i).retry
        if may_retry(report.fault, retry, record.undo_failures, record.throttles):
            counted = POLICIES[report.fault.kind].counted
            delay = backoff(retry, record.undo_failures, self.run.token(i)) if counted else 0.0
            until = now + max(delay, asked_pause(report.fault.retry_after))
            return [ev.UndoRetrying(now, step, record.undo_attempt, until, report.fault)]
        return [ev.UndoFailed(now, step, record.undo_attempt, report.fault)]

    def _operation(self, i: int) -> PlannedOperation:
        return self.run.plan.operations[self.run.step_operation[i]]

    def residue(self) -> tuple[str, ...]:
        """What is left, one line each: step, reference and why."""
        run = self.run
        left = []
        for step, record in zip(run.steps, run.records, strict=True):
            if record.state is StepState.UNDO_FAILED:
                why = record.fault.message if record.fault else ""
                left.append(f"{step.id}: {type_of(step).residue(step, record.ref)}: {why}")
        left.extend(
            f"{lane}: could not be searched for orphans: {fault.message}" for lane, fault in run.sweep_faults.items()
        )
        return tuple(left)
