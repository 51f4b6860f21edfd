"""What a call says while it goes on, gathered into few reports and bounded, so that the journal stays small."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from batchwright.model.clock import Clock

GATHER_SECONDS = 0.25
LINE_MAX = 2_000  # characters
LINES_MAX = 200  # in one report
CALL_MAX = 256 * 1024  # characters of one call; the end of it is in the fault, should it fail

LEFT_OUT = "... (it goes on; further output is left out)"


class Voice:
    """Hears the lines of one call and hands them to `send`, some at a time. `close` hands on the rest."""

    def __init__(self, clock: Clock, send: Callable[[tuple[str, ...]], None]) -> None:
        self._clock = clock
        self._send = send
        self._lines: list[str] = []
        self._left = CALL_MAX
        self._waiting: asyncio.Task[None] | None = None

    def hear(self, line: str) -> None:
        """One line; blank ones are not worth an event."""
        line = line.rstrip()[:LINE_MAX]
        if not line or self._left <= 0:
            return
        self._left -= len(line)
        self._lines.append(line if self._left > 0 else LEFT_OUT)
        if self._waiting is None:
            self._waiting = asyncio.get_running_loop().create_task(self._later())

    async def _later(self) -> None:
        await self._clock.sleep(GATHER_SECONDS)
        self._waiting = None
        self._hand_on()

    def _hand_on(self) -> None:
        lines, self._lines = self._lines, []
        for at in range(0, len(lines), LINES_MAX):
            self._send(tuple(lines[at : at + LINES_MAX]))

    def close(self) -> None:
        """The call has ended."""
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None
        self._hand_on()
