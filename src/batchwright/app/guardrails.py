"""Use cases of guardrails: whether a plan keeps the limits and the rules, and each create of its run the limits."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from functools import cache

from msgspec.structs import replace

from batchwright.app.guardrail_settings import Guardrails, guardrails_now
from batchwright.app.plan_judge import judge
from batchwright.app.planned import Planned, plan_refused
from batchwright.app.settings import Settings
from batchwright.engine.handler_context import CreateCheck
from batchwright.errors import ConfigInvalid
from batchwright.model.diagnostic import Diagnostic, Severity
from batchwright.model.environment import EnvironmentKey, Resource
from batchwright.model.environment_limits import NO_LIMITS, EnvironmentLimits, Impact, LimitsSource, broken_limits
from batchwright.model.fault import Fault, FaultClass
from batchwright.model.plan import Plan, Step
from batchwright.plan.impact import impact
from batchwright.plan.policy_data import policy_data


def guardrails(settings: Settings) -> Guardrails:
    """The operator's guardrails as they are now. Raises ConfigInvalid."""
    return guardrails_now(settings.config_file, settings.guardrails)


def sources_of(rails: Guardrails, environment: str, own: EnvironmentLimits = NO_LIMITS) -> Sequence[LimitsSource]:
    """The limits of an environment: the operator's, and the workflow's own."""
    return (*rails.limits_of(environment), LimitsSource(own, "the workflow sets limits.", where="limits"))


def any_of(sources: Iterable[LimitsSource]) -> bool:
    """Whether there is a limit at all."""
    return any(one.limits != NO_LIMITS for one in sources)


def needs_all_prices(rails: Guardrails, sources: Iterable[LimitsSource]) -> bool:
    """Whether something may be decided by what the environment costs."""
    return rails.policy is not None or any(one.limits.cost_per_hour is not None for one in sources)


async def guarded(
    planned: Planned, resources: Iterable[Resource], rails: Guardrails, now: float, own: EnvironmentLimits = NO_LIMITS
) -> Planned:
    """The same, unless the plan does not keep a guardrail: then there is no plan, and the diagnostics say why."""
    plan = planned.plan
    if plan is None:
        return planned
    found = await _judged(plan, resources, rails, own, now)
    if any(one.severity is Severity.ERROR for one in found):
        return Planned(None, (*planned.diagnostics, *found))
    plan = replace(plan, warnings=(*plan.warnings, *found))
    return replace(planned, plan=plan, diagnostics=(*planned.diagnostics, *found))


async def refuse_unguarded(settings: Settings, plan: Plan, resources: Iterable[Resource], now: float) -> None:
    """Raise PlanRefused if a plan that is to be run does not keep the operator's guardrails as they are now."""
    found = await _judged(plan, resources, guardrails(settings), NO_LIMITS, now)
    if any(one.severity is Severity.ERROR for one in found):
        raise plan_refused(found)


async def _judged(
    plan: Plan, resources: Iterable[Resource], rails: Guardrails, own: EnvironmentLimits, now: float
) -> list[Diagnostic]:
    sources = sources_of(rails, EnvironmentKey.of(plan).name, own)
    if rails.policy is None and not any_of(sources):
        return []
    made = impact(plan, resources)
    found = broken_limits(sources, made)
    if rails.policy is not None:
        found += await asyncio.to_thread(judge, rails.policy, plan, policy_data(plan, made, now), now)
    return found


def create_check(settings: Settings, plan: Plan, resources: Sequence[Resource]) -> CreateCheck:
    """Says, just before a server is created, why that breaks one of the operator's limits as they are now.

    `resources` are what the environment had when the run's turn began. A server that takes the place of one which is
    destroyed already is created in any case.
    """
    replaced = {step.retired.key.rpartition("/")[2] for step in plan.steps if step.retired is not None}

    @cache
    def made() -> Impact:
        return impact(plan, resources)

    def check(step: Step) -> Fault | None:
        if step.request.name in replaced:
            return None
        try:
            sources = guardrails(settings).limits_of(EnvironmentKey.of(plan).name)
        except ConfigInvalid as error:
            return Fault(FaultClass.TRANSIENT, error.message, error.code, error.hint)
        if not any_of(sources):
            return None
        for broken in broken_limits(sources, made(), growth=True):
            return Fault(FaultClass.PERMANENT, f"not created: {broken.message}", broken.code, broken.hint)
        return None

    return check
