"""What stands in the simulated world before a run begins: what the environment has, and servers of other people."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec.structs import replace

from batchwright.journal.base import Journal
from batchwright.model.environment import Environment, EnvironmentKey, Resource
from batchwright.model.environment_fold import FOLD
from batchwright.operations.server_batch import ServerRequest
from batchwright.providers.simulated import SimulatedServer, World

LONG_AGO = 1_000_000.0  # seconds before the run


def simulated(resources: tuple[Resource, ...]) -> tuple[Resource, ...]:
    """The same resources in simulated accounts."""
    return tuple(replace(one, account=f"simulated-{one.provider}") if one.provider else one for one in resources)


async def write_existing(
    journal: Journal, key: EnvironmentKey, row: Environment, resources: tuple[Resource, ...]
) -> None:
    """Let a store know an environment that nobody changes at the moment."""
    turns: dict[str, Any] = {"turn": row.turn, "last": row.last, "newest": row.newest, "through": row.turn}
    fresh = Environment(key.space, key.name, fold=FOLD, **turns)
    await journal.write_environment(None, fresh, resources)


def build_existing(world: World, resources: tuple[Resource, ...], now: float) -> None:
    """Build the servers of an environment, with what is on them."""
    for one in resources:
        if one.ref and not one.server:
            request = msgspec.convert(one.request, ServerRequest)
            _build(world, one.ref, one.provider, one.run, one.token, request, now)
    for one in resources:
        if one.server and one.ref and "version" in one.request:
            world.install(one.ref, one.name, str(one.request["version"]))


def build_bystanders(world: World, providers: tuple[str, ...], now: float) -> set[str]:
    """In each account a server that no run made and one of another store's run; gives their references."""
    refs = set()
    for name in providers:
        for run, token in (("", ""), ("elsewhererun", f"token-{name}")):
            ref = f"{name}-bystander-{run or 'foreign'}"
            _build(world, ref, name, run, token, ServerRequest(f"bystander-{run or 'foreign'}", "any", "any"), now)
            refs.add(ref)
    return refs


def _build(world: World, ref: str, provider: str, run: str, token: str, request: ServerRequest, now: float) -> None:
    since, account = now - LONG_AGO, f"simulated-{provider}"
    place = ref, provider, account, run, token, request, "198.18.255.254", since, since, since
    world.plant(SimulatedServer(*place))
