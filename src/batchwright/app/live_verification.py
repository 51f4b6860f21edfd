"""The use case of `batchwright providers verify`: check a real account for a bounded price."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from msgspec import Struct

from batchwright.app.place_ports import PlacePorts
from batchwright.app.settings import Settings
from batchwright.app.system_clock import SystemClock
from batchwright.errors import NotAllowed, ProviderUnavailable
from batchwright.journal.store_folder import make_private
from batchwright.model.ids import run_id
from batchwright.providers import registry
from batchwright.providers.base import Quote
from batchwright.providers.live_check import AccountFinding, LiveCheck, Tell


class Verification(Struct, frozen=True):
    """What the check would create and cost per hour, and its findings; `cost` is None if not known."""

    provider: str
    account: str
    makes: str
    questions: tuple[str, ...]
    cost: Quote | None
    run: str = ""
    findings: tuple[AccountFinding, ...] = ()


async def verify(name: str, settings: Settings, max_cost: float | None, tell: Tell) -> Verification:
    """Run the live check. Without `max_cost`, nothing is created and only the price is returned.

    Raises ProviderUnavailable, and NotAllowed if it would cost more.
    """
    async with _opened(name, settings) as (check, account):
        cost = await check.cost()
        told = Verification(name, account, check.makes, check.questions, cost)
        if max_cost is None:
            return told
        if cost is None or cost.per_hour > max_cost:
            price = f"{cost.per_hour:g} {cost.currency}" if cost else "an unknown price"
            raise NotAllowed(f"it would cost {price}, more than {max_cost:g}", hint="Nothing was created.")
        run = run_id(os.urandom(10))
        tell(f"everything it creates carries the label batchwright-run={run} in the account {account}")
        found = await check.run(run, tell)
    return Verification(name, account, check.makes, check.questions, cost, run, tuple(found))


@asynccontextmanager
async def _opened(name: str, settings: Settings) -> AsyncIterator[tuple[LiveCheck, str]]:
    if place := PlacePorts(settings).place_of(name):
        raise ProviderUnavailable(
            f"{name} is called from {place}, and its live check runs only on the machine that calls it",
            hint=f"Run it at {place}, where config.toml has its credentials and no `at`. Nothing was created.",
        )
    make_private(settings.state_dir)
    provider = registry.connect(name, SystemClock(), settings.of_provider(name))
    check_of = getattr(provider, "live_check", None)
    if check_of is None:
        raise ProviderUnavailable(
            f"the provider {name} has no live check", hint="The provider's own tests are the only check."
        )
    await provider.open()
    try:
        health = await provider.health()
        if not health.ok:
            raise ProviderUnavailable(f"{name}: {health.message}", hint="Check the credentials. Nothing was created.")
        yield check_of(), await provider.account()
    finally:
        await provider.aclose()
