"""Errors about plans: refused, changed since they were approved, or unreadable."""

from __future__ import annotations

from batchwright.errors.base import BatchwrightError


class PlanRefused(BatchwrightError):
    """The pre-flight check found problems; nothing was started."""

    code = "plan-refused"
    hint = "Nothing was changed. Fix the problems listed and try again."


class PlanChanged(BatchwrightError):
    """The plan differs from the one that was approved."""

    code = "plan-changed"
    hint = (
        "Nothing was changed. Review the new plan: batchwright plan with the same options. A file that "
        "`plan --out PLANFILE` writes and `run PLANFILE` applies tells what has changed since."
    )


class PlanFileInvalid(BatchwrightError):
    """The plan file is damaged, was edited, or holds a plan that no planner makes."""

    code = "plan-file-invalid"
    hint = "Write it again: batchwright plan FILE --out PLANFILE"


class EntryChanged(BatchwrightError):
    """A task service is not the one that the run was planned with; nothing was started."""

    code = "entry-changed"
    hint = (
        "Restore its folder, or name the right one with --catalogue DIR, and resume. Or end the run (batchwright "
        "cancel RUN, or rollback RUN) and run the file again, which plans with the new entry."
    )
