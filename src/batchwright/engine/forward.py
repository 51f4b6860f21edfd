"""The forward run: which step starts, waits, is skipped, retried or given up. Pure."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Mapping

from batchwright.engine import duplicate_server_resolution, effects, reports
from batchwright.engine.approval_gates import Holds
from batchwright.engine.dependency_verdict import DependencyVerdict, Outcome, Verdict
from batchwright.engine.failure_response import faulted, refused, stops
from batchwright.engine.placement_fallback import moved_off, next_place
from batchwright.engine.reference_resolution import TOO_LARGE, Missing, OperationValues
from batchwright.engine.step_queue import Queue, queue_of, taken
from batchwright.engine.step_readiness import ReadinessTracker
from batchwright.model import events as ev
from batchwright.model.actions import Doubt
from batchwright.model.call_outcome import Applied, Created, Rejected, ServerState
from batchwright.model.fault import Fault, FaultClass
from batchwright.model.lifecycle import STEP_ENDED, RunState, StepState
from batchwright.model.operation_end import failure_certain, last_bad_step
from batchwright.model.plan import PlannedOperation
from batchwright.model.run import Run, StepFoldState
from batchwright.model.run_signal import Signal

SKIPS_MAX = 2000  # skipped in one go, so that a batch of events stays small
_NOT_BEGUN = (StepState.WAITING, StepState.RETRYING, StepState.ASKING)


class Forward:
    """Indices over the fold while steps are carried out; rebuilt from it after a crash or a resume."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.order = ReadinessTracker(
            run.plan, run.step_operation, [r.state in STEP_ENDED for r in run.records], backward=False
        )
        self.ready: dict[Queue, deque[int]] = {}
        self.skips: deque[tuple[int, Verdict]] = deque()
        self.moves: deque[int] = deque()  # steps whose lane is stopped and that have another place
        self.timers: list[tuple[float, int]] = []
        self._verdicts = DependencyVerdict(run)
        self._undecided: dict[str, list[int]] = {}  # operation -> steps that wait for what becomes of it
        self._hopeless = [op for op in range(len(run.plan.operations)) if self._is_hopeless(op)]
        self._values = OperationValues(run) if any(step.request.references for step in run.plan.steps) else None
        self._holds = Holds(run, self._values)
        for i, record in enumerate(run.records):
            if record.state is StepState.RETRYING:
                heapq.heappush(self.timers, (record.until, i))
        for operation, cause in run.failed_operations.items():
            self._give_up(operation, cause)
        for i, record in enumerate(run.records):
            if record.state is StepState.FAILED:
                self._give_up_after(i)
        self._release()

    # -- what an event makes possible ---------------------------------------------------------------------------

    def recover(self) -> list[effects.Command]:
        """The commands for calls that were open when the last driver stopped."""
        return [command for i in self.run.in_flight for command in self._reopen(i, self.run.records[i])]

    def _reopen(self, i: int, record: StepFoldState) -> list[effects.Command]:
        doubt = self.run.plan.steps[i].doubt
        if record.state is StepState.CREATED or doubt is Doubt.NONE:
            return [self._await(i, record)]
        return [effects.DoStep(i, record.attempt) if doubt is Doubt.REPEAT else effects.Settle(i, record.attempt)]

    def after(self, event: ev.AnyEvent, i: int | None) -> list[effects.Command]:
        """Update the indices with an event that the fold has applied; gives the commands that follow."""
        if i is None:
            if isinstance(event, ev.ProviderStopped):
                self._stop_lane(event.lane)
            if isinstance(event, ev.OperationFailed):
                self._give_up(event.operation, event.because)
            return []
        record = self.run.records[i]
        self._holds.after(i)
        match record.state:
            case StepState.STARTED:
                return self._begin(event, i, record)
            case StepState.CREATED:
                return [self._await(i, record)]
            case StepState.RETRYING if self.run.plan.steps[i].operation in self.run.failed_operations:
                self.skips.append((i, self._verdicts.of_step(i)))  # it was in flight when its operation failed
            case StepState.RETRYING:
                if not (isinstance(event, ev.StepMoved) and event.reason is ev.MoveReason.AGAIN):  # its pause goes on
                    heapq.heappush(self.timers, (record.until, i))
            case StepState.WAITING:  # it moved
                self._queue(i)
            case StepState.ASKING:
                pass
            case _:
                self._end(i)
        return []

    def _end(self, i: int) -> None:
        op = self.run.step_operation[i]
        if self.run.records[i].state is StepState.FAILED:
            self._give_up_after(i)
        if self._is_hopeless(op):
            self._hopeless.append(op)
        self.order.end(i)
        self.order.free.extend(self._undecided.pop(self.run.plan.operations[op].id, ()))
        self._release()

    def _is_hopeless(self, op: int) -> bool:
        """Whether an operation that says how many must succeed cannot, and this was not noted yet."""
        operation = self.run.plan.operations[op]
        if not operation.min_success or operation.id in self.run.failed_operations:
            return False
        return failure_certain(self.run, op) and not self._verdicts.is_not_wanted(op)  # that shrinks step by step

    def _give_up_after(self, i: int) -> None:
        """Skip what cannot start any more because this step failed: the waves behind a question that was refused, and
        the rest of an operation whose values are too large to be journaled.
        """
        step, fault = self.run.plan.steps[i], self.run.records[i].fault
        if step.traits.holds and not step.counted:
            self._give_up(step.operation, step.id, f"step {step.id} did not succeed", step.wave)
        elif fault is not None and fault.code == TOO_LARGE:
            self._give_up(step.operation, step.id, "the values of its operation are too large")

    def _give_up(self, operation: str, cause: str, why: str = "", wave: int = 0) -> None:
        """Skip what has not begun of an operation that cannot succeed any more, or of these waves and later ones."""
        run, op = self.run, self.run.operation_index[operation]
        verdict = Verdict(Outcome.SKIP, why or f"operation {operation} cannot succeed any more", cause)
        for i in run.operation_steps[op]:
            if run.records[i].state in _NOT_BEGUN and run.plan.steps[i].wave >= wave:
                self.skips.append((i, verdict))
        for queue, waiting in self.ready.items():
            kept = (i for i in waiting if run.step_operation[i] != op or run.plan.steps[i].wave < wave)
            self.ready[queue] = deque(kept)

    def _begin(self, event: ev.AnyEvent, i: int, record: StepFoldState) -> list[effects.Command]:
        if isinstance(event, ev.StepInDoubt):
            return self._reopen(i, record)
        doubt = self.run.plan.steps[i].doubt
        if doubt is Doubt.NONE:
            return [self._await(i, record)]
        return [effects.DoStep(i, record.attempt, look_first=record.doubt and doubt is Doubt.LOOK)]

    def _await(self, i: int, record: StepFoldState) -> effects.Await:
        step = self.run.steps[i]
        ref = record.ref or step.ref
        begun = record.attempt_at if step.traits.sweeps else max(record.attempt_at, record.known_at)
        # times before this driver began come from another clock, which may be wrong
        since = max(begun, self.run.driven_at)
        return effects.Await(i, record.attempt, ref, since + self._operation(i).timeout, self._clear_look(i))

    def _clear_look(self, i: int) -> effects.ClearLook | None:
        """What must be seen before the server that this step created is used, if anything."""
        run, step = self.run, self.run.steps[i]
        if not run.plan.clear_seconds(step):
            return None
        # of one that another run created the token is not known: its twins go first
        return duplicate_server_resolution.clear_look(run.plan, step, run.token(i) if step.traits.sweeps else "")

    def _release(self) -> None:
        free = self.order.free
        while free:
            i = free.popleft()
            if self.run.records[i].state is not StepState.WAITING:
                continue
            verdict = self._verdicts.of_step(i)
            match verdict.outcome:
                case Outcome.WAIT:
                    self._undecided.setdefault(verdict.because, []).append(i)
                case Outcome.RUN if self.run.plan.steps[i].traits.holds:
                    self._holds.release(i)
                case Outcome.RUN:
                    self._queue(i)
                case _:
                    self.skips.append((i, verdict))

    def _queue(self, i: int) -> None:
        lane = self.run.lane(i)
        if lane in self.run.stopped_lanes and next_place(self.run, i, self.run.stopped_lanes[lane]) is not None:
            self.moves.append(i)
        elif lane in self.run.stopped_lanes:
            reason = f"nothing more can be created in {lane}: {self.run.stopped_lanes[lane].message}"
            self.skips.append((i, Verdict(Outcome.SKIP, reason, lane)))
        else:
            self.ready.setdefault(queue_of(self.run, i), deque()).append(i)

    def _stop_lane(self, lane: str) -> None:
        for queue in [queue for queue in self.ready if queue[0] == lane]:
            for i in self.ready.pop(queue):
                self._queue(i)

    # -- what is to happen next ---------------------------------------------------------------------------------

    @property
    def halted(self) -> bool:
        """Whether nothing new may start any more."""
        return bool(self.run.cancelling or self.run.stopping)

    @property
    def finished(self) -> bool:
        """Whether nothing is in flight and nothing more will start."""
        return not self.run.in_flight and (self.halted or self.order.left == 0)

    def decide(self, now: float, permits: Mapping[str, int], read_at: float) -> list[ev.AnyEvent]:
        """What is due, one kind of event at a time: answers, failed operations, skips, gates, then the starts that the
        limits allow. The caller must apply them next.
        """
        if self.halted or self.run.status is not RunState.RUNNING:
            return []
        certain = (
            self._holds.decide_open(now, read_at)
            or self._failures(now)
            or self._skips(now)
            or self._moves(now)
            or self._holds.decide_due(now)
        )
        if certain:
            return certain
        while self.timers and self.timers[0][0] <= now:
            self._wake(heapq.heappop(self.timers)[1])
        # some are woken into a stopped lane
        return self._starts(self._take(permits), now) or self._skips(now) or self._moves(now) or self._skips(now)

    def _failures(self, now: float) -> list[ev.AnyEvent]:
        while self._hopeless:
            op = self._hopeless.pop(0)
            if self._is_hopeless(op):
                operation, cause = self.run.plan.operations[op], last_bad_step(self.run, op)
                return [ev.OperationFailed(now, operation.id, cause), *stops(self.run, operation, cause, now)]
        return []

    def _skips(self, now: float) -> list[ev.AnyEvent]:
        chosen: dict[int, Verdict] = {}
        while self.skips and len(chosen) < SKIPS_MAX:
            i, verdict = self.skips.popleft()
            if self.run.records[i].state in _NOT_BEGUN and i not in chosen:
                # its own verdict and that of its operation may both be there
                chosen[i] = self._verdicts.judged_again(i, verdict)
        kinds = {Outcome.NOT_WANTED: ev.StepNotWanted}
        return [
            kinds.get(verdict.outcome, ev.StepSkipped)(now, self.run.plan.steps[i].id, verdict.reason, verdict.because)
            for i, verdict in chosen.items()
        ]

    def _moves(self, now: float) -> list[ev.AnyEvent]:
        due = [self.moves.popleft() for _ in range(min(len(self.moves), SKIPS_MAX))]
        events: list[ev.AnyEvent] = []
        for i in due:
            if self.run.records[i].state in (StepState.WAITING, StepState.RETRYING):
                moved = moved_off(self.run, i, now)
                events += moved
                if not moved:  # the place that was open when it was put here is closed by now
                    self._queue(i)
        return events

    def _wake(self, i: int) -> None:
        if self.run.records[i].state is StepState.RETRYING:
            self._queue(i)

    def _take(self, permits: Mapping[str, int]) -> list[int]:
        """Take from the queues in turn, so that a lane without permits never holds a place of the run's limit."""
        return taken(self.ready, permits, self.run, self.run.plan.parallel_limit - len(self.run.in_flight))

    def _starts(self, steps: list[int], now: float) -> list[ev.AnyEvent]:
        """The intents of these steps, each operation's first one after what the operation's references stand for."""
        events: list[ev.AnyEvent] = []
        failed: list[ev.AnyEvent] = []
        opened: set[str] = set()
        unfit: set[str] = set()  # the event of its first step skips the others
        for i in steps:
            operation = self.run.plan.steps[i].operation
            if operation in unfit:
                continue
            due = self._values.due(operation) if self._values and operation not in opened else ()
            values = self._values.of(due) if self._values and due else {}
            if isinstance(values, Missing):
                self.skips.append((i, Verdict(Outcome.SKIP, str(values), values.step)))
            elif isinstance(values, Fault):
                unfit.add(operation)
                failed += faulted(self.run, i, values, now)
            else:
                events += [ev.OperationOpened(now, operation, values)] if due else []
                events.append(self._start(i, now))
                opened.add(operation)
        return events + failed

    def _start(self, i: int, now: float) -> ev.AnyEvent:
        return ev.StepStarted(now, self.run.plan.steps[i].id, self.run.records[i].attempt + 1, self.run.token(i))

    @property
    def waits_for_people(self) -> bool:
        """Whether nothing happens until somebody answers a question, or the question expires."""
        run = self.run
        busy = self.halted or run.in_flight or run.count(StepState.RETRYING) or any(self.ready.values())
        return run.status is RunState.RUNNING and not busy and bool(run.asking)

    def wake_at(self) -> float | None:
        """When the next retry is due or the next question expires, in seconds since the epoch; None if none is."""
        if self.halted:
            return None
        due = [at for at in (self._holds.wake_at, self.timers[0][0] if self.timers else None) if at is not None]
        return min(due, default=None)

    def answered(self, signal: Signal, number: int, now: float) -> list[ev.AnyEvent]:
        """The event for somebody's answer to a question; none if it does not count."""
        assert signal.answer is not None
        return [] if self.halted else self._holds.answered(signal.answer, number, signal.at, now)

    # -- what a report means ------------------------------------------------------------------------------------

    def accept(self, report: reports.Report, now: float) -> list[ev.AnyEvent]:
        """The events that follow from a report; none for a duplicate or outdated one."""
        if not isinstance(
            report, reports.CallReport | reports.SettleReport | reports.ServerReport | reports.TwinReport
        ):
            return []
        record = self.run.records[report.step]
        if record.attempt != report.attempt or record.state not in (StepState.STARTED, StepState.CREATED):
            return []
        match report:
            case reports.ServerReport():
                return self._looked(report, record, now)
            case reports.TwinReport():
                return self._contested(report, record, now)
            case _ if record.state is StepState.CREATED:
                return []
            case reports.CallReport():
                return self._answered(report, record, now)
            case reports.SettleReport():
                return self._settled(report, record, now)

    def _answered(self, report: reports.CallReport, record: StepFoldState, now: float) -> list[ev.AnyEvent]:
        step = self.run.steps[report.step]
        match report.outcome:
            case Created(ref=ref, ready=True, address=address) if self._clear_look(report.step) is None:
                return [ev.StepSucceeded(now, step.id, ref, address)]
            case Created(ref=ref):
                return [ev.StepCreated(now, step.id, ref, changed=step.before is not None)]
            case Applied(changed=changed, outputs=outputs, answer=answer):
                # an earlier attempt of this run may be the one that installed it; what replaces something is undone
                made = changed or record.attempt > 1 or record.doubt or step.before is not None
                return [ev.StepSucceeded(now, step.id, made=made and not step.existed, outputs=outputs, answer=answer)]
            case Rejected(fault=fault):
                # a program that was refused before it started says nothing about how an earlier start of it ended
                ran = fault.kind is FaultClass.EXIT or step.traits.doubt is not Doubt.ASK
                return refused(self.run, report.step, fault, now, doubt=record.doubt and not ran)
            case unknown:
                doubt = step.traits.doubt
                if doubt is not Doubt.LOOK:
                    fault = Fault(FaultClass.IN_DOUBT, unknown.reason)
                    return faulted(self.run, report.step, fault, now, doubt=doubt is Doubt.ASK)
                if record.doubt and record.doubt_at >= record.attempt_at:
                    return []  # known already, and being settled
                return [ev.StepInDoubt(now, step.id, record.attempt, unknown.reason)]

    def _settled(self, report: reports.SettleReport, record: StepFoldState, now: float) -> list[ev.AnyEvent]:
        step = self.run.plan.steps[report.step].id
        found = report.found
        if found is None:
            fault = report.fault or Fault(
                FaultClass.IN_DOUBT, "the provider has no record of the call; nothing was created"
            )
            # A crash leaves open whether the call was sent at all, and an old doubt is not this attempt's fault.
            certain = report.fault is None
            blameless = certain and (record.crashed or record.doubt_at < record.attempt_at)
            return faulted(self.run, report.step, fault, now, counted=not blameless, doubt=not certain)
        if found.state is ServerState.READY and self._clear_look(report.step) is None:
            keys = found.host_keys
            return [ev.StepSucceeded(now, step, found.ref, found.address, settled=True, host_keys=keys)]
        return [ev.StepCreated(now, step, found.ref, settled=True)]

    def _looked(self, report: reports.ServerReport, record: StepFoldState, now: float) -> list[ev.AnyEvent]:
        step = self.run.steps[report.step]
        if report.ref != (record.ref or step.ref):
            return []
        if report.fault is not None:
            return faulted(self.run, report.step, report.fault, now, replaces=step.traits.replaces)
        if not report.clear and self._clear_look(report.step) is not None:
            return []  # it may have a twin
        made, keys = not step.existed, report.host_keys
        return [ev.StepSucceeded(now, step.id, report.ref, report.address, made=made, host_keys=keys)]

    def _contested(self, report: reports.TwinReport, record: StepFoldState, now: float) -> list[ev.AnyEvent]:
        look, step = self._clear_look(report.step), self.run.steps[report.step]
        if look is None or report.ref != (record.ref or step.ref):
            return []
        if not duplicate_server_resolution.gives_way(look, report.twins, report.contested):
            return []
        own, twin = step.traits.sweeps, report.twins[0]
        fault = duplicate_server_resolution.contested(look.name, report.twins, report.contested, kept=not own)
        failed = faulted(self.run, report.step, fault, now, twin=ev.Twin(twin.ref, twin.run))
        if not own:  # whoever created it removes it
            return failed
        return [*failed, ev.OrphanFound(now, self.run.lane(report.step), record.ref, step.request.name)]

    def _operation(self, i: int) -> PlannedOperation:
        return self.run.plan.operations[self.run.step_operation[i]]
