"""How many proposals are kept, and whose."""

from __future__ import annotations

from pathlib import Path

import pytest

from batchwright.app import proposal_store
from batchwright.app.proposal_store import Proposals
from batchwright.app.settings import Settings
from batchwright.errors import TooManyRequests
from batchwright.model.approver import Principal
from batchwright.model.proposal import Proposal, ProposedAction
from batchwright.model.role import Role

ADA = Principal("ada", "ada", Role.OPERATOR)


def proposal(number: int, who: str) -> Proposal:
    return Proposal(f"{number:016x}", ProposedAction.CANCEL, "shop", (), who, who, 0.0, 100.0)


def test_one_proposer_cannot_take_the_places_of_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proposal_store, "OPEN_MOST", 4)
    monkeypatch.setattr(proposal_store, "OPEN_EACH", 2)
    kept = Proposals(Settings(tmp_path))
    for number in (1, 2):
        kept.add(proposal(number, "agent"), 1.0)
    with pytest.raises(TooManyRequests, match="2 of your proposals"):
        kept.add(proposal(3, "agent"), 1.0)
    for number in (4, 5):
        kept.add(proposal(number, "other"), 1.0)
    with pytest.raises(TooManyRequests, match="4 proposals are open"):
        kept.add(proposal(6, "third"), 1.0)
    for number in range(7, 12):  # a refused one makes place; the oldest of those that are over are forgotten
        kept.decide(f"{number - 6 if number == 7 else number - 1:016x}", ADA, 1.0, yes=False)
        kept.add(proposal(number, "agent"), 1.0)
    assert [int(one.hash, 16) for one in kept.all(1.0) if one.pending] == [2, 4, 5, 11]
    assert [int(one.hash, 16) for one in kept.all(1.0) if not one.pending] == [7, 8, 9, 10]
    kept.decide(f"{2:016x}", ADA, 1.0, yes=True)
    with pytest.raises(TooManyRequests):  # an approved one can still be carried out
        kept.add(proposal(12, "agent"), 1.0)
