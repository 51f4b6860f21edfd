"""Calls about proposed changes: propose one, list them, decide, carry out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from litestar import Request, Response, get, post
from litestar.di import NamedDependency
from litestar.params import PathParameter, QueryParameter
from msgspec import Struct

from batchwright.api.admission_control import RateLimits
from batchwright.api.authentication import Caller
from batchwright.api.openapi import WorkflowBodyOperation, problems
from batchwright.api.run_queries import ONE, RunId, seen
from batchwright.api.submissions import EnvironmentName, Retire, Sim, Simulate, submission_of, take_place
from batchwright.app.proposal_store import COMMENT_MOST
from batchwright.model.proposal import ProposedAction
from batchwright.model.role import Role
from batchwright.service.proposal_desk import ProposalDesk
from batchwright.service.run_supervisor import RunSupervisor
from batchwright.views.proposal import ProposalView, proposal_view
from batchwright.views.run import RunView

PROPOSALS = "/v1/proposals"
PROPOSAL = PROPOSALS + "/{digest:str}"


class ProposalList(Struct, frozen=True):
    """Proposals that are open, decided or lately carried out, oldest first."""

    items: tuple[ProposalView, ...]


Digest = Annotated[
    str, PathParameter(description="The proposal's `hash`, or its beginning.", pattern="^[0-9a-f]{1,16}$")
]
Comment = Annotated[str, QueryParameter(description="Why, for everybody who looks.", max_length=COMMENT_MOST)]


def _propose(*statuses: int) -> dict[str, Any]:
    return {"opt": {"role": Role.PROPOSER}, "responses": problems(*statuses), "tags": ["Proposals"]}


@get(PROPOSALS, responses=problems(), tags=["Proposals"])
async def proposals(supervisor: NamedDependency[RunSupervisor]) -> ProposalList:
    """What was proposed, by whom, what it would do, and who has decided."""
    found = ProposalDesk(supervisor).proposals.all(supervisor.clock.now())
    return ProposalList(tuple(map(proposal_view, found)))


@post(PROPOSALS, status_code=201, operation_class=WorkflowBodyOperation, **_propose(409, 413, 415, 422, 429))
async def propose(
    request: Request[Any, Any, Any],
    supervisor: NamedDependency[RunSupervisor],
    rates: NamedDependency[RateLimits],
    simulate: Simulate = False,
    sim: Sim = None,
    environment: EnvironmentName = "",
    retire: Retire = False,
) -> ProposalView:
    """Plan a workflow and propose to run it. Nothing runs until somebody else has approved exactly this plan."""
    caller = take_place(request, rates)
    submission = await submission_of(request, caller, simulate, sim, environment=environment, retire=retire)
    return proposal_view(await ProposalDesk(supervisor).propose_workflow(submission))


@post(ONE + "/proposals", status_code=201, **_propose(404, 409, 422, 429))
async def propose_action(
    request: Request[Any, Any, Any],
    supervisor: NamedDependency[RunSupervisor],
    run: RunId,
    action: Annotated[ProposedAction, QueryParameter(description="resume, cancel or rollback.")],
) -> ProposalView:
    """Propose to resume, cancel or roll back a run as it is now."""
    request.scope["state"]["run"] = run
    caller: Caller = request.scope["state"]["caller"]
    return proposal_view(await ProposalDesk(supervisor).propose_action(run, action, caller.principal))


async def _decide(
    request: Request[Any, Any, Any], supervisor: RunSupervisor, digest: str, comment: str, *, yes: bool
) -> ProposalView:
    caller: Caller = request.scope["state"]["caller"]
    return proposal_view(await ProposalDesk(supervisor).decide(digest, caller.principal, yes=yes, comment=comment))


DECIDE: dict[str, Any] = {
    "status_code": 200,
    "opt": {"role": Role.OPERATOR},
    "responses": problems(404, 409, 422),
    "tags": ["Proposals"],
}


@post(PROPOSAL + "/approve", **DECIDE)
async def approve_proposal(
    request: Request[Any, Any, Any], supervisor: NamedDependency[RunSupervisor], digest: Digest, comment: Comment = ""
) -> ProposalView:
    """Approve a proposal of somebody else. It cannot be changed afterwards."""
    return await _decide(request, supervisor, digest, comment, yes=True)


@post(PROPOSAL + "/refuse", **DECIDE)
async def refuse_proposal(
    request: Request[Any, Any, Any], supervisor: NamedDependency[RunSupervisor], digest: Digest, comment: Comment = ""
) -> ProposalView:
    """Refuse a proposal of somebody else. It cannot be changed afterwards."""
    return await _decide(request, supervisor, digest, comment, yes=False)


@post(PROPOSAL + "/apply", status_code=202, **_propose(404, 409, 412, 422, 429))
async def apply_proposal(
    request: Request[Any, Any, Any], supervisor: NamedDependency[RunSupervisor], digest: Digest
) -> Response[RunView]:
    """Carry out one's own proposal that somebody else has approved, if it would still do the same."""
    caller: Caller = request.scope["state"]["caller"]
    feed = await ProposalDesk(supervisor).apply(digest, caller.principal, commands=caller.commands)
    request.scope["state"]["run"] = feed.run.id
    return seen(feed, 202)


HANDLERS: Sequence[Any] = (proposals, propose, propose_action, approve_proposal, refuse_proposal, apply_proposal)
