"""Proposed changes of a state folder or of a service: `ProposalClient` documents the methods."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import quote

from msgspec import Struct

from batchwright.app.planned import PlanAnswer
from batchwright.app.proposal_store import Proposals
from batchwright.app.run_provenance import local_principal
from batchwright.client.http_problems import decoded
from batchwright.views.proposal import ProposalView, proposal_view
from batchwright.views.run import RunView

if TYPE_CHECKING:
    from batchwright.app.settings import Settings
    from batchwright.client.http_transport import HttpTransport
    from batchwright.model.clock import Clock

PROPOSALS = "/v1/proposals"
PLAN = "/v1/workflows/batch/plan"


class LocalProposals:
    """The proposals of this machine's state folder."""

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self._proposals = Proposals(settings)
        self._clock = clock

    def all(self) -> tuple[ProposalView, ...]:
        return tuple(map(proposal_view, self._proposals.all(self._clock.now())))

    def decide(self, digest: str, *, yes: bool, comment: str = "") -> ProposalView:
        who, now = local_principal(), self._clock.now()
        return proposal_view(self._proposals.decide(digest, who, now, yes=yes, comment=comment))


class _Proposals(Struct, frozen=True):
    items: tuple[ProposalView, ...]


class HttpProposals:
    """The proposals of a service, which alone can make them and carry them out. `path` gives the path of a run."""

    def __init__(self, http: HttpTransport, path: Callable[[str, str], str]) -> None:
        self._http = http
        self._path = path

    def all(self) -> tuple[ProposalView, ...]:
        return self._http.get(PROPOSALS, _Proposals).items

    def decide(self, digest: str, *, yes: bool, comment: str = "") -> ProposalView:
        query = [("comment", comment)] * bool(comment)
        return self._http.done(f"{PROPOSALS}/{quote(digest, '')}/{'approve' if yes else 'refuse'}", ProposalView, query)

    def propose_workflow(self, text: str, media: str, simulation: Mapping[str, Any] | None) -> ProposalView:
        """Plan a workflow and propose its run. `media` is the media type of the text."""
        answer = self._http.ask("POST", PROPOSALS, _simulated(simulation), {"Content-Type": media}, text.encode())
        return cast(ProposalView, decoded(answer, ProposalView))

    def plan_workflow(self, text: str, media: str, simulation: Mapping[str, Any] | None) -> PlanAnswer:
        """What a run of a workflow would do; nothing is recorded."""
        answer = self._http.ask("POST", PLAN, _simulated(simulation), {"Content-Type": media}, text.encode())
        return cast(PlanAnswer, decoded(answer, PlanAnswer))

    def propose_action(self, word: str, action: str) -> ProposalView:
        """Propose to resume, cancel or roll back a run as it is now."""
        answer = self._http.ask("POST", self._path(word, "proposals"), [("action", action)])
        return cast(ProposalView, decoded(answer, ProposalView))

    def apply(self, digest: str) -> RunView:
        """Carry out the caller's own proposal, which somebody else has approved."""
        answer = self._http.ask("POST", f"{PROPOSALS}/{quote(digest, '')}/apply")
        return cast(RunView, decoded(answer, RunView))


def _simulated(simulation: Mapping[str, Any] | None) -> list[tuple[str, str]]:
    if simulation is None:
        return []
    settings = ((key, str(value).lower() if isinstance(value, bool) else value) for key, value in simulation.items())
    return [("simulate", "true"), *(("sim", f"{key}={value}") for key, value in settings)]
