"""The output of a call while it runs, gathered into few reports and bounded, so that the journal stays small."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from batchwright.model.clock import Clock
from batchwright.printable import printable, shortened

GATHER_SECONDS = 0.25
LINE_MAX = 2_000  # characters
LINES_MAX = 200  # in one report
HEAD_MAX = TAIL_MAX = 128 * 1024  # characters of one call: its beginning, and its end

GOES_ON = "... (output continues; its end is shown when the command has ended) ..."


class OutputBuffer:
    """Collects the output lines of one call and passes them to `send` in groups.

    Of a long output, the beginning is passed on at once and the end by `close`.
    """

    def __init__(self, clock: Clock, send: Callable[[tuple[str, ...]], None]) -> None:
        self._clock = clock
        self._send = send
        self._lines: list[str] = []
        self._room = HEAD_MAX
        self._tail: deque[str] = deque()
        self._kept = 0  # characters of the tail
        self._dropped = [0, 0]  # lines and characters
        self._waiting: asyncio.Task[None] | None = None

    def hear(self, line: str) -> None:
        """Add one line; blank lines are dropped."""
        line = shortened(printable(line).rstrip(), LINE_MAX)
        if not line:
            return
        if self._room <= 0:
            self._keep(line)
            return
        self._room -= len(line)
        self._lines += [line] if self._room > 0 else [line, GOES_ON]
        if self._waiting is None:
            self._waiting = asyncio.get_running_loop().create_task(self._later())

    def _keep(self, line: str) -> None:
        self._tail.append(line)
        self._kept += len(line)
        while self._kept > TAIL_MAX:
            dropped = len(self._tail.popleft())
            self._kept -= dropped
            self._dropped = [self._dropped[0] + 1, self._dropped[1] + dropped]

    async def _later(self) -> None:
        await self._clock.sleep(GATHER_SECONDS)
        self._waiting = None
        self._hand_on()

    def _hand_on(self) -> None:
        lines, self._lines = self._lines, []
        for at in range(0, len(lines), LINES_MAX):
            self._send(tuple(lines[at : at + LINES_MAX]))

    def close(self) -> None:
        """Send the remaining lines; the call has ended."""
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None
        if self._dropped[0]:
            lines, characters = self._dropped
            self._lines.append(f"... ({lines:,} lines with {characters:,} characters omitted) ...")
        self._lines += self._tail
        self._tail.clear()
        self._hand_on()
