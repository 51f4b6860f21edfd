"""Keeps a service's copy of the tokens that all services of its store share, and says when it is too old."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator

from batchwright.app.access_tokens import Tokens
from batchwright.app.multi_store import Stores
from batchwright.app.settings import Settings
from batchwright.app.shared_tokens import records_of, synchronise
from batchwright.errors import BatchwrightError
from batchwright.model.clock import Clock

AGAIN_SECONDS = 2.0  # after which a token that was revoked elsewhere is refused here
OUTDATED_SECONDS = 60.0  # without an answer of the store, after which no token is accepted

log = logging.getLogger("batchwright.service")


class SharedAccess:
    """Of one service; `outdated` is for Tokens."""

    def __init__(self, settings: Settings, stores: Stores, clock: Clock) -> None:
        self._tokens = Tokens(settings)
        self._stores = stores
        self._clock = clock
        self._at = clock.monotonic()
        self._told = ""

    def outdated(self) -> str:
        """Why no token is accepted now; empty if there is no reason."""
        silent = self._clock.monotonic() - self._at
        return f"the store of the tokens has not answered for {silent:.0f} s" if silent > OUTDATED_SECONDS else ""

    async def look(self) -> None:
        """Look once."""
        began = self._clock.monotonic()
        try:
            await synchronise(self._tokens, await records_of(self._stores))
        except BatchwrightError as error:
            if error.message != self._told:
                log.warning("the shared tokens cannot be read: %s", error.message)
            self._told = error.message
        else:
            self._at, self._told = began, ""

    async def keep(self) -> None:
        """Look again and again."""
        while True:
            await self._clock.sleep(AGAIN_SECONDS)
            await self.look()


@contextlib.asynccontextmanager
async def shared_access(settings: Settings, stores: Stores, clock: Clock) -> AsyncIterator[SharedAccess | None]:
    """Keep the copy while the service runs; None where nothing is shared."""
    if settings.postgres is None:
        yield None
        return
    access = SharedAccess(settings, stores, clock)
    keeping = asyncio.create_task(access.keep())
    try:
        yield access
    finally:
        keeping.cancel()
        await asyncio.gather(keeping, return_exceptions=True)


async def first_look(settings: Settings, clock: Clock) -> None:
    """Have the shared tokens before it is decided who may use the service."""
    if settings.postgres is not None:
        async with Stores(settings) as stores:
            await SharedAccess(settings, stores, clock).look()
