"""What servers cost by the providers' own price lists. A create needs no price, but some limits do."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence

from batchwright.app.adapters import Adapters
from batchwright.errors import BatchwrightError
from batchwright.model.diagnostic import Diagnostic, Severity
from batchwright.model.environment import Resource
from batchwright.model.plan import Plan, Request, Step
from batchwright.model.price import Offer, Price
from batchwright.operations.registry import dec_hook, is_server
from batchwright.plan.impact import cost_at_worst
from batchwright.providers.base import Provider, Quote

NOT_TOLD = "the provider does not publish it"
NOT_OPEN = "the provider could not be opened"


async def find_prices(
    plan: Plan, resources: Iterable[Resource], around: Adapters, *, all_servers: bool
) -> tuple[tuple[Price, ...], list[Diagnostic]]:
    """A price for each kind of server that is created, with `all_servers` also of those that are there already.

    A provider whose prices cannot be read becomes a warning.
    """
    wanted: dict[Offer, Request] = {}
    for one in resources if all_servers else ():
        if one.is_own_server:
            wanted[one.offer] = dec_hook(Request, one.request)
    for step in plan.steps:
        if is_server(step) and (all_servers or step.traits.sweeps):
            wanted.update(zip(step.offers, step.requests, strict=True))
    prices: list[Price] = []
    problems: list[Diagnostic] = []
    for name in dict.fromkeys(offer[0] for offer in wanted):
        asked = {offer: request for offer, request in wanted.items() if offer[0] == name}
        provider = around.providers.get(name)
        if provider is None:
            prices += [Price(*offer, why=NOT_OPEN) for offer in asked]
            continue
        found, why = await _asked(provider, asked)
        prices += found
        if why:
            message, hint = f"the price is not known: {why}", "The run does not need it."
            problems.append(Diagnostic("price-unknown", message, hint, where=name, severity=Severity.WARNING))
    return tuple(prices), problems


async def _asked(provider: Provider, asked: Mapping[Offer, Request]) -> tuple[list[Price], str]:
    """The prices of one provider, and why they could not be read."""
    if provider.capabilities.free:
        return [Price(*offer, per_hour=0.0) for offer in asked], ""
    try:
        async with asyncio.timeout(provider.capabilities.call_timeout):
            quotes = await asyncio.gather(*(provider.quote([request]) for request in asked.values()))  # type: ignore[list-item]
    except Exception as error:
        why = error.message if isinstance(error, BatchwrightError) else f"{type(error).__name__}: {error}"
        return [Price(*offer, why=why) for offer in asked], why
    return [
        Price(*offer, why=NOT_TOLD) if quote is None else Price(*offer, quote.per_hour, quote.currency)
        for offer, quote in zip(asked, quotes, strict=True)
    ], ""


def quotes_of(steps: Sequence[Step], prices: Iterable[Price]) -> dict[str, Quote]:
    """What the servers that these steps create cost together, by provider, where all their prices are known."""
    known = {(one.provider, one.plan, one.zone): one for one in prices}
    quotes: dict[str, Quote] = {}
    for name in dict.fromkeys(step.provider for step in steps if step.traits.sweeps):
        each = [known[step.offer] for step in steps if step.traits.sweeps and step.provider == name]
        if all(one.per_hour is not None and one.currency for one in each):
            quotes[name] = Quote(round(sum(one.per_hour or 0.0 for one in each), 6), each[0].currency)
    return quotes


def worst_cost(steps: Sequence[Step], prices: Iterable[Price]) -> dict[str, float]:
    """The most that the servers of these steps can cost per hour, by currency.

    Empty if none of them can go elsewhere, or if a price is not known.
    """
    made = [step.offers for step in steps if step.traits.sweeps]
    known = {(one.provider, one.plan, one.zone): one for one in prices if one.per_hour is not None}
    if all(len(offers) == 1 for offers in made) or not known.keys() >= {offer for offers in made for offer in offers}:
        return {}
    return cost_at_worst(made, known)
