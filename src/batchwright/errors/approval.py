"""Errors about questions to people: who may answer, and whether an answer still counts."""

from batchwright.errors.base import BatchwrightError
from batchwright.errors.plan import PlanRefused
from batchwright.errors.service import Forbidden


class QuorumUnreachable(PlanRefused):
    """A question needs more people than may answer it."""

    code = "quorum-unreachable"
    hint = "Nothing was started. Create access tokens for them (batchwright token create), or ask for fewer people."


class ApprovalOutdated(BatchwrightError):
    """The answer is for another question than the one that is asked now."""

    code = "approval-outdated"
    hint = "Look at what is asked now, then answer: batchwright approvals"


class ApprovalLate(BatchwrightError):
    """The question is closed: it expired, was decided, or its run has ended."""

    code = "approval-late"
    hint = "If the run failed because of it, batchwright resume RUN asks again."


class ApproverRefused(Forbidden):
    """This person may not answer this question."""

    code = "approver-refused"
    hint = "Somebody else must answer: batchwright approvals says who may. BATCHWRIGHT_TOKEN names an access token."
