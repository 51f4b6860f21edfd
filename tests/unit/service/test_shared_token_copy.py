"""The copy of shared tokens is believed for a minute after the store fell silent, and no longer."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from batchwright.app.access_tokens import Tokens
from batchwright.app.settings import Settings
from batchwright.errors import StoreUnreachable, TokensUnreadable, Unauthorized
from batchwright.model.role import Role
from batchwright.service.shared_access import OUTDATED_SECONDS, SharedAccess


class Store:
    """Has no tokens of its own, and may be away."""

    def __init__(self) -> None:
        self.away = False
        self.saved: dict[str, bytes] = {}

    async def get(self, name: str) -> Any:
        if self.away:
            raise StoreUnreachable("no answer")
        return self

    async def tokens(self) -> list[bytes]:
        return list(self.saved.values())

    async def change_tokens(self, change: Any) -> None:
        self.saved |= change(await self.tokens())

    async def append_audit(self, *_: Any) -> None: ...
    async def audit_page(self, *_: Any) -> list[Any]:
        return []

    async def audit_problems(self) -> list[str]:
        return []


class Clock:
    """Stands still until it is moved."""

    at = 1_000.0

    def monotonic(self) -> float:
        return self.at


def test_without_the_store_tokens_hold_for_a_minute(tmp_path: Path) -> None:
    settings, store, clock = Settings(tmp_path), Store(), Clock()
    tokens = Tokens(settings)
    made, secret = tokens.create("ada", Role.VIEWER, 0.0, None)
    access = SharedAccess(settings, store, clock)  # type: ignore[arg-type]
    tokens.outdated = access.outdated
    asyncio.run(access.look())
    assert list(store.saved) == [made.id]
    store.away = True
    clock.at += OUTDATED_SECONDS
    asyncio.run(access.look())
    assert tokens.of(secret, 1.0) == made
    clock.at += 1.0
    with pytest.raises(TokensUnreadable, match="has not answered for 61 s"):
        tokens.of(secret, 1.0)
    with pytest.raises(TokensUnreadable):
        tokens.holds(made.id, 1.0)
    store.away = False
    asyncio.run(access.look())
    assert tokens.of(secret, 1.0) == made


def test_a_revocation_anywhere_wins(tmp_path: Path) -> None:
    one, two, store = Settings(tmp_path / "one"), Settings(tmp_path / "two"), Store()
    _, secret = Tokens(one).create("ada", Role.VIEWER, 0.0, None)
    here, there = (SharedAccess(each, store, Clock()) for each in (one, two))  # type: ignore[arg-type]
    for access in (here, there):
        asyncio.run(access.look())
    Tokens(two).revoke("ada", 5.0)
    for access in (here, there, here):  # the one that does not know looks first
        asyncio.run(access.look())
    for settings in (one, two):
        with pytest.raises(Unauthorized, match="revoked"):
            Tokens(settings).of(secret, 6.0)


def test_a_token_that_this_version_cannot_read_is_no_end_of_looking(tmp_path: Path) -> None:
    settings, store, clock = Settings(tmp_path), Store(), Clock()
    tokens = Tokens(settings)
    made, secret = tokens.create("ada", Role.VIEWER, 0.0, None)
    access = SharedAccess(settings, store, clock)  # type: ignore[arg-type]
    tokens.outdated = access.outdated
    asyncio.run(access.look())
    store.saved["later"] = store.saved[made.id].replace(b"viewer", b"of-a-later-version")
    clock.at += OUTDATED_SECONDS + 1.0
    asyncio.run(access.look())
    with pytest.raises(TokensUnreadable):
        tokens.of(secret, 1.0)
    del store.saved["later"]
    asyncio.run(access.look())
    assert tokens.of(secret, 1.0) == made
