"""How the calls that an account allows are divided among the processes that want some. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from batchwright.journal.base import AccountClaim


class OtherClaim(NamedTuple):
    """What another process has now."""

    process: str
    granted: int
    wants: bool


def share_of(claim: AccountClaim, others: Sequence[OtherClaim], turn: int) -> int:
    """How many calls the process may have in flight: an equal part, as far as the others have given up theirs.

    What does not divide evenly goes to some of them, others with each `turn`.
    """
    if not claim.wants:
        return 0
    claimants = sorted([claim.process, *(one.process for one in others if one.wants)])
    part, rest = divmod(claim.capacity, len(claimants))
    has_more = (claimants.index(claim.process) + turn) % len(claimants) < rest
    left = claim.capacity - sum(one.granted for one in others)
    return max(0, min(part + has_more, left))
