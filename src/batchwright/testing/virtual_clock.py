"""Virtual time: an event loop whose clock jumps to the next timer when nothing else is ready."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

EPOCH = 1_700_000_000.0


class _JumpingSelector(selectors.DefaultSelector):
    """Advances the clock to the next timer instead of waiting for it."""

    offset = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:  # neither a callback nor a timer: the loop is stuck, or a thread is to wake it
            return super().select()
        self.offset += max(timeout, 0.0)
        return []  # without sockets nothing is ever ready, and to ask the system costs more than most callbacks


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop in which sleeping takes no real time. Only for code without threads or sockets."""

    def __init__(self, start: float = 0.0) -> None:
        self._jumping = _JumpingSelector()
        self._jumping.offset = start
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.offset


class VirtualClock:
    """A Clock on the time of the running VirtualLoop. `epoch` is the wall clock time at its start.

    `asleep` are the seconds for which the machine or its process was suspended: no timer has noticed them.
    """

    def __init__(self, epoch: float = EPOCH) -> None:
        self.epoch = epoch
        self.asleep = 0.0

    def now(self) -> float:
        return self.epoch + self.asleep + asyncio.get_running_loop().time()

    def monotonic(self) -> float:
        return EPOCH + self.asleep + asyncio.get_running_loop().time()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


def run_virtual(main: Coroutine[Any, Any, T], start: float = 0.0) -> T:
    """Run a coroutine in virtual time, from this time of the loop on."""
    with asyncio.Runner(loop_factory=lambda: VirtualLoop(start)) as runner:
        return runner.run(main)
