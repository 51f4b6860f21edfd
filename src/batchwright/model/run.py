"""`Run` is the sum of the events so far. Engine, recovery, rollback and every view use this one fold."""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Set as AbstractSet

from batchwright.errors import IllegalTransition
from batchwright.model import events as ev
from batchwright.model.actions import Doubt, Undo
from batchwright.model.call_outcome import Observed
from batchwright.model.fault import PASSING, FaultClass
from batchwright.model.fold import APPLY
from batchwright.model.ids import step_token
from batchwright.model.lifecycle import RUN_ENDED, RunState, StepState
from batchwright.model.operation_end import OperationEnd, operation_end
from batchwright.model.plan import Request
from batchwright.model.run_fold_state import RunFoldState, StepFoldState
from batchwright.model.run_summary import RunSummary

__all__ = ["Run", "StepFoldState", "half_removed", "made_something", "unsettled"]

FOLD = 14  # raised with every change of what is folded; older snapshots are left aside then and the events fold again


class Run(RunFoldState):
    """The fold of one run's events. Mutable; `apply` is the only way to change it."""

    _tokens: AbstractSet[str] = frozenset()  # that steps have used, as far as they were requested

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
        """Apply one event; gives the index of its step, if it has one.

        Raises IllegalTransition and StepNotFound, and then has changed nothing.
        """
        i = APPLY[type(event)](self, event)
        self.seq += 1
        self.updated_at = event.at
        return i

    # -- reading ------------------------------------------------------------------------------------------------

    def record(self, step: str) -> StepFoldState:
        """The record of one step, by the step's full id."""
        return self.records[self.step(step)]

    def token(self, index: int) -> str:
        """The current token of the step's create call."""
        return step_token(self.id, self.plan.steps[index].id, self.records[index].generation)

    def request(self, index: int) -> Request:
        """The step's request, with what its references stand for since its operation was opened."""
        step = self.steps[index]
        return step.request.with_values(self.values.get(step.operation, {}))

    def made(self, seen: Observed) -> bool:
        """Whether an object carries this run's labels: its id, and a token that one of its steps has had.

        Objects that all servers of the run share (a group, a key) have no token. Labels can be copied and edited by
        hand.
        """
        token = seen.token or seen.made_with
        if seen.run != self.id or not token:
            return seen.run == self.id and seen.needed_by is not None
        if token not in self._tokens:
            steps = zip(self.plan.steps, self.records, strict=True)
            self._tokens = {step_token(self.id, step.id, g) for step, one in steps for g in range(one.generation + 1)}
        return token in self._tokens

    def count(self, *states: StepState) -> int:
        """How many steps are in one of these states."""
        return sum(self.totals[state] for state in states)

    @property
    def asking(self) -> list[int]:
        """The steps whose question is open: gates and approvals of a run that goes forward."""
        if self.status in RUN_ENDED or self.status is RunState.ROLLING_BACK:
            return []
        return [i for step in self.holds if self.records[i := self.index[step]].state is StepState.ASKING]

    @property
    def responsible(self) -> frozenset[str]:
        """The principals that submitted the run and last continued it, who cannot approve it."""
        return frozenset({self.created.principal, self.continued_by} - {""})

    @property
    def step_count(self) -> int:
        """How many steps people count: without the gates of waves."""
        return sum(self.totals.values())

    @property
    def degraded(self) -> tuple[str, ...]:
        """The operations that succeeded although some of their steps did not."""
        operations = enumerate(self.plan.operations)
        return tuple(
            op.id for i, op in operations if op.min_success and operation_end(self, i) is OperationEnd.DEGRADED
        )

    @property
    def rollback_due(self) -> bool:
        """Whether the run failed and has to be rolled back automatically."""
        return self.status is RunState.FAILED and self.rollback_after_stop and not self.rolled_back_by

    @property
    def holds_environment(self) -> bool:
        """Whether it is this run's turn: its environment is changed by nobody else."""
        return self.turn > 0 and (self.status not in RUN_ENDED or self.rollback_due)

    def summary(self, store: str) -> RunSummary:
        """The line that `list` and `stats` show."""
        open_ = [self.holds[self.plan.steps[i].id] for i in self.asking]
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
            steps=self.step_count,
            succeeded=self.count(StepState.SUCCEEDED),
            failed=self.count(StepState.FAILED, StepState.UNDO_FAILED),
            skipped=self.count(StepState.SKIPPED),
            not_wanted=self.count(StepState.NOT_WANTED),
            undone=self.count(StepState.UNDONE),
            retries=self.retries,
            throttles=self.throttles,
            restarts=self.restarts,
            simulated=self.plan.simulation is not None,
            rollback_due=self.rollback_due,
            by=self.created.by,
            environment=self.plan.environment or self.plan.workflow,
            turn=self.turn,
            key=self.created.key,
            digest=self.created.digest,
            degraded=len(self.degraded) if self.status is RunState.COMPLETED else 0,
            providers=self._provider_counts(),
            asks=len(open_),
            wakes_at=min((hold.until for hold in open_ if hold.until), default=0.0),
        )

    def _provider_counts(self) -> dict[str, dict[str, int]]:
        table: dict[str, dict[str, int]] = {}
        for op, counts in zip(self.plan.operations, self.counts, strict=True):
            if not op.provider:
                continue
            row = table.setdefault(op.provider, dict.fromkeys(_COUNTED, 0))
            row["steps"] += sum(counts.values())
            row["succeeded"] += counts.get(StepState.SUCCEEDED, 0)
            row["failed"] += counts.get(StepState.FAILED, 0)
        for i in self.moved:
            self._count_where_it_is(i, table)
        for provider, row in table.items():
            row["retries"] = self.provider_retries.get(provider, 0)
            row["throttles"] = self.provider_throttles.get(provider, 0)
        return table

    def _count_where_it_is(self, i: int, table: dict[str, dict[str, int]]) -> None:
        """Count a step that moved at the provider to which it moved."""
        state = self.records[i].state
        for provider, one in ((self.plan.steps[i].provider, -1), (self.steps[i].provider, 1)):
            row = table.setdefault(provider, dict.fromkeys(_COUNTED, 0))
            row["steps"] += one
            row["succeeded"] += one * (state is StepState.SUCCEEDED)
            row["failed"] += one * (state is StepState.FAILED)


