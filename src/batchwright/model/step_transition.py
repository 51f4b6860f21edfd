"""Moves one step from state to state, by the table in model/lifecycle.py, and keeps the indices of the fold."""

from __future__ import annotations

from batchwright.model.lifecycle import STEP_IN_FLIGHT, STEP_TRANSITIONS, next_step_state
from batchwright.model.run_fold_state import RunFoldState, StepFoldState


def move(run: RunFoldState, step: str, event: str) -> tuple[int, StepFoldState]:
    """Its index and record, in the state after `event`. Raises IllegalTransition and StepNotFound."""
    i = run.step(step)
    record = run.records[i]
    before = record.state
    after = STEP_TRANSITIONS[before].get(event) or next_step_state(before, event, step)
    if after is not before:
        record.state = after
        if run.counted[i]:
            counts = run.counts[run.step_operation[i]]
            counts[before] -= 1
            counts[after] = counts.get(after, 0) + 1
            run.totals[before] -= 1
            run.totals[after] += 1
        if after in STEP_IN_FLIGHT:
            run.in_flight[i] = None
        elif before in STEP_IN_FLIGHT:
            del run.in_flight[i]
    return i, record
