"""A change that somebody proposed, and what somebody else said to it. Pure."""

from __future__ import annotations

import hashlib
from enum import StrEnum

from msgspec import Struct

from batchwright.model.approver import Principal
from batchwright.model.role import Role
from batchwright.model.scalar import Scalar


class ProposedAction(StrEnum):
    """What a proposal asks for."""

    APPLY = "apply"  # a run of a workflow
    RESUME = "resume"
    CANCEL = "cancel"
    ROLLBACK = "rollback"


class ProposedWorkflow(Struct, frozen=True):
    """The workflow that is to be run, as it was sent; `name` gives its format. `simulation` is None for a real run."""

    text: str
    name: str
    simulation: dict[str, Scalar] | None = None
    environment: str = ""
    retire: bool = False
    commands: bool = False


class ProposalDecision(Struct, frozen=True):
    """Who approved or refused a proposal, when, and why."""

    yes: bool
    principal: str
    name: str
    at: float
    comment: str = ""


class Proposal(Struct, frozen=True):
    """One proposed change. Times are seconds since the epoch; it can be decided and carried out until `until`.

    `hash` is that of the plan, or of the action and the run's last event `seq`. `lines` say what it would do. `servers`
    is how many servers the environment would have, `destroys` how many go. `applied` is the run that carried it out.
    """

    hash: str
    action: ProposedAction
    environment: str
    lines: tuple[str, ...]
    principal: str
    by: str
    at: float
    until: float
    destroys: int = 0
    run: str = ""
    seq: int = 0
    workflow: ProposedWorkflow | None = None
    decision: ProposalDecision | None = None
    applied: str = ""

    @property
    def approved(self) -> bool:
        """Whether somebody said yes."""
        return self.decision is not None and self.decision.yes

    @property
    def pending(self) -> bool:
        """Whether it can still be carried out, or decided."""
        return not self.applied and (self.decision is None or self.decision.yes)

    def unfit(self, who: Principal) -> str:
        """Why somebody may not decide it, empty if they may."""
        if who.id == self.principal:
            return "whoever proposed a change cannot approve it"
        return "" if who.role.allows(Role.OPERATOR) else f"the role {who.role} cannot approve"


def action_hash(action: ProposedAction, run: str, seq: int) -> str:
    """The hash of an action on a run as it is after event `seq`."""
    return hashlib.sha256(f"{action} {run} {seq}".encode()).hexdigest()[:16]
