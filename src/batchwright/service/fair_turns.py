"""Turns for a few places, which callers get one after the other, however many turns each of them wants."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class FairTurns:
    """So many `places` at a time. Who asks often delays who asks seldom by one turn; each gets its own in order."""

    def __init__(self, places: int) -> None:
        self._free = places
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}  # by caller; whose turn is next stands first

    @asynccontextmanager
    async def turn(self, caller: str) -> AsyncIterator[None]:
        """Wait for a place of one's own, and leave it at the end."""
        await self.begin(caller)
        try:
            yield
        finally:
            self.leave()

    async def begin(self, caller: str) -> None:
        """Wait for a place, which has to be left."""
        if self._free:
            self._free -= 1
            return
        turn = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(caller, deque()).append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.leave()  # it was given the place at the same moment
            raise

    def leave(self) -> None:
        """Give a place back."""
        self._free += 1
        while self._free and self._waiting:
            caller, turns = next(iter(self._waiting.items()))
            turn = turns.popleft()
            del self._waiting[caller]
            if turns:
                self._waiting[caller] = turns  # behind the others
            if not turn.cancelled():
                turn.set_result(None)
                self._free -= 1
