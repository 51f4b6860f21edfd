"""The tokens of all services of a PostgreSQL store: the table counts, and each state folder has a copy of it.

The copy is what requests are checked against, so that none waits for the database.
"""

from __future__ import annotations

import asyncio

import msgspec
from msgspec.structs import replace

from batchwright.app.access_tokens import AccessToken, Tokens
from batchwright.app.multi_store import Stores
from batchwright.errors import TokensUnreadable, UsageError
from batchwright.journal.shared_records import SharesRecords

_encode = msgspec.json.encode


async def records_of(stores: Stores) -> SharesRecords:
    """The store that has them. Raises StoreError."""
    journal = await stores.get("postgres")
    assert isinstance(journal, SharesRecords)
    return journal


async def synchronise(tokens: Tokens, records: SharesRecords) -> None:
    """Copy what the store has, and give it what was created here before there was a store.

    Raises StoreError, TokensUnreadable.
    """
    shared = [_decoded(body) for body in await records.tokens()]
    lacking = await asyncio.to_thread(tokens.merge, shared)
    if lacking:
        await records.change_tokens(lambda bodies: _with(bodies, lacking))


async def publish(records: SharesRecords, made: AccessToken, now: float) -> None:
    """Save a token in the store, before it counts here.

    Raises StoreError, TokensUnreadable, and UsageError if its name was taken meanwhile.
    """

    def change(bodies: list[bytes]) -> dict[str, bytes]:
        others = [one for one in map(_decoded, bodies) if one.name == made.name and one.id != made.id]
        if not made.revoked_at and any(not one.trouble(now) for one in others):
            raise UsageError(f"a token named {made.name!r} already exists", hint="Choose another name, or revoke it.")
        return _with(bodies, [made])

    await records.change_tokens(change)


def _with(bodies: list[bytes], tokens: list[AccessToken]) -> dict[str, bytes]:
    """These tokens as they are saved: what is revoked stays revoked."""
    known = {one.id: one for one in map(_decoded, bodies)}
    return {
        one.id: _encode(replace(one, revoked_at=one.revoked_at or known.get(one.id, one).revoked_at)) for one in tokens
    }


def _decoded(body: bytes) -> AccessToken:
    try:
        return msgspec.json.decode(body, type=AccessToken)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise TokensUnreadable(
            f"the store has a token that this version cannot read: {error}",
            hint="Update this machine if another one is newer; else restore the table access_token.",
        ) from error
