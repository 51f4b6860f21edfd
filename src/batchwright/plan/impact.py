"""What a plan makes of its environment: how many servers, at what price, and how many it destroys. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from batchwright.model.environment import Resource, resource_key
from batchwright.model.guardrail_limits import Impact
from batchwright.model.plan import Plan, Step
from batchwright.model.price import Offer, Price
from batchwright.operations.registry import is_server


def servers_now(resources: Iterable[Resource]) -> dict[str, Offer]:
    """The servers that an environment has, by key; those that it only uses are another one's."""
    return {one.key: one.offer for one in resources if one.is_own_server}


def servers_then(plan: Plan, resources: Iterable[Resource]) -> dict[str, Offer]:
    """The servers that it has once the plan was carried out, whatever part of that is done already."""
    then = servers_now(resources)
    for step in plan.steps:
        if step.retired is not None and is_server(step) and not step.leftover:
            then.pop(step.retired.key, None)
    for step in plan.steps:
        key = _key(step)
        if is_server(step) and step.retired is None and (step.traits.sweeps or step.adopts is not None or key in then):
            then[key] = step.offer
    return then


def _goes_last(plan: Plan) -> dict[str, Offer]:
    """The servers that still stand when the ones that replace them are there, by a key of their own."""
    made = {_key(step) for step in plan.steps if step.traits.sweeps}
    first = {need.step for step in plan.steps if step.traits.sweeps for need in step.needs}
    return {
        step.id: step.offer
        for step in plan.steps
        if step.retired is not None and step.retired.key in made and not step.leftover and step.id not in first
    }


def impact(plan: Plan, resources: Iterable[Resource]) -> Impact:
    """What the plan makes of an environment that has these resources; its own prices say what that costs."""
    resources = tuple(resources)
    ours = [step for step in plan.steps if is_server(step) and not step.leftover]  # those count as destroyed already
    then, now = servers_then(plan, resources), servers_now(resources)
    most = {**then, **_goes_last(plan)}
    going = [step.retired for step in ours if step.retired is not None and step.retired.run]
    gone = {step.retired.key for step in ours if step.retired is not None and step.gone}
    replaced = {one.key for one in going}
    anew = {_key(step) for step in ours if step.traits.sweeps} - replaced  # what is there of them vanished
    now = {key: offer for key, offer in now.items() if key not in gone | anew}
    prices = {(one.provider, one.plan, one.zone): one for one in plan.prices}
    elsewhere = {_key(step): step.offers for step in plan.steps if step.alternatives}
    possible = [elsewhere.get(key, (offer,)) for key, offer in most.items()]
    return Impact(
        before=len(now),
        after=len(then),
        most=len(most),
        destroyed=tuple(
            step.request.name for step in ours if step.retired is not None and step.retired.run and not step.gone
        ),
        cost_before=_cost(now, prices),
        cost=_cost(then, prices),
        cost_most=cost_at_worst(possible, prices),
        unpriced=_unpriced((offer for offers in possible for offer in offers), prices),
        changes=any(now.get(key) != offer for key, offer in then.items()),
    )


def _key(step: Step) -> str:
    return resource_key(step.request.kind(), "", step.request.name)


def _cost(servers: Mapping[str, Offer], prices: Mapping[Offer, Price]) -> dict[str, float]:
    total: dict[str, float] = {}
    for offer in servers.values():
        price = prices.get(offer)
        if price is not None and price.per_hour:
            total[price.currency] = total.get(price.currency, 0.0) + price.per_hour
    return {currency: round(amount, 6) for currency, amount in total.items()}


def cost_at_worst(servers: Iterable[Sequence[Offer]], prices: Mapping[Offer, Price]) -> dict[str, float]:
    """The most that servers can cost per hour, each at the dearest of its places; for each currency by itself."""
    total: dict[str, float] = {}
    for offers in servers:
        known = [price for offer in offers if (price := prices.get(offer)) is not None and price.per_hour]
        for currency in {one.currency for one in known}:
            dearest = max(one.per_hour or 0.0 for one in known if one.currency == currency)
            total[currency] = total.get(currency, 0.0) + dearest
    return {currency: round(amount, 6) for currency, amount in sorted(total.items())}


def _unpriced(offers: Iterable[Offer], prices: Mapping[Offer, Price]) -> tuple[str, ...]:
    """Why the price of some servers is not known, each reason once."""
    reasons: dict[str, None] = {}
    for offer in offers:
        price = prices.get(offer)
        if price is None:
            reasons[f"the price of {offer[1] or 'a server'} at {offer[0]} was not asked for; plan again"] = None
        elif price.per_hour is None:
            reasons[f"the price of {offer[1] or 'a server'} at {offer[0]} is not known: {price.why}"] = None
    return tuple(reasons)
