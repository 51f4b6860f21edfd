"""Every crash point from one undisturbed process: what a death would leave is saved on the way, and gone on from later.

A dead process leaves what is durable: the journal, the world, the time. That is saved just before and just after each
call of a port. Deaths that leave the same are one state, and no process is repeated up to the call at which it dies.
"""

from __future__ import annotations

import asyncio
import pickle
from collections.abc import Awaitable, Callable, Collection
from typing import ParamSpec, TypeVar

from batchwright.testing.crash_points import CrashPoint, When

T = TypeVar("T")
P = ParamSpec("P")


class StateRecorder(CrashPoint):
    """Does not die: saves what a process would leave that dies before or after each call.

    `durable` holds all that outlives the process; its attributes called `constant` are the same in all states.
    """

    def __init__(self, durable: object, constant: Collection[str] = ("scenario",)) -> None:
        super().__init__()
        self._durable, self._constant = durable, constant
        self.left: dict[tuple[int, When], bytes] = {}

    async def guard(self, label: str, call: Callable[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs) -> T:
        """Make one call of a port, and save the state on both sides of it."""
        self.calls.append(label)
        n = self.count
        self.left[n, When.BEFORE] = save(self._durable, self._constant)
        try:
            return await call(*args, **kwargs)
        finally:
            self.left[n, When.AFTER] = save(self._durable, self._constant)

    def states(self) -> dict[bytes, list[str]]:
        """Each state once, with the deaths that leave it."""
        states: dict[bytes, list[str]] = {}
        for (n, when), state in self.left.items():
            states.setdefault(state, []).append(f"{when} call {n} ({self.calls[n - 1]})")
        return states


def save(durable: object, constant: Collection[str] = ("scenario",)) -> bytes:
    """The attributes of this object, but for the constant ones, and the time of the loop."""
    kept = {name: value for name, value in vars(durable).items() if name not in constant}
    return pickle.dumps((asyncio.get_running_loop().time(), kept))


def restore(durable: object, state: bytes) -> float:
    """Put a new object into this state; gives the time at which its loop goes on."""
    time, kept = pickle.loads(state)  # noqa: S301 - what `save` gave
    vars(durable).update(kept)
    return float(time)
