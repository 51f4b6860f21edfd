"""What somebody may do at a service."""

from __future__ import annotations

from enum import StrEnum


class Role(StrEnum):
    """What a token allows; each role allows what the ones before it do."""

    VIEWER = "viewer"  # look
    PROPOSER = "proposer"  # propose changes, and carry out those that somebody else has approved
    OPERATOR = "operator"  # submit, pause, resume, cancel, roll back
    ADMIN = "admin"  # everything

    def allows(self, needed: Role) -> bool:
        """Whether this role is enough."""
        order = list(Role)
        return order.index(self) >= order.index(needed)
