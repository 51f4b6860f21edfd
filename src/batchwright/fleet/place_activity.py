"""The activity that answers one call to a place."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from temporalio import activity

from batchwright.fleet.temporal_carrier import ACTIVITY
from batchwright.places.call_answerer import CallAnswerer

HEARTBEAT_SECONDS = 2.0


class PlaceActivity:
    """Answers calls with the ports of this worker. Temporal cancels it when its caller does."""

    def __init__(self, answerer: CallAnswerer) -> None:
        self._answerer = answerer

    @activity.defn(name=ACTIVITY)
    async def call(self, message: bytes) -> bytes:
        """The answer to one message of a port adapter."""
        async with _heartbeats():
            return await self._answerer.answer(message)


@asynccontextmanager
async def _heartbeats() -> AsyncIterator[None]:
    """Show Temporal that the worker lives; a cancelled call is told by the answer to one."""

    async def beat() -> None:
        while True:
            activity.heartbeat()
            await asyncio.sleep(HEARTBEAT_SECONDS)

    beating = asyncio.create_task(beat())
    try:
        yield
    finally:
        beating.cancel()
        await asyncio.gather(beating, return_exceptions=True)
