"""What the operator's rules may know of a plan, as plain data. Its shape is documented in docs/guardrails.md. Pure."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from typing import Any

import msgspec

from batchwright.model.environment import EnvironmentKey
from batchwright.model.guardrail_limits import Impact
from batchwright.model.plan import Plan, Step
from batchwright.model.price import Offer, Price
from batchwright.operations.registry import TYPES, is_server, type_of

VERSION = 1  # raised when something that is there changes its meaning or goes; what is added raises nothing
GONE, RELEASE, REPLACE, ADOPT = "gone", "release", "replace", "adopt"


def policy_data(plan: Plan, impact: Impact, now: float) -> dict[str, Any]:
    """The data of a plan at a time, in seconds since the epoch. It holds no secret: those are references."""
    key = EnvironmentKey.of(plan)
    at = datetime.fromtimestamp(now, UTC)
    groups: dict[str, list[dict[str, Any]]] = {kind.policy_group: [] for kind in TYPES}
    prices = {(one.provider, one.plan, one.zone): one for one in plan.prices}
    names = {step.id: step.request.name for step in plan.steps}
    going = {step.retired.key for step in plan.steps if step.retired is not None and not step.leftover}
    made = {f"{step.request.kind()}//{step.request.name}" for step in plan.steps if step.traits.sweeps}
    for step in plan.steps:
        if step.traits.counted and (
            step.retired is None or step.leftover or step.retired.key not in made
        ):  # what is replaced is one entry, that of the new server
            groups[type_of(step).policy_group].append(_entry(step, names, going, prices))
    waves = {step.operation: step.wave for step in plan.steps if not step.traits.counted}  # the last one counts
    changes = Counter(one["change"] for one in groups["servers"])
    return {
        "version": VERSION,
        "workflow": plan.workflow,
        "workflow_version": plan.version,
        "environment": key.name,
        "stage": key.name.partition("/")[2],
        "simulated": plan.simulation is not None,
        "now": {"date": f"{at:%Y-%m-%d}", "weekday": f"{at:%A}", "hour": at.hour, "minute": at.minute},
        "counts": {
            "before": impact.before,
            "after": impact.after,
            "destroyed": len(impact.destroyed),
            **{word: changes[word] for word in ("create", "keep", "update", REPLACE, ADOPT, "retire", RELEASE, GONE)},
        },
        "cost": {"per_hour": dict(impact.cost), "known": not impact.unpriced},
        "operations": [_operation(one, waves.get(one.id, 1)) for one in plan.operations],
        **groups,
    }


def _operation(one: Any, waves: int) -> dict[str, Any]:
    dependencies = [msgspec.to_builtins(each) for each in one.dependencies]
    own = {"id": one.id, "type": one.type, "provider": one.provider, "dependencies": dependencies}
    return {**own, "waves": waves, "min_success": one.min_success}


def _entry(step: Step, names: dict[str, str], going: set[str], prices: dict[Offer, Price]) -> dict[str, Any]:
    entry = {
        "name": step.request.name,
        "operation": step.operation,
        "provider": step.provider,
        "change": _change(step, going),
        "changes": msgspec.to_builtins(step.changes),
        **msgspec.to_builtins(type_of(step).policy_data(step)),
    }
    if not is_server(step):
        return {**entry, "server": names.get(step.server, "")}
    price = prices.get(step.offer)
    known = price is not None and price.per_hour is not None
    cost = {"per_hour": price.per_hour, "currency": price.currency} if price is not None and known else None
    others = [{"provider": provider, "plan": plan, "zone": zone} for provider, plan, zone in step.offers[1:]]
    return {**entry, "cost": cost, "alternatives": others}


def _change(step: Step, going: set[str]) -> str:
    """What happens to it, in a word."""
    if step.gone:
        return GONE
    if step.retired is not None and is_server(step) and not step.retired.run:
        return RELEASE
    if step.adopts is not None:
        return ADOPT
    if step.traits.sweeps and f"{step.request.kind()}//{step.request.name}" in going:
        return REPLACE
    return step.action.value
