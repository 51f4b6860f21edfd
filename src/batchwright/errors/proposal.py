"""Errors about proposed changes."""

from batchwright.errors.base import BatchwrightError
from batchwright.errors.service import Forbidden


class ProposalNotFound(BatchwrightError):
    """No open proposal has this hash: it was never made, or has expired."""

    code = "proposal-not-found"
    hint = "List them with: batchwright proposals"


class ProposalUnapproved(Forbidden):
    """Nobody has approved the proposal yet, or it was refused."""

    code = "proposal-unapproved"
    hint = "Somebody else approves it with: batchwright proposals approve HASH"


class ProposalClosed(BatchwrightError):
    """The proposal was decided or carried out already."""

    code = "proposal-closed"
    hint = "Propose the change again."
