"""Real time, for processes that drive real runs. Tests and rehearsals use testing/clock.py instead."""

from __future__ import annotations

import asyncio
import time


class SystemClock:
    """A Clock on the machine's own time."""

    def now(self) -> float:
        return time.time()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
