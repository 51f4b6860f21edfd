"""Whether the sshd of a local server answers. Each question costs the server a process, so an answer holds a moment."""

from __future__ import annotations

import asyncio
import contextlib

from batchwright.model.clock import Clock

ANSWER_SECONDS = 2.0
FRESH_SECONDS = 5.0  # a plan looks at a server twice and its run once more, all within that


class SshdAnswers:
    """Asks, and remembers for a moment who has answered."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._seen: dict[tuple[int, str, int], float] = {}  # the oldest answer first

    async def answers(self, pid: int, address: str, port: int) -> bool:
        """Whether an SSH server answers there. `pid` is the server's first process: another one is asked anew."""
        key, now = (pid, address, port), self._clock.monotonic()
        while self._seen and now - next(iter(self._seen.values())) >= FRESH_SECONDS:
            del self._seen[next(iter(self._seen))]
        if key in self._seen:
            return True
        answered = await _greets(address, port)
        if answered:
            self._seen[key] = self._clock.monotonic()
        return answered


async def _greets(address: str, port: int) -> bool:
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            reader, writer = await asyncio.open_connection(address, port)
            try:
                return (await reader.readline()).startswith(b"SSH-2.0-")
            finally:
                writer.close()
                with contextlib.suppress(OSError):
                    await writer.wait_closed()
    except (OSError, TimeoutError):
        return False
