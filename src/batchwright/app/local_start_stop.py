"""Use cases of the servers on this machine: start some of them, stop some of them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Protocol, cast

from batchwright.app.settings import Settings
from batchwright.errors import NotAllowed, UsageError
from batchwright.model.call_outcome import Observed, ServerState
from batchwright.model.clock import Clock
from batchwright.providers import registry
from batchwright.providers.base import Provider

READY_SECONDS = 120.0


class _Restartable(Provider, Protocol):
    async def start(self, ref: str) -> None: ...

    async def stop(self, ref: str) -> None: ...


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
            raise NotAllowed(f"not all servers were ready within {READY_SECONDS:g} s", hint="Read their console.log.")
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
