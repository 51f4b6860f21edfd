"""The exit codes that scripts rely on. docs/commands.md lists them too."""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING

from batchwright.model.lifecycle import RunState

if TYPE_CHECKING:
    from batchwright.model.run import Run
    from batchwright.views.run import RunView


class Exit(IntEnum):
    """The exit code of a command."""

    OK = 0
    NO = 1  # the answer is no: invalid file, refused plan, Failed, RollbackIncomplete
    COULD_NOT = 2  # it could not be done: usage error, store error, unknown run, a bug
    CHANGES = 2  # with --exit-code: there are changes; what could not be done is 1 then
    STOPPED = 3  # the run was cancelled, is paused, or no process drives it
    LEFT = 130  # a second Ctrl-C or a signal ended the command; the run can be resumed


def exit_of(run: Run | RunView) -> Exit:
    """The exit code for the state of a run."""
    match run.status:
        case RunState.COMPLETED:
            return Exit.OK
        case RunState.ROLLED_BACK:
            return Exit.NO if run.rolled_back_automatically else Exit.OK
        case RunState.FAILED | RunState.ROLLBACK_INCOMPLETE:
            return Exit.NO
    return Exit.STOPPED
