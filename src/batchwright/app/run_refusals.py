"""Why a run cannot be paused, resumed, cancelled or rolled back now."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NoReturn

from batchwright.engine.machine import Machine
from batchwright.errors import NotAllowed, RunHeld
from batchwright.model.lifecycle import RunState
from batchwright.model.run import Run
from batchwright.model.run_signal import SignalKind


def refuse_unless(status: RunState, run: str, kind: SignalKind, states: Sequence[RunState]) -> None:
    """Raise NotAllowed if the signal makes no sense in the run's state."""
    if status not in states:
        verb = kind.value.replace("_", " ")
        raise NotAllowed(f"run {run} is {status}; there is nothing to {verb}", hint=f"batchwright status {run}")


def refuse_rollback(run: Run, by: str, now: float, who: str) -> NoReturn:
    """Raise NotAllowed or RunHeld, with the reason why a run that `who` drives cannot be rolled back."""
    Machine(run).rollback(now, by)  # says what to do instead
    raise RunHeld(f"run {run.id} is driven by {who}")


def nothing_to_pause(run: str) -> NotAllowed:
    """The error for a pause of a run that no process drives."""
    return NotAllowed(
        f"no process drives run {run}, so there is nothing to pause",
        hint=f"Continue it with: batchwright resume {run}, or end it with: batchwright cancel {run}",
    )
