"""The two state machines, of a run and of a step, as two total tables. Nothing else changes a state.

Keys are states; each row maps an event name to the next state. An event that is not in a state's row is a bug and
raises IllegalTransition. Terminal states have a row too, which may be empty. docs/lifecycle.md is generated from here.
"""

from __future__ import annotations

from enum import StrEnum

from batchwright.errors import IllegalTransition


class RunState(StrEnum):
    """The state of a run, spelled the same in every output."""

    PENDING = "Pending"
    RUNNING = "Running"
    PAUSED = "Paused"
    COMPLETED = "Completed"
    FAILED = "Failed"
    CANCELLED = "Cancelled"
    ROLLING_BACK = "RollingBack"
    ROLLED_BACK = "RolledBack"
    ROLLBACK_INCOMPLETE = "RollbackIncomplete"


class CancelMode(StrEnum):
    """Whether a run is being cancelled, and how."""

    NO = ""
    GRACEFUL = "graceful"  # calls in flight may end
    FORCE = "force"  # nothing is waited for


class StepState(StrEnum):
    """The state of a step."""

    WAITING = "waiting"
    STARTED = "started"  # the intent is durable, the outcome is not: in doubt if the process dies now
    CREATED = "created"  # its reference is known; waiting until it is ready
    RETRYING = "retrying"  # backing off
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    SKIPPED = "skipped"
    UNDOING = "undoing"
    UNDO_RETRYING = "undo_retrying"
    UNDONE = "undone"
    UNDO_FAILED = "undo_failed"
    ASKING = "asking"  # waits for people to answer
    NOT_WANTED = "not_wanted"  # a condition says that it is not to run: nothing failed, and nothing is to be undone


R, S = RunState, StepState

RUN_TRANSITIONS: dict[RunState, dict[str, RunState]] = {
    R.PENDING: {"run_started": R.RUNNING, "run_cancelled": R.CANCELLED},
    R.RUNNING: {
        "run_paused": R.PAUSED,
        "run_completed": R.COMPLETED,
        "run_failed": R.FAILED,
        "run_cancelled": R.CANCELLED,
    },
    R.PAUSED: {"run_resumed": R.RUNNING, "run_failed": R.FAILED, "run_cancelled": R.CANCELLED},
    R.COMPLETED: {"rollback_started": R.ROLLING_BACK},
    R.FAILED: {"run_reopened": R.RUNNING, "rollback_started": R.ROLLING_BACK, "doubt_forgotten": R.FAILED},
    R.CANCELLED: {"run_reopened": R.RUNNING, "rollback_started": R.ROLLING_BACK, "doubt_forgotten": R.CANCELLED},
    R.ROLLING_BACK: {"rollback_completed": R.ROLLED_BACK, "rollback_left_residue": R.ROLLBACK_INCOMPLETE},
    R.ROLLED_BACK: {},
    R.ROLLBACK_INCOMPLETE: {"rollback_started": R.ROLLING_BACK, "doubt_forgotten": R.ROLLBACK_INCOMPLETE},
}

_UNDO = {"undo_started": S.UNDOING, "step_undone": S.UNDONE}

STEP_TRANSITIONS: dict[StepState, dict[str, StepState]] = {
    S.WAITING: {
        "step_started": S.STARTED,
        "step_skipped": S.SKIPPED,
        "step_not_wanted": S.NOT_WANTED,
        "gate_passed": S.SUCCEEDED,
        "hold_asked": S.ASKING,
        "step_moved": S.WAITING,
        "step_failed": S.FAILED,  # before anything was sent: its values are too large
        **_UNDO,
    },  # undone from here: reopened, and something from before is left
    S.STARTED: {
        "step_in_doubt": S.STARTED,
        "step_created": S.CREATED,
        "step_succeeded": S.SUCCEEDED,
        "step_retrying": S.RETRYING,
        "step_moved": S.RETRYING,
        "step_failed": S.FAILED,
        "doubt_forgotten": S.FAILED,
        **_UNDO,
    },
    S.CREATED: {
        "step_succeeded": S.SUCCEEDED,
        "step_retrying": S.RETRYING,
        "step_failed": S.FAILED,
        **_UNDO,
    },
    S.RETRYING: {
        "step_started": S.STARTED,
        "step_skipped": S.SKIPPED,
        "step_failed": S.FAILED,
        "step_moved": S.RETRYING,
        "run_reopened": S.RETRYING,
        **_UNDO,
    },
    S.SUCCEEDED: {**_UNDO},
    S.FAILED: {"run_reopened": S.WAITING, "taken_as_done": S.SUCCEEDED, **_UNDO},
    S.SKIPPED: {"run_reopened": S.WAITING, **_UNDO},
    S.UNDOING: {"step_undone": S.UNDONE, "undo_retrying": S.UNDO_RETRYING, "undo_failed": S.UNDO_FAILED},
    S.UNDO_RETRYING: {"undo_started": S.UNDOING, "step_undone": S.UNDONE},
    S.UNDONE: {},
    S.UNDO_FAILED: {**_UNDO},
    S.ASKING: {
        "hold_answered": S.ASKING,
        "hold_granted": S.SUCCEEDED,
        "hold_passed": S.SUCCEEDED,
        "hold_refused": S.FAILED,
        "hold_expired": S.FAILED,
        "step_skipped": S.SKIPPED,
        "run_reopened": S.WAITING,
    },
    S.NOT_WANTED: {"run_reopened": S.WAITING, **_UNDO},
}

RUN_ENDED = frozenset({R.COMPLETED, R.FAILED, R.CANCELLED, R.ROLLED_BACK, R.ROLLBACK_INCOMPLETE})
STEP_ENDED = frozenset({S.SUCCEEDED, S.FAILED, S.SKIPPED, S.NOT_WANTED})
STEP_IN_FLIGHT = frozenset({S.STARTED, S.CREATED, S.UNDOING})


def next_run_state(state: RunState, event: str) -> RunState:
    """The state after `event`. Raises IllegalTransition if it is not in the table."""
    try:
        return RUN_TRANSITIONS[state][event]
    except KeyError:
        raise IllegalTransition(f"a run that is {state} does not accept {event}") from None


def next_step_state(state: StepState, event: str, step: str) -> StepState:
    """The state after `event`. Raises IllegalTransition if it is not in the table."""
    try:
        return STEP_TRANSITIONS[state][event]
    except KeyError:
        raise IllegalTransition(f"step {step} is {state} and does not accept {event}") from None
