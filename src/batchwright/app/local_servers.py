"""Use cases of the servers on this machine: their base tree, and starting and stopping some of them."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Sequence
from typing import Protocol, cast

from msgspec import Struct

from batchwright.app.settings import Settings
from batchwright.errors import NotAllowed, UsageError
from batchwright.model.clock import Clock
from batchwright.model.outcome import Observed, ServerState
from batchwright.providers import registry
from batchwright.providers.base import Provider
from batchwright.providers.local import base_tree as tree

READY_SECONDS = 120.0


class _Restartable(Provider, Protocol):
    async def start(self, ref: str) -> None: ...

    async def stop(self, ref: str) -> None: ...


class BaseTree(Struct, frozen=True):
    """The base tree of this machine's servers. `used_by` are the folders of servers that lie over it."""

    name: str
    path: str
    image: str
    built: bool
    bytes: int = 0
    used_by: tuple[str, ...] = ()


class BuiltTree(Struct, frozen=True):
    """A base tree, and how long it took to build; 0 when it was there."""

    tree: BaseTree
    seconds: float


def base_tree() -> BaseTree:
    """As it is. Raises ProviderUnavailable."""
    place = tree.place(os.environ)
    built = place.is_dir()
    size = tree.size(place) if built else 0
    return BaseTree(place.name, str(place), tree.this_release().image, built, size, tuple(tree.users(place.name)))


def build_base(tell: Callable[[str], None]) -> BuiltTree:
    """Build it unless it is there. Raises ProviderUnavailable."""
    if tree.place(os.environ).is_dir():
        return BuiltTree(base_tree(), 0.0)
    began = time.monotonic()
    tree.build(os.environ, tell)
    return BuiltTree(base_tree(), time.monotonic() - began)


def remove_base() -> BaseTree:
    """Remove it; what was there is told. Raises NotAllowed while servers lie over it, ProviderUnavailable."""
    there = base_tree()
    tree.remove(os.environ)
    return there


async def start_servers(settings: Settings, clock: Clock, words: Sequence[str]) -> list[Observed]:
    """Start the servers of these names or references, or with none all that do not run; ready when this returns.

    Raises UsageError, NotAllowed, ProviderUnavailable.
    """
    provider = await _opened(settings, clock)
    chosen = await _chosen(provider, words)
    await asyncio.gather(*(provider.start(one.ref) for one in chosen))
    deadline = clock.now() + READY_SECONDS
    while True:
        seen = list((await provider.describe([one.ref for one in chosen])).values())
        broken = [one for one in seen if one.state not in (ServerState.READY, ServerState.STARTING)]
        if broken:
            why = broken[0].fault.message if broken[0].fault else broken[0].state
            raise NotAllowed(f"{broken[0].name} ({broken[0].ref}) did not come up: {why}")
        if all(one.state is ServerState.READY for one in seen):
            return seen
        if clock.now() > deadline:
            raise NotAllowed(f"not all were ready within {READY_SECONDS:g} s", hint="Look at their console.log.")
        await clock.sleep(provider.capabilities.poll_seconds)


async def stop_servers(settings: Settings, clock: Clock, words: Sequence[str]) -> list[Observed]:
    """Stop the servers of these names or references, or with none all; their data is kept.

    Raises UsageError, NotAllowed, ProviderUnavailable.
    """
    provider = await _opened(settings, clock)
    chosen = await _chosen(provider, words)
    await asyncio.gather(*(provider.stop(one.ref) for one in chosen))
    return chosen


async def _opened(settings: Settings, clock: Clock) -> _Restartable:
    provider = registry.connect("local", clock, {"state_dir": str(settings.state_dir)})
    await provider.open()
    return cast(_Restartable, provider)


async def _chosen(provider: Provider, words: Sequence[str]) -> list[Observed]:
    there = await provider.find()
    if not words:
        return there
    chosen = []
    for word in words:
        named = [one for one in there if word in (one.ref, one.name)]
        if len(named) != 1:
            what = "no server" if not named else f"more than one server ({', '.join(one.ref for one in named)})"
            raise UsageError(f"{word}: there is {what} of this name", hint="Name it by its reference, local-...")
        chosen += named
    return chosen