_COUNTED = ("steps", "succeeded", "failed", "retries", "throttles")  # of each provider


def made_something(run: Run, index: int) -> bool:
    """Whether undoing this step would have anything to do: it created something, or may have.

    A kept server existed before and is never undone; the same holds for a task service that was installed already.
    What the run has half removed is removed for good.
    """
    step, record = run.plan.steps[index], run.records[index]
    if record.state is StepState.UNDONE:
        return False
    if step.undo is Undo.NOTHING:
        return run.plan.rules.finishes_removals and half_removed(run, index)
    if record.state in (StepState.UNDOING, StepState.UNDO_RETRYING, StepState.UNDO_FAILED):
        return True
    if record.state in (StepState.STARTED, StepState.CREATED):
        return True
    if step.traits.doubt is not Doubt.LOOK and record.state is not StepState.SUCCEEDED:
        return record.attempt > 0  # nothing shows what a failed call left behind
    return record.made or record.doubt or bool(record.ref) or bool(record.stale)


def half_removed(run: Run, index: int) -> bool:
    """Whether a removal has begun and was not seen to end: nobody knows how much of the thing is left."""
    step, record = run.plan.steps[index], run.records[index]
    if not step.traits.removes or record.attempt == 0 or record.state in (StepState.SUCCEEDED, StepState.UNDONE):
        return False
    if record.doubt or record.state in _HALF_WAY:
        return True
    if record.fault is None or (record.fault.kind is FaultClass.THROTTLE and not record.failures):
        return False  # every call so far was turned away
    return record.fault.kind in (*PASSING, FaultClass.IN_DOUBT)


_HALF_WAY = (StepState.STARTED, StepState.UNDOING, StepState.UNDO_RETRYING, StepState.UNDO_FAILED)


def changed_something(run: Run, index: int) -> bool:
    """Whether this step did something, or may have, also what cannot be undone: the run can be rolled back.

    Runs are a stack: one that only took something away must not keep the run before it from being rolled back.
    """
    traits = run.plan.steps[index].traits
    did = traits.doubt is not Doubt.NONE and not traits.only_looks
    return made_something(run, index) or (did and run.records[index].state is StepState.SUCCEEDED)


def unsettled(run: Run, index: int) -> bool:
    """Whether a person must decide how a step in doubt continues, in a run that no process drives."""
    step, record = run.plan.steps[index], run.records[index]
    if step.doubt is not Doubt.ASK:
        return False
    return record.state is StepState.STARTED or (record.state is StepState.FAILED and record.doubt)
