"""The state of a step or an operation as screens show it: that of the fold, with doubt told apart."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum

from batchwright.model.lifecycle import StepState
from batchwright.model.operation_end import OperationEnd, operation_end
from batchwright.model.run import Run
from batchwright.views.wait_reasons import LIVE


class DisplayState(StrEnum):
    """What a screen shows of a step. The worst stands first, and a whole operation shows the worst of its steps.

    `in_doubt`: started, and the outcome of its call is not known. `never_began`: waiting, in a run that no longer goes
    forward.
    """

    ASKING = "asking"
    FAILED = "failed"
    UNDO_FAILED = "undo_failed"
    IN_DOUBT = "in_doubt"
    RETRYING = "retrying"
    UNDO_RETRYING = "undo_retrying"
    UNDOING = "undoing"
    STARTED = "started"
    CREATED = "created"
    UNDONE = "undone"
    SUCCEEDED = "succeeded"
    SKIPPED = "skipped"
    NOT_WANTED = "not_wanted"
    WAITING = "waiting"
    NEVER_BEGAN = "never_began"


D = DisplayState
RANK = {state: rank for rank, state in enumerate(D)}  # 0 for the worst
OF_FOLD = {state: D(state.value) for state in StepState}
BUSY = frozenset({D.STARTED, D.CREATED, D.IN_DOUBT, D.RETRYING, D.UNDOING, D.UNDO_RETRYING})  # something goes on
LOST = frozenset({D.FAILED, D.UNDO_FAILED})
_LOUD = (D.ASKING, D.FAILED, D.UNDO_FAILED, D.IN_DOUBT, D.RETRYING, D.UNDO_RETRYING, D.UNDOING, D.STARTED, D.CREATED)
DEGRADED = "degraded"  # of an operation, and no state of a step


def display_state(run: Run, i: int) -> DisplayState:
    """What a screen shows of a step."""
    record = run.records[i]
    if record.state is StepState.STARTED and record.doubt:
        return D.IN_DOUBT
    if record.state is StepState.WAITING and run.status not in LIVE:
        return D.NEVER_BEGAN
    return OF_FOLD[record.state]


def display_states(run: Run) -> list[DisplayState]:
    """What a screen shows of each step, in plan order."""
    waiting = D.WAITING if run.status in LIVE else D.NEVER_BEGAN
    shown = {**OF_FOLD, StepState.WAITING: waiting}
    states = [shown[record.state] for record in run.records]
    for i in run.in_flight:
        states[i] = display_state(run, i)
    return states


def display_counts(run: Run) -> list[dict[DisplayState, int]]:
    """How many of the counted steps of each operation are in each state, the worst first."""
    waiting = D.WAITING if run.status in LIVE else D.NEVER_BEGAN
    shown = {**OF_FOLD, StepState.WAITING: waiting}
    found = [{shown[state]: number for state, number in counts.items() if number} for counts in run.counts]
    for i in run.in_flight:
        if display_state(run, i) is D.IN_DOUBT and run.plan.steps[i].counted:
            counts = found[run.step_operation[i]]
            counts[D.STARTED] -= 1
            counts[D.IN_DOUBT] = counts.get(D.IN_DOUBT, 0) + 1
    return [{state: counts[state] for state in D if counts.get(state)} for counts in found]


def total(counts: Iterable[Mapping[DisplayState, int]]) -> dict[DisplayState, int]:
    """The sum of such counts, the worst first."""
    added: dict[DisplayState, int] = {}
    for one in counts:
        for state, number in one.items():
            added[state] = added.get(state, 0) + number
    return {state: added[state] for state in D if state in added}


def operation_state(run: Run, op: int, counts: Mapping[DisplayState, int]) -> str:
    """The one state of an operation: the worst of its steps that says something, or how far it has got."""
    if any(run.records[i].state is StepState.ASKING for i in run.gates[op]):
        return D.ASKING
    if operation_end(run, op) is OperationEnd.DEGRADED and not (D.UNDOING in counts or D.UNDONE in counts):
        return DEGRADED
    for state in _LOUD:
        if counts.get(state):
            return state
    if counts.get(D.WAITING):
        return D.STARTED if counts.get(D.SUCCEEDED) else D.WAITING
    quiet = (D.UNDONE, D.SUCCEEDED, D.SKIPPED, D.NOT_WANTED)
    return next((state for state in quiet if counts.get(state)), D.NEVER_BEGAN)


def operation_states(run: Run) -> list[str]:
    """The one state of each operation."""
    return [operation_state(run, op, counts) for op, counts in enumerate(display_counts(run))]
