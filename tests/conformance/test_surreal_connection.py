"""The connection to a SurrealDB server: one that was lost is closed for good, whoever is interrupted meanwhile."""

from __future__ import annotations

import asyncio

import pytest

from batchwright.journal.surreal.server.connection import ServerAddress, ServerDatabase
from tests.conformance.surreal_bridge import PASSWORD, USER, Bridge


def _database(bridge: Bridge) -> ServerDatabase:
    return ServerDatabase(ServerAddress(bridge.url, user=USER, password=lambda: PASSWORD))


async def _nobody_is_connected(bridge: Bridge) -> None:
    for _ in range(6_000):
        if not bridge.guests:
            return
        await asyncio.sleep(0.01)
    raise AssertionError(f"{bridge.guests} connections were left open")


def test_a_request_that_begins_late_opens_nothing() -> None:
    """The SDK connected again for it, without signing in, and nobody ever closed that connection."""

    async def attempt(bridge: Bridge) -> None:
        database = _database(bridge)
        await database.open()
        lost = database._connection
        await database._drop(lost)
        await _nobody_is_connected(bridge)
        with pytest.raises(ConnectionError, match="closed"):
            await lost.query_raw("RETURN 1", {})
        assert not bridge.guests
        await database.aclose()

    with Bridge() as bridge:
        asyncio.run(attempt(bridge))


@pytest.mark.parametrize("turns", range(1, 8))
def test_a_close_that_is_interrupted_goes_on(turns: int) -> None:
    async def attempt(bridge: Bridge) -> None:
        database = _database(bridge)
        await database.open()
        socket = database._connection.socket
        dropping = asyncio.ensure_future(database._drop(database._connection))
        for _ in range(turns):
            await asyncio.sleep(0)
        dropping.cancel()
        await asyncio.wait([dropping])
        await database.aclose()
        assert socket.transport.is_closing()
        await _nobody_is_connected(bridge)

    with Bridge() as bridge:
        asyncio.run(attempt(bridge))
