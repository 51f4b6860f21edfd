"""The exit codes: what a script can rely on. docs/commands.md says the same."""

from __future__ import annotations

from enum import IntEnum

from batchwright.model.lifecycle import RunState
from batchwright.model.run import Run
from batchwright.views.run import RunView


class Exit(IntEnum):
    """How a command ended."""

    OK = 0
    NO = 1  # the answer is no: invalid file, refused plan, Failed, RollbackIncomplete
    COULD_NOT = 2  # it could not be done: usage, store, no such run, a bug
    STOPPED = 3  # the run was cancelled, is paused, or nobody drives it
    LEFT = 130  # left by a second Ctrl-C or a signal; the run can go on


def exit_of(run: Run | RunView) -> Exit:
    """The exit code that the state of a run stands for."""
    match run.status:
        case RunState.COMPLETED:
            return Exit.OK
        case RunState.ROLLED_BACK:
            return Exit.NO if run.rolled_back_automatically else Exit.OK
        case RunState.FAILED | RunState.ROLLBACK_INCOMPLETE:
            return Exit.NO
    return Exit.STOPPED
