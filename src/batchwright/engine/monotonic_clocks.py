"""Two clocks built on others: one that the wall clock cannot move, and one that continues a run's own time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from batchwright.model.clock import Clock


class SteadyClock:
    """The wall time when it was created, plus what has passed since by the monotonic clock."""

    def __init__(self, wall: Callable[[], float], monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._epoch = wall() - monotonic()

    def now(self) -> float:
        return self._epoch + self._monotonic()

    def monotonic(self) -> float:
        return self._monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class RunClock:
    """The time of a run's events, which never goes back: it continues from the last event if that is ahead.

    Otherwise a clock set back between two drivers would move due times hours away.
    """

    def __init__(self, clock: Clock, last: float) -> None:
        self._clock = clock
        self._ahead = max(0.0, last - clock.now())

    def now(self) -> float:
        return self._clock.now() + self._ahead

    def monotonic(self) -> float:
        return self._clock.monotonic()

    async def sleep(self, seconds: float) -> None:
        await self._clock.sleep(seconds)
