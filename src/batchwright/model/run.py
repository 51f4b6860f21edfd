"""The one fold: `Run` is what the events so far add up to. Engine, recovery, rollback and every view use it.

It takes no decision and never looks at a clock. The state of a step changes only through model/lifecycle.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import msgspec
from msgspec import Struct

from batchwright.errors import IllegalTransition, StepNotFound
from batchwright.model import events as ev
from batchwright.model.ids import step_token
from batchwright.model.lifecycle import (
    STEP_IN_FLIGHT,
    STEP_TRANSITIONS,
    RunState,
    StepState,
    next_run_state,
    next_step_state,
)
from batchwright.model.outcome import Fault
from batchwright.model.plan import Action, Plan
from batchwright.model.summary import RunSummary


class StepRecord(Struct, gc=False, omit_defaults=True):
    """What is known about one step. Times are seconds since the epoch, 0 when it has not happened.

    `failures` counts the attempts that used up a retry; `attempt` counts every send. `doubt`: a call was sent and
    nobody knows what became of it; `crashed`: because the driver died. `stale`: made, no good, to be thrown away.
    """

    state: StepState = StepState.WAITING
    attempt: int = 0
    failures: int = 0
    generation: int = 0
    throttles: int = 0
    ref: str = ""
    stale: str = ""
    address: str = ""
    started_at: float = 0.0
    attempt_at: float = 0.0
    ended_at: float = 0.0
    until: float = 0.0
    made: bool = False
    doubt: bool = False
    doubt_at: float = 0.0
    crashed: bool = False
    undo_attempt: int = 0
    undo_failures: int = 0
    fault: Fault | None = None
    reason: str = ""
    because: str = ""


class RunSnapshot(Struct, frozen=True):
    """A Run as a value without its plan, so that reopening does not replay the whole journal."""

    seq: int
    header: dict[str, Any]
    records: list[StepRecord]


_HEADER = (
    *("status", "created_at", "started_at", "ended_at", "updated_at", "reason", "driver", "restarts", "residue"),
    *(
        "cancelling",
        "stopping",
        "rollback_after_stop",
        "rolled_back_by",
        "stopped_lanes",
        "swept",
        "sweeps",
        "sweep_faults",
    ),
    *("strays_found", "doubtful", "retries", "throttles", "provider_retries", "provider_throttles"),
)


class Run:
    """The fold of one run's events. Mutable; `apply` is the only way to change it."""

    def __init__(self, created: ev.RunCreated) -> None:
        self.id = created.run
        self.plan: Plan = created.plan
        self.created = created
        self.seq = 1
        self.status = RunState.PENDING
        self.created_at = self.updated_at = created.at
        self.started_at = self.ended_at = 0.0
        self.reason = ""
        self.driver = ""
        self.restarts = 0  # drivers that took over from one that died
        self.cancelling = ""  # "graceful" or "force" once asked for
        self.stopping = ""  # the step whose failure stopped the run
        self.rollback_after_stop = False
        self.rolled_back_by = ""
        self.stopped_lanes: dict[str, Fault] = {}
        self.swept: set[str] = set()
        self.sweeps: dict[str, int] = {}  # lane -> rounds so far
        self.sweep_faults: dict[str, Fault] = {}
        self.strays_found = 0
        self.doubtful: dict[str, float] = {}  # lane -> when a call in it was last in doubt
        self.residue: tuple[str, ...] = ()
        self.retries = self.throttles = 0
        self.provider_retries: dict[str, int] = {}
        self.provider_throttles: dict[str, int] = {}
        self.index = {step.id: i for i, step in enumerate(self.plan.steps)}
        self.records = [StepRecord() for _ in self.plan.steps]
        self._derive()

    def _derive(self) -> None:
        self.operation_index = {op.id: i for i, op in enumerate(self.plan.operations)}
        self.step_operation = [self.operation_index[step.operation] for step in self.plan.steps]
        self.counts: list[dict[StepState, int]] = [{} for _ in self.plan.operations]
        self.in_flight: dict[int, None] = {}
        for i, record in enumerate(self.records):
            counts = self.counts[self.step_operation[i]]
            counts[record.state] = counts.get(record.state, 0) + 1
            if record.state in STEP_IN_FLIGHT:
                self.in_flight[i] = None

    @classmethod
    def replay(cls, history: Iterable[ev.AnyEvent]) -> Run:
        """The Run of a whole journal."""
        iterator = iter(history)
        created = next(iterator)
        if not isinstance(created, ev.RunCreated):
            raise IllegalTransition("a journal begins with run_created")
        run = cls(created)
        for event in iterator:
            run.apply(event)
        return run

    def apply(self, event: ev.AnyEvent) -> int | None:
        """Take one event; gives the index of the step it is about, if any. Raises IllegalTransition, StepNotFound."""
        self.seq += 1
        self.updated_at = event.at
        return _APPLY[type(event)](self, event)

    # -- reading ------------------------------------------------------------------------------------------------

    def record(self, step: str) -> StepRecord:
        """Of one step by its full id."""
        return self.records[self.step(step)]

    def step(self, step: str) -> int:
        """The index of a step. Raises StepNotFound."""
        try:
            return self.index[step]
        except KeyError:
            raise StepNotFound(f"run {self.id} has no step {step!r}") from None

    def lane(self, index: int) -> str:
        """The account whose limits this step's calls use."""
        return self.plan.operations[self.step_operation[index]].lane

    def token(self, index: int) -> str:
        """The token the step's create call carries now."""
        return step_token(self.id, self.plan.steps[index].id, self.records[index].generation)

    def count(self, *states: StepState) -> int:
        """How many steps are in one of these states."""
        return sum(counts.get(state, 0) for counts in self.counts for state in states)

    @property
    def rollback_due(self) -> bool:
        """Failed, and what was made is to be rolled back without being asked."""
        return self.status is RunState.FAILED and self.rollback_after_stop and not self.rolled_back_by

    def summary(self, store: str) -> RunSummary:
        """The line that `list` and `stats` show."""
        return RunSummary(
            run=self.id,
            workflow=self.plan.workflow,
            version=self.plan.version,
            status=self.status,
            store=store,
            created_at=self.created_at,
            started_at=self.started_at,
            ended_at=self.ended_at,
            updated_at=self.updated_at,
            steps=len(self.records),
            succeeded=self.count(StepState.SUCCEEDED),
            failed=self.count(StepState.FAILED, StepState.UNDO_FAILED),
            skipped=self.count(StepState.SKIPPED),
            undone=self.count(StepState.UNDONE),
            retries=self.retries,
            throttles=self.throttles,
            restarts=self.restarts,
            simulated=self.plan.simulation is not None,
            rollback_due=self.rollback_due,
            key=self.created.key,
            digest=self.created.digest,
            providers=self._provider_counts(),
        )

    def _provider_counts(self) -> dict[str, dict[str, int]]:
        table: dict[str, dict[str, int]] = {}
        for op, counts in zip(self.plan.operations, self.counts, strict=True):
            row = table.setdefault(op.provider, {"steps": 0, "succeeded": 0, "failed": 0, "retries": 0, "throttles": 0})
            row["steps"] += sum(counts.values())
            row["succeeded"] += counts.get(StepState.SUCCEEDED, 0)
            row["failed"] += counts.get(StepState.FAILED, 0)
        for provider, row in table.items():
            row["retries"] = self.provider_retries.get(provider, 0)
            row["throttles"] = self.provider_throttles.get(provider, 0)
        return table

    def snapshot(self) -> bytes:
        """This fold as bytes, for `restore`."""
        header = {name: getattr(self, name) for name in _HEADER}
        return msgspec.json.encode(RunSnapshot(self.seq, header, self.records), order="deterministic")

    @classmethod
    def restore(cls, created: ev.RunCreated, body: bytes) -> Run:
        """The fold that `snapshot` gave, on the journal's first event."""
        snapshot = msgspec.json.decode(body, type=RunSnapshot)
        run = cls(created)
        run.seq = snapshot.seq
        run.records = snapshot.records
        for name in _HEADER:
            setattr(run, name, snapshot.header[name])
        run.status = RunState(run.status)
        run.swept = set(run.swept)
        run.residue = tuple(run.residue)
        run.stopped_lanes = msgspec.convert(run.stopped_lanes, dict[str, Fault])
        run.sweep_faults = msgspec.convert(run.sweep_faults, dict[str, Fault])
        run._derive()
        return run

    # -- the fold, one function per event -----------------------------------------------------------------------

    def _move(self, step: str, event: str) -> tuple[int, StepRecord]:
        i = self.step(step)
        record = self.records[i]
        before = record.state
        after = STEP_TRANSITIONS[before].get(event) or next_step_state(before, event, step)
        if after is not before:
            record.state = after
            counts = self.counts[self.step_operation[i]]
            counts[before] -= 1
            counts[after] = counts.get(after, 0) + 1
            if after in STEP_IN_FLIGHT:
                self.in_flight[i] = None
            elif before in STEP_IN_FLIGHT:
                del self.in_flight[i]
        return i, record

    def _run_created(self, _event: ev.RunCreated) -> None:
        raise IllegalTransition("run_created is the first event of a journal and comes once")

    def _driver_started(self, event: ev.DriverStarted) -> None:
        self.driver = event.driver
        self.restarts += self.status in (RunState.RUNNING, RunState.PAUSED, RunState.ROLLING_BACK)
        for i in self.in_flight:
            record = self.records[i]
            if record.state is not StepState.CREATED and self.plan.steps[i].action is not Action.KEEP:
                self._doubt(i, record, event.at)
                record.crashed = True

    def _doubt(self, i: int, record: StepRecord, at: float) -> None:
        record.doubt = True
        record.doubt_at = at
        if self.plan.steps[i].action is Action.CREATE:
            self.doubtful[self.lane(i)] = at

    def _run_started(self, event: ev.RunStarted) -> None:
        self.status = next_run_state(self.status, "run_started")
        self.started_at = event.at

    def _run_paused(self, _event: ev.RunPaused) -> None:
        self.status = next_run_state(self.status, "run_paused")

    def _run_resumed(self, _event: ev.RunResumed) -> None:
        self.status = next_run_state(self.status, "run_resumed")

    def _cancel_requested(self, event: ev.CancelRequested) -> None:
        self.cancelling = "force" if event.force else "graceful"

    def _run_stopping(self, event: ev.RunStopping) -> None:
        self.stopping = event.step
        self.rollback_after_stop = event.rollback

    def _provider_stopped(self, event: ev.ProviderStopped) -> None:
        self.stopped_lanes[event.lane] = event.fault

    def _run_ended(self, event: ev.RunEnded) -> None:
        self.status = next_run_state(self.status, f"run_{event.status.value.lower()}")
        self.ended_at = event.at
        self.reason = event.reason
        for i in self.in_flight:  # only a forced cancel leaves any
            self._doubt(i, self.records[i], event.at)
            self.records[i].crashed = True

    def _run_reopened(self, _event: ev.RunReopened) -> None:
        self.status = next_run_state(self.status, "run_reopened")
        self.ended_at = 0.0
        self.reason = self.cancelling = self.stopping = ""
        self.rollback_after_stop = False
        self.stopped_lanes.clear()
        self._forget_sweeps()
        for i, record in enumerate(self.records):
            if record.state in (StepState.FAILED, StepState.SKIPPED, StepState.RETRYING):
                self._move(self.plan.steps[i].id, "run_reopened")
                record.failures = record.throttles = 0
                record.until = record.ended_at = 0.0
                record.reason = record.because = ""
                if record.ref and not record.made:
                    record.stale, record.ref = record.ref, ""
                    record.generation += 1

    def _forget_sweeps(self) -> None:
        self.swept.clear()
        self.sweep_faults.clear()

    def _rollback_started(self, event: ev.RollbackStarted) -> None:
        self.status = next_run_state(self.status, "rollback_started")
        self.rolled_back_by = event.by
        self.ended_at = 0.0
        self.reason = event.reason
        self.residue = ()
        self._forget_sweeps()
        for record in self.records:
            record.undo_failures = 0

    def _rollback_ended(self, event: ev.RollbackEnded) -> None:
        clean = event.status is RunState.ROLLED_BACK
        self.status = next_run_state(self.status, "rollback_completed" if clean else "rollback_left_residue")
        self.ended_at = event.at
        self.residue = event.residue

    def _step_started(self, event: ev.StepStarted) -> int:
        i, record = self._move(event.step, "step_started")
        record.attempt = event.attempt
        record.started_at = record.started_at or event.at
        record.attempt_at = event.at
        record.fault = None
        record.crashed = False
        return i

    def _step_in_doubt(self, event: ev.StepInDoubt) -> int:
        i, record = self._move(event.step, "step_in_doubt")
        self._doubt(i, record, event.at)
        return i

    def _step_created(self, event: ev.StepCreated) -> int:
        i, record = self._move(event.step, "step_created")
        record.ref = event.ref
        record.stale = ""
        record.doubt = False
        return i

    def _step_succeeded(self, event: ev.StepSucceeded) -> int:
        i, record = self._move(event.step, "step_succeeded")
        record.ref = event.ref or record.ref
        record.stale = ""
        record.address = event.address
        record.made = event.made
        record.doubt = False
        record.ended_at = event.at
        record.fault = None
        return i

    def _step_retrying(self, event: ev.StepRetrying) -> int:
        i, record = self._move(event.step, "step_retrying")
        record.until = event.until
        record.fault = event.fault
        record.doubt = event.doubt
        provider = self.plan.steps[i].provider
        if event.counted:
            record.failures += 1
            self.retries += 1
            self.provider_retries[provider] = self.provider_retries.get(provider, 0) + 1
        elif event.fault.kind == "throttle":
            record.throttles += 1
            self.throttles += 1
            self.provider_throttles[provider] = self.provider_throttles.get(provider, 0) + 1
        if event.replace:
            record.stale, record.ref = record.ref, ""
            record.generation += 1
        return i

    def _step_failed(self, event: ev.StepFailed) -> int:
        i, record = self._move(event.step, "step_failed")
        record.fault = event.fault
        record.doubt = event.doubt
        record.ended_at = event.at
        return i

    def _step_skipped(self, event: ev.StepSkipped) -> int:
        i, record = self._move(event.step, "step_skipped")
        record.reason = event.reason
        record.because = event.because
        record.ended_at = event.at
        return i

    def _undo_started(self, event: ev.UndoStarted) -> int:
        i, record = self._move(event.step, "undo_started")
        record.undo_attempt = event.attempt
        record.attempt_at = event.at
        return i

    def _undo_retrying(self, event: ev.UndoRetrying) -> int:
        i, record = self._move(event.step, "undo_retrying")
        record.undo_failures += 1
        record.until = event.until
        record.fault = event.fault
        self.retries += 1
        return i

    def _step_undone(self, event: ev.StepUndone) -> int:
        i, record = self._move(event.step, "step_undone")
        record.doubt = record.made = False
        record.ended_at = event.at
        record.fault = None
        return i

    def _undo_failed(self, event: ev.UndoFailed) -> int:
        i, record = self._move(event.step, "undo_failed")
        record.undo_failures += 1
        record.fault = event.fault
        record.ended_at = event.at
        return i

    def _sweep_started(self, event: ev.SweepStarted) -> None:
        self.swept.discard(event.lane)
        self.sweeps[event.lane] = self.sweeps.get(event.lane, 0) + 1

    def _stray_found(self, _event: ev.StrayFound) -> None:
        self.strays_found += 1

    def _stray_gone(self, event: ev.StrayGone) -> None:
        if event.fault is not None:
            self.sweep_faults[event.lane] = event.fault

    def _sweep_ended(self, event: ev.SweepEnded) -> None:
        self.swept.add(event.lane)
        if event.fault is not None:
            self.sweep_faults[event.lane] = event.fault
        elif event.lane in self.doubtful:  # a clean sweep is the proof that nothing in doubt was made
            del self.doubtful[event.lane]
            for i, record in enumerate(self.records):
                if record.doubt and self.lane(i) == event.lane and record.state not in STEP_IN_FLIGHT:
                    record.doubt = False


