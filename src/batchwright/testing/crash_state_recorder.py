"""Every crash point from one undisturbed process: what a death would leave is saved on the way, and gone on from later.

A dead process leaves what is durable: the journal, the world, the time. That is saved just before and just after each
call of a port. Deaths that leave the same are one state, and no process is repeated up to the call at which it dies.
"""

from __future__ import annotations

import asyncio
import io
import pickle
from collections.abc import Awaitable, Callable, Collection
from typing import ParamSpec, TypeVar

from msgspec import Struct

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


class SharedValues:
    """Frozen structs that saved states have in common: they are kept here once, and live as long as this object."""

    def __init__(self) -> None:
        self._numbers: dict[int, int] = {}
        self._values: list[object] = []

    def number(self, value: object) -> int | None:
        """The number of a value that can be shared."""
        if not (isinstance(value, Struct) and value.__struct_config__.frozen):
            return None
        found = self._numbers.setdefault(id(value), len(self._values))
        if found == len(self._values):
            self._values.append(value)
        return found

    def value(self, number: int) -> object:
        """The value that has this number."""
        return self._values[number]


class _Pickler(pickle.Pickler):
    def __init__(self, out: io.BytesIO, shared: SharedValues) -> None:
        super().__init__(out)
        self.persistent_id = shared.number  # type: ignore[method-assign]


class _Unpickler(pickle.Unpickler):
    def __init__(self, state: io.BytesIO, shared: SharedValues) -> None:
        super().__init__(state)
        self.persistent_load = shared.value  # type: ignore[method-assign]


def save(durable: object, constant: Collection[str] = ("scenario",), shared: SharedValues | None = None) -> bytes:
    """The attributes of this object, but for the constant ones, and the time of the loop."""
    kept = {name: value for name, value in vars(durable).items() if name not in constant}
    state = asyncio.get_running_loop().time(), kept
    if shared is None:
        return pickle.dumps(state)
    out = io.BytesIO()
    _Pickler(out, shared).dump(state)
    return out.getvalue()


def restore(durable: object, state: bytes, shared: SharedValues | None = None) -> float:
    """Put a new object into this state; gives the time at which its loop goes on."""
    time, kept = pickle.loads(state) if shared is None else _Unpickler(io.BytesIO(state), shared).load()  # noqa: S301 - what `save` gave
    vars(durable).update(kept)
    return float(time)
