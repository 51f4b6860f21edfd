"""A store whose disk is full for a while: what is known is kept in memory and written when there is room."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

from batchwright.errors import StoreFull
from batchwright.model.clock import Clock

ROOM_SECONDS = 3600.0  # a disk that is full for so long is no longer waited for
PAUSE_SECONDS = 2.0  # between two attempts

T = TypeVar("T")

log = logging.getLogger("batchwright.store")


class StoreWriteRetry:
    """Writes of one driver to its store. `full` says what is waited for, empty while there is room."""

    def __init__(self, run: str, clock: Clock) -> None:
        self.full = ""
        self._run = run
        self._clock = clock

    async def write(self, call: Callable[[], Awaitable[T]]) -> T:
        """The result of `call`, made again while the disk is full. Raises StoreFull when that has no end."""
        since = self._clock.monotonic()
        while True:
            try:
                done = await call()
            except StoreFull as error:
                if self._clock.monotonic() - since >= ROOM_SECONDS:
                    raise
                if not self.full:
                    log.warning(
                        "run %s waits for free disk space and starts nothing new until then: %s",
                        self._run,
                        error.message,
                    )
                self.full = f"waits for disk space: {error.message}"
                await self._clock.sleep(PAUSE_SECONDS)
            else:
                if self.full:
                    log.warning("run %s has disk space again and continues", self._run)
                self.full = ""
                return done
