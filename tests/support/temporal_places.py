"""Places at which workers of this process answer, over Temporal's development server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager

from batchwright.app.backing_services import TemporalConfig
from batchwright.fleet.connection import connected
from batchwright.fleet.place_activity import PlaceActivity
from batchwright.fleet.temporal_carrier import TemporalCarrier
from batchwright.fleet.worker import TaskQueue, taking
from batchwright.places.call_answerer import CallAnswerer


@asynccontextmanager
async def at_work(config: TemporalConfig, place: str, answerer: CallAnswerer) -> AsyncIterator[None]:
    """A worker at a place, as `batchwright worker` makes one."""
    client = await connected(config)
    queue = TaskQueue(config.place_queue(place), [PlaceActivity(client, answerer).call], 20)
    async with taking(client, queue, config, 0.0):
        yield


class TemporalPlaces:
    """Carries through Temporal to one worker for each place, from the first call to the end of the context.

    `async with places:` can be used again, also in another event loop.
    """

    def __init__(self, config: TemporalConfig) -> None:
        self.workers: dict[str, CallAnswerer] = {}
        self._config = config
        self._carrier = TemporalCarrier(config)
        self._begun: set[str] = set()
        self._turn = asyncio.Lock()
        self._open = AsyncExitStack()

    async def __aenter__(self) -> TemporalPlaces:
        self._turn = asyncio.Lock()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._begun.clear()
        await self._open.aclose()

    def place(self, answerer: CallAnswerer) -> str:
        """A place of its own for a worker that has what this one has."""
        name = f"far-{len(self.workers)}"
        self.workers[name] = answerer
        return name

    async def carry(
        self, place: str, call: str, message: bytes, limit: float, live: Callable[[bytes], None] | None = None
    ) -> bytes:
        """See Carrier."""
        async with self._turn:
            if place not in self._begun:
                await self._open.enter_async_context(at_work(self._config, place, self.workers[place]))
                self._begun.add(place)
        return await self._carrier.carry(place, call, message, limit, live)
