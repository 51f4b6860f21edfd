"""How an operation ended, or that this is certain already, from how many of its steps are in each state. Pure."""

from __future__ import annotations

from enum import StrEnum

from batchwright.model.lifecycle import STEP_ENDED, StepState
from batchwright.model.plan import PlannedOperation
from batchwright.model.run_fold_state import RunFoldState

S = StepState


class OperationEnd(StrEnum):
    """How an operation ended.

    >>> OperationEnd("degraded").good
    True
    """

    SUCCEEDED = "succeeded"
    DEGRADED = "degraded"  # enough of its steps succeeded, not all
    FAILED = "failed"
    SKIPPED = "skipped"
    NOT_WANTED = "not_wanted"

    @property
    def good(self) -> bool:
        """Whether what depends on it may go on."""
        return self in (OperationEnd.SUCCEEDED, OperationEnd.DEGRADED)


def share(wanted: str, whole: int) -> int:
    """A number, "18", as it is; of a share, "90%", how many of the whole it is, rounded up."""
    return -(-int(wanted[:-1]) * whole // 100) if wanted.endswith("%") else int(wanted)


def required(operation: PlannedOperation, steps: int) -> int:
    """How many of so many steps must succeed.

    A share is rounded up; a number stays as it is.
    """
    return share(operation.min_success, steps) if operation.min_success else steps


def _tally(run: RunFoldState, index: int) -> tuple[int, int, int]:
    """How many steps count, must succeed, and did not succeed for good."""
    counts = run.counts[index]
    steps = sum(counts.values()) - counts.get(S.NOT_WANTED, 0)
    bad = counts.get(S.FAILED, 0) + counts.get(S.SKIPPED, 0)
    return steps, required(run.plan.operations[index], steps), bad


def failure_certain(run: RunFoldState, index: int) -> bool:
    """Whether too many steps of this operation failed or were skipped for it to succeed."""
    steps, least, bad = _tally(run, index)
    return steps > 0 and steps - bad < least


def operation_end(run: RunFoldState, index: int) -> OperationEnd | None:
    """How this operation ended; None while one of its steps has not."""
    counts = {state: count for state, count in run.counts[index].items() if count}
    if any(state not in STEP_ENDED for state in counts):
        return None
    steps, least, _ = _tally(run, index)
    succeeded = counts.get(S.SUCCEEDED, 0)
    if steps == 0:
        return OperationEnd.NOT_WANTED if counts else OperationEnd.SUCCEEDED
    if succeeded >= least:
        return OperationEnd.SUCCEEDED if succeeded == steps else OperationEnd.DEGRADED
    refused = any(run.records[i].state is S.FAILED for i in run.gates[index])
    return OperationEnd.FAILED if refused or counts.get(S.FAILED) or not counts.get(S.SKIPPED) else OperationEnd.SKIPPED


def last_bad_step(run: RunFoldState, index: int) -> str:
    """The step that failed or was skipped last, of an operation of which not enough succeeded.

    If none was, too many were not wanted for a number, which does not shrink: then it is the last one of these.
    """
    ended = (
        (run.records[i].state is not S.NOT_WANTED, run.records[i].ended_at, run.plan.steps[i].id)
        for i in run.operation_steps[index]
        if run.records[i].state in (S.FAILED, S.SKIPPED, S.NOT_WANTED)
    )
    return max(ended, default=(False, 0.0, ""))[2]
