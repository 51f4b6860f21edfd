"""What a failure does to the rest of the run, as the `on_failure` of its operation says. Pure."""

from __future__ import annotations

from batchwright.model import events as ev
from batchwright.model.plan import PlannedOperation
from batchwright.model.run import Run
from batchwright.model.workflow import OnFailure


def stops(run: Run, operation: PlannedOperation, step: str, now: float) -> list[ev.AnyEvent]:
    """The event that stops the run because of this step; none if it goes on, or was stopped as far already."""
    back = operation.on_failure is OnFailure.ROLLBACK
    if operation.on_failure is OnFailure.CONTINUE or (run.stopping and back <= run.rollback_after_stop):
        return []
    return [ev.RunStopping(now, step, back)]
