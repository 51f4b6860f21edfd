"""The one machine that decides: readiness, limits, skipping, retries, rollback order, pause and cancel. Pure.

It has four verbs. `accept` and `request` turn a report from outside or a user's wish into events; `decide` gives the
events that are due now; `apply` takes an event and gives the commands that may be carried out once that event is
durable. Commands may be carried out twice; a duplicate report amounts to no event. The machine never looks at a clock:
`now` is a number that it is given. It can be rebuilt at any time from the fold alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property

from batchwright.engine import effects, reports
from batchwright.engine.backward import Backward
from batchwright.engine.closing_sweep import ClosingSweep
from batchwright.engine.forward import Forward
from batchwright.engine.manual_resolution import go_on
from batchwright.errors import NotAllowed
from batchwright.model import events as ev
from batchwright.model.lifecycle import RUN_ENDED, CancelMode, RunState, StepState
from batchwright.model.machine_rules import RULES
from batchwright.model.operation_end import OperationEnd, operation_end
from batchwright.model.run import Run, changed_something
from batchwright.model.run_signal import Signal, SignalKind

R = RunState


class Machine:
    """Decisions over one run. `run` is the fold; only `apply` changes it."""

    def __init__(self, run: Run) -> None:
        if run.plan.semantics not in RULES:
            raise NotAllowed(
                f"run {run.id} was planned with semantics {run.plan.semantics}; "
                f"this Batchwright knows {min(RULES)} to {max(RULES)}",
                hint="Continue it with the version that planned it, or a newer one.",
            )
        self.run = run
        self.sweeping = ClosingSweep(run)

    @cached_property
    def phase(self) -> Backward | Forward:
        """The indices over the fold; made at first use, since driving begins with an event that makes them anew."""
        return Backward(self.run) if self.run.status is R.ROLLING_BACK else Forward(self.run)

    def _rebuild(self) -> None:
        self.__dict__.pop("phase", None)
        self.sweeping = ClosingSweep(self.run)

    @property
    def ended(self) -> bool:
        """Whether nothing is left to decide."""
        return self.run.status in RUN_ENDED and not self._rollback_due

    @property
    def waits_for_people(self) -> bool:
        """Whether nothing happens until somebody answers a question, or the question expires."""
        return isinstance(self.phase, Forward) and self.phase.waits_for_people

    def ready(self, lane: str) -> int:
        """How many steps of this lane wait for nothing but their turn."""
        return sum(len(steps) for (own, _), steps in self.phase.ready.items() if own == lane)

    @property
    def _rollback_due(self) -> bool:
        return self.run.rollback_due

    # -- events -------------------------------------------------------------------------------------------------

    def apply(self, event: ev.AnyEvent) -> list[effects.Command]:
        """Apply an event to the fold; gives the commands that it allows. Raises IllegalTransition."""
        if type(event) in _REBUILDS:
            self.run.apply(event)
            self._rebuild()
            return self.phase.recover() if self.run.status not in RUN_ENDED else []
        phase = self.phase  # made before the fold changes
        i = self.run.apply(event)
        if type(event) in _FREQUENT:  # nearly all events are: they ask the least questions
            return phase.after(event, i)
        match event:
            case ev.SweepStarted() | ev.OrphanFound() | ev.OrphanRemovalEnded() | ev.SweepEnded():
                return self.sweeping.after(event)
            case ev.StepOutput() | ev.DoubtForgotten():
                return []
        return phase.after(event, i)

    def accept(self, report: reports.Report, now: float) -> list[ev.AnyEvent]:
        """The events that follow from a report."""
        if self.run.status in RUN_ENDED:
            return []
        if isinstance(report, reports.SweepReport | reports.OrphanReport):
            return self.sweeping.accept(report, now)
        if isinstance(report, reports.OutputReport):
            return self._heard(report, now)
        return self.phase.accept(report, now)

    def _heard(self, said: reports.OutputReport, now: float) -> list[ev.AnyEvent]:
        """What a call says counts while that call is in flight."""
        record = self.run.records[said.step]
        state, attempt = (StepState.UNDOING, record.undo_attempt) if said.undo else (StepState.STARTED, record.attempt)
        if record.state is not state or said.attempt != attempt:
            return []
        return [ev.StepOutput(now, self.run.plan.steps[said.step].id, said.attempt, said.lines, said.undo)]

    def decide(self, now: float, permits: Mapping[str, int], read_at: float | None = None) -> list[ev.AnyEvent]:
        """The events that are due; `permits` is how many calls each lane may begin. The caller must apply them next.

        All signals were heard that were left before `read_at`; None: until now.
        """
        run = self.run
        match run.status:
            case R.PENDING:
                if run.cancelling:
                    return [ev.RunEnded(now, R.CANCELLED, "cancelled before it started")]
                return [ev.RunStarted(now)]
            case R.RUNNING | R.PAUSED:
                return self._forward(now, permits, now if read_at is None else read_at)
            case R.ROLLING_BACK:
                return self._backward(now, permits)
            case R.FAILED if self._rollback_due:
                return [ev.RollbackStarted(now, "on_failure", f"step {run.stopping} failed", automatic=True)]
        return []

    def _forward(self, now: float, permits: Mapping[str, int], read_at: float) -> list[ev.AnyEvent]:
        run, phase = self.run, self.phase
        assert isinstance(phase, Forward)
        if run.cancelling == CancelMode.FORCE:
            return [ev.RunEnded(now, R.CANCELLED, "cancelled without waiting for what was in flight")]
        events = phase.decide(now, permits, read_at)
        if events or not phase.finished or (run.status is R.PAUSED and not phase.halted):
            return events
        if not self.sweeping.finished:
            return self.sweeping.decide(now)
        return self._end(now)

    def _end(self, now: float) -> list[ev.AnyEvent]:
        run = self.run
        refused = sum(run.records[i].state is StepState.FAILED for gates in run.gates for i in gates)
        failed, skipped = run.count(StepState.FAILED) + refused, run.count(StepState.SKIPPED)
        status, reasons = R.FAILED, []
        if run.cancelling:
            status, reasons = R.CANCELLED, ["cancelled"]
        elif run.stopping:
            reasons = [f"stopped because step {run.stopping} failed"]
        elif any(end not in _WELL for end in (operation_end(run, op) for op in range(len(run.counts)))):
            reasons = [f"{failed} failed, {skipped} skipped" if failed or skipped else "min_success was not reached"]
        if self.sweeping.faults:
            reasons.append(f"the closing sweep could not finish: {', '.join(self.sweeping.faults)}")
        return [ev.RunEnded(now, status if reasons else R.COMPLETED, "; ".join(reasons))]

    def _backward(self, now: float, permits: Mapping[str, int]) -> list[ev.AnyEvent]:
        phase = self.phase
        assert isinstance(phase, Backward)
        events = phase.decide(now, permits)
        if events or not phase.finished:
            return events
        if not self.sweeping.finished:
            return self.sweeping.decide(now)
        residue = phase.residue()
        return [ev.RollbackEnded(now, R.ROLLBACK_INCOMPLETE if residue else R.ROLLED_BACK, residue)]

    def wake_at(self) -> float | None:
        """When something becomes due by time alone, in seconds since the epoch; None if nothing does."""
        return None if self.run.status in (R.PAUSED, *RUN_ENDED) else self.phase.wake_at()

    # -- wishes -------------------------------------------------------------------------------------------------

    def request(self, signal: Signal, now: float, number: int = 0) -> list[ev.AnyEvent]:
        """The events for the signal of this number in the present state; none if the run is already as requested."""
        run = self.run
        live = run.status in (R.PENDING, R.RUNNING, R.PAUSED)
        match signal.kind:
            case SignalKind.PAUSE if run.status is R.RUNNING and not run.cancelling:
                return [ev.RunPaused(now, signal.by)]
            case SignalKind.RESUME if run.status is R.PAUSED:
                return [ev.RunResumed(now, signal.by)]
            case SignalKind.CANCEL if live and not run.cancelling:
                return [ev.CancelRequested(now, signal.by)]
            case SignalKind.FORCE_CANCEL if live and run.cancelling != CancelMode.FORCE:
                return [ev.CancelRequested(now, signal.by, force=True)]
            case SignalKind.ANSWER if isinstance(self.phase, Forward) and live:
                return self.phase.answered(signal, number, now)
        return []

    def reopen(
        self, now: float, by: str, redo: Sequence[str] = (), skip: Sequence[str] = (), outputs: Sequence[str] = ()
    ) -> list[ev.AnyEvent]:
        """Continue a Failed or Cancelled run. Raises NotAllowed, with the reason and what to do.

        `redo` and `skip` are commands in doubt that are run again, or marked as done with these `outputs`.
        """
        status = self.run.status
        if status in (R.FAILED, R.CANCELLED):
            swept = self.sweeping.finished and not self.sweeping.faults
            if swept and all(record.state in _DONE for record in self.run.records):
                raise NotAllowed(f"run {self.run.id} is {status} and all of its steps are done")
            return go_on(self.run, now, by, redo, skip, outputs)
        raise NotAllowed(
            f"run {self.run.id} is {status}; only a Failed or Cancelled run can continue", hint=_HINTS[status]
        )

    def check_rollback(self) -> None:
        """Raise NotAllowed for a run that can never be rolled back."""
        if not self.run.plan.rollback_enabled:
            raise NotAllowed(
                f"run {self.run.id} was planned with rollback_enabled = false",
                hint="Destroy what it created by hand: batchwright status RUN lists it.",
            )

    def rollback(self, now: float, by: str) -> list[ev.AnyEvent]:
        """The events that begin the rollback. Raises NotAllowed, with the reason and what to do."""
        run = self.run
        self.check_rollback()
        if run.status not in (R.COMPLETED, R.FAILED, R.CANCELLED, R.ROLLBACK_INCOMPLETE):
            raise NotAllowed(f"run {run.id} is {run.status} and cannot be rolled back now", hint=_HINTS[run.status])
        if not any(changed_something(run, i) for i in range(len(run.records))) and not run.doubtful and not run.residue:
            kept = any(step.ref for step in run.plan.steps)
            hint = "The servers it kept belong to another run; roll that one back. To see which: batchwright servers"
            raise NotAllowed(
                f"run {run.id} created nothing, so there is nothing to roll back", hint=hint if kept else ""
            )
        return [ev.RollbackStarted(now, by, automatic=False)]


_REBUILDS = frozenset((ev.DriverStarted, ev.RunReopened, ev.RollbackStarted))
_FREQUENT = frozenset((ev.StepStarted, ev.StepCreated, ev.StepSucceeded))
_WELL = (OperationEnd.SUCCEEDED, OperationEnd.DEGRADED, OperationEnd.NOT_WANTED)
_DONE = (StepState.SUCCEEDED, StepState.NOT_WANTED)

_HINTS = {
    R.PENDING: "It has not started. Cancel it, or start it: batchwright resume RUN",
    R.RUNNING: "Cancel it first: batchwright cancel RUN",
    R.PAUSED: "It is paused. Continue it with: batchwright resume RUN, or end it with: batchwright cancel RUN",
    R.COMPLETED: "It is done. To tear it down: batchwright rollback RUN",
    R.ROLLING_BACK: "Its rollback is in progress. Watch it with: batchwright monitor RUN",
    R.ROLLED_BACK: "It was rolled back; run the file again.",
    R.ROLLBACK_INCOMPLETE: "Try the rollback again: batchwright rollback RUN",
    R.FAILED: "",
    R.CANCELLED: "",
}
