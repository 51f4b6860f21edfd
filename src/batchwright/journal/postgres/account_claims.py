"""A process's share of an account, claimed in one short transaction."""

from __future__ import annotations

from typing import cast

from batchwright.journal.account_shares import OtherClaim, share_of
from batchwright.journal.base import CLAIM_SECONDS, AccountClaim
from batchwright.journal.postgres.connect import PostgresConnection
from batchwright.journal.sql.connection import SqlConnection


def claim_share(db: SqlConnection, claim: AccountClaim) -> int:
    """Claim, one process of an account after the other. What is in flight beyond the share still counts for it."""
    connection = cast(PostgresConnection, db)
    place = {"account": claim.account, "process": claim.process, "seconds": CLAIM_SECONDS}
    with connection.raw.transaction():
        connection.raw.execute(
            "SET LOCAL synchronous_commit = off"
        )  # after a crash of the server they are claimed anew
        connection.rows("lock_account", place)
        others = [OtherClaim(*row) for row in connection.rows("claims", place)]
        [[turn]] = connection.rows("half_minute")
        share = share_of(claim, others, turn)
        granted = max(share, claim.in_flight)
        connection.execute("claim", {**place, "granted": granted, "wants": claim.wants})
        connection.execute("forget_claims", place)
    return share
