"""Gates between waves, and questions to people: when they are due, and what the answers amount to. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from batchwright.engine.failure_response import faulted, stops
from batchwright.engine.placement_fallback import moved_off
from batchwright.engine.reference_resolution import Missing, OperationValues
from batchwright.model import events as ev
from batchwright.model.approver import unfit
from batchwright.model.fault import Fault, FaultClass
from batchwright.model.gate_scope import hold_digest, wave_behind
from batchwright.model.lifecycle import StepState
from batchwright.model.operation_end import failure_certain, last_bad_step
from batchwright.model.plan import Step
from batchwright.model.run import Run
from batchwright.model.run_fold_state import HoldFoldState
from batchwright.model.run_signal import HoldAnswer


class Holds:
    """The gates and questions of a run while it goes forward; rebuilt from the fold after a crash."""

    def __init__(self, run: Run, values: OperationValues | None = None) -> None:
        self._run = run
        self._values = values  # None if no text of the plan refers to any
        self._due: list[int] = []  # nothing before them is left
        self._plan_hash = ""
        self._asking = {i: None for i, record in enumerate(run.records) if record.state is StepState.ASKING}

    def release(self, i: int) -> None:
        """Note that nothing that this gate or question waits for is left."""
        self._due.append(i)

    def after(self, i: int) -> None:
        """Note the new state of a step."""
        if self._run.records[i].state is StepState.ASKING:
            self._asking[i] = None
        else:
            self._asking.pop(i, None)

    @property
    def wake_at(self) -> float | None:
        """When the next question expires, in seconds since the epoch."""
        return min((hold.until for _, hold in self._open() if hold.until), default=None)

    def _open(self) -> Iterator[tuple[int, HoldFoldState]]:
        steps, holds = self._run.plan.steps, self._run.holds
        return ((i, holds[steps[i].id]) for i in self._asking)

    # -- questions ----------------------------------------------------------------------------------------------

    def decide_open(self, now: float, read_at: float) -> list[ev.AnyEvent]:
        """What follows from the answers so far, or from their absence.

        A question expires only when all answers were read that were given before: a read began at `read_at`.
        """
        verdicts = (self._verdict(i, hold, now, read_at) for i, hold in self._open())
        return next((events for events in verdicts if events), [])  # the next one may be decided differently

    def _verdict(self, i: int, hold: HoldFoldState, now: float, read_at: float) -> list[ev.AnyEvent]:
        step = self._run.plan.steps[i]
        assert step.hold is not None
        for given, answer in enumerate(hold.answers, 1):  # in their order: however many are read at once
            if not answer.yes:
                said = f": {answer.comment}" if answer.comment else ""
                fault = Fault(FaultClass.PERMANENT, f"{answer.name or answer.principal} refused{said}")
                return [ev.HoldRefused(now, step.id, hold.ask, fault), *self._stops(i, now)]
            if given >= step.hold.quorum:
                return [ev.HoldGranted(now, step.id, hold.ask)]
        if not hold.until or min(now, read_at) < hold.until:
            return []
        if step.hold.go_on:
            return [ev.HoldPassed(now, step.id, hold.ask)]
        told = f"{len(hold.answers)} of {step.hold.quorum} approvals were given in time"
        if self._run.clock_ahead:
            hours = self._run.clock_ahead / 3600
            told += f"; when a process took over, the clock was {hours:.1f} h ahead of the last event"
        return [ev.HoldExpired(now, step.id, hold.ask, Fault(FaultClass.TIMEOUT, told)), *self._stops(i, now)]

    def _stops(self, i: int, now: float) -> list[ev.AnyEvent]:
        run = self._run
        return stops(run, run.plan.operations[run.step_operation[i]], run.plan.steps[i].id, now)

    def answered(self, answer: HoldAnswer, number: int, given_at: float, now: float) -> list[ev.AnyEvent]:
        """The event for an answer; none if its question is not open any more or this person has answered it."""
        run = self._run
        hold = run.holds.get(answer.step)
        if hold is None or run.record(answer.step).state is not StepState.ASKING:
            return []
        late = hold.until and given_at >= hold.until
        if late or (hold.ask, hold.hash) != (answer.ask, answer.hash):
            return []
        who = answer.who
        if any(one.principal == who.id for one in hold.answers) or self._is_unfit(answer):
            return []
        told = (answer.yes, who.id, who.name, who.role.value, answer.comment)
        return [ev.HoldAnswered(now, answer.step, answer.ask, *told, signal=number, given_at=given_at)]

    def _is_unfit(self, answer: HoldAnswer) -> bool:
        """Whether the holder of a token may not answer; whether somebody without one may is known at the door only."""
        hold = self._run.plan.steps[self._run.index[answer.step]].hold
        assert hold is not None
        return bool(unfit(hold, answer.who, self._run.responsible, tokens=answer.who.has_token))

    # -- gates --------------------------------------------------------------------------------------------------

    def decide_due(self, now: float) -> list[ev.AnyEvent]:
        """Of what is due: gates that open, questions that are asked, and gates of operations that cannot succeed."""
        due, self._due = self._due, []
        waiting = [i for i in due if self._run.records[i].state is StepState.WAITING]
        return [event for i in waiting for event in self._decided(i, now)]

    def _decided(self, i: int, now: float) -> list[ev.AnyEvent]:
        run, step = self._run, self._run.plan.steps[i]
        op = run.step_operation[i]
        if not step.traits.counted:
            if failure_certain(run, op):
                why = "too many steps of the waves before failed"
                return [ev.StepSkipped(now, step.id, why, last_bad_step(run, op))]
            if step.hold is None or not self._starts_something(i):
                return [ev.GatePassed(now, step.id)]
        return self._ask(i, step, now)

    def _ask(self, i: int, step: Step, now: float) -> list[ev.AnyEvent]:
        assert step.hold is not None
        due = self._values.due(step.operation) if self._values and step.request.references else ()
        values = self._values.of(due) if self._values and due else {}
        if isinstance(values, Missing):
            return [ev.StepSkipped(now, step.id, str(values), values.step)]
        if isinstance(values, Fault):
            return faulted(self._run, i, values, now)
        before = self._run.holds.get(step.id)
        ask = before.ask + 1 if before else 1
        self._plan_hash = self._plan_hash or self._run.plan.hash()
        until = now + step.hold.expires if step.hold.expires else 0.0
        asked = ev.HoldAsked(now, step.id, ask, hold_digest(self._run, i, ask, self._plan_hash), until)
        return [ev.OperationOpened(now, step.operation, values), asked] if due else [asked]

    def _starts_something(self, gate: int) -> bool:
        run = self._run
        waiting = (j for j in wave_behind(run, gate) if run.records[j].state is StepState.WAITING)
        return any(run.lane(j) not in run.stopped_lanes or moved_off(run, j, run.updated_at) for j in waiting)