_APPLY: dict[type[ev.Event], Callable[[Run, Any], int | None]] = {
    ev.RunCreated: Run._run_created,
    ev.DriverStarted: Run._driver_started,
    ev.RunStarted: Run._run_started,
    ev.RunPaused: Run._run_paused,
    ev.RunResumed: Run._run_resumed,
    ev.CancelRequested: Run._cancel_requested,
    ev.RunStopping: Run._run_stopping,
    ev.ProviderStopped: Run._provider_stopped,
    ev.RunEnded: Run._run_ended,
    ev.RunReopened: Run._run_reopened,
    ev.RollbackStarted: Run._rollback_started,
    ev.RollbackEnded: Run._rollback_ended,
    ev.StepStarted: Run._step_started,
    ev.StepInDoubt: Run._step_in_doubt,
    ev.StepCreated: Run._step_created,
    ev.StepSucceeded: Run._step_succeeded,
    ev.StepRetrying: Run._step_retrying,
    ev.StepFailed: Run._step_failed,
    ev.StepSkipped: Run._step_skipped,
    ev.UndoStarted: Run._undo_started,
    ev.UndoRetrying: Run._undo_retrying,
    ev.StepUndone: Run._step_undone,
    ev.UndoFailed: Run._undo_failed,
    ev.SweepStarted: Run._sweep_started,
    ev.StrayFound: Run._stray_found,
    ev.StrayGone: Run._stray_gone,
    ev.SweepEnded: Run._sweep_ended,
}


def made_something(run: Run, index: int) -> bool:
    """Whether undoing this step would have anything to do: it made something, or may have.

    A kept server was there before and is never undone; the same holds for a task service that was installed already.
    """
    step, record = run.plan.steps[index], run.records[index]
    if step.action is Action.KEEP:
        return False
    if record.state in (StepState.UNDOING, StepState.UNDO_RETRYING, StepState.UNDO_FAILED):
        return True
    if step.action is Action.INSTALL and record.state in (StepState.FAILED, StepState.RETRYING):
        return record.attempt > 0  # an install that failed half-way may have left things behind
    if record.state in (StepState.STARTED, StepState.CREATED):
        return True
    return record.made or record.doubt or bool(record.ref) or bool(record.stale)
