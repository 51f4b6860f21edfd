"""core/nulib/workflows/proposals.nu in the real nu."""

from __future__ import annotations

from pathlib import Path

from tests.support.fake_service import fake_service
from tests.support.nushell import Nu

from batchwright.model.proposal import ProposedAction
from batchwright.views.proposal import ProposalView

DIGEST = "6f0c1f7a5be1d2c4"


def view(state: str) -> ProposalView:
    return ProposalView(DIGEST, ProposedAction.APPLY, "shop", state, ("run shop 1 on shop: + 2",), 0, "agent", 5.0, 9.0)


def test_what_is_proposed_is_shown_and_decided(tmp_path: Path) -> None:
    with fake_service() as service:
        nu = Nu(tmp_path, service.url)
        service.on("GET", "/v1/proposals", {"items": [view("open")]})
        assert nu.value("batch proposals | select hash by state lines") == [
            {"hash": DIGEST, "by": "agent", "state": "open", "lines": ["run shop 1 on shop: + 2"]}
        ]
        service.on("POST", "/v1/proposals/6f0c/approve", view("approved"))
        service.on("POST", "/v1/proposals/6f0c/refuse", view("refused"))
        assert nu.value("batch approve-proposal 6f0c")["state"] == "approved"
        assert nu.value("batch refuse-proposal 6f0c --comment 'not today'")["state"] == "refused"
        assert service.asked[-1].query == [("comment", "not today")]
        asked = len(service.asked)
        assert "usage" in nu.refused("batch approve-proposal ../../v1/tokens")
        assert len(service.asked) == asked
