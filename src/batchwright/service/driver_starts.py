"""Drivers begin a few at a time: all of them read, open and decide on the one event loop that answers clients."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from batchwright.service.fair_turns import FairTurns

AT_ONCE = 4
SECONDS = 1.0  # that a driver may take to begin before the next one need not wait for it: its provider may not answer


class DriverStarts:
    """The turns in which runs begin to be driven; callers take turns."""

    def __init__(self, at_once: int = AT_ONCE, seconds: float = SECONDS) -> None:
        self._turns = FairTurns(at_once)
        self._seconds = seconds

    async def turn(self, caller: str) -> Callable[[], None]:
        """Wait for a turn. It ends when the function that is given is called, however often, or after SECONDS."""
        await self._turns.begin(caller)
        has_place = True

        def over() -> None:
            nonlocal has_place
            late.cancel()
            if has_place:
                has_place = False
                self._turns.leave()

        late = asyncio.get_running_loop().call_later(self._seconds, over)
        return over
