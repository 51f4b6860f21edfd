"""Use cases of guardrails: whether a plan keeps the limits and the rules, and each create of its run the limits."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache

from msgspec.structs import replace

from batchwright.app.access_tokens import Tokens
from batchwright.app.adapters import Adapters
from batchwright.app.guardrail_settings import Guardrails, guardrails_now
from batchwright.app.plan_policy_check import judge
from batchwright.app.planned import Planned, plan_refused
from batchwright.app.prices import find_prices, quotes_of, worst_cost
from batchwright.app.settings import Settings
from batchwright.engine.handler_context import CreateCheck
from batchwright.errors import ConfigInvalid, PlanRefused
from batchwright.model.diagnostic import Diagnostic, Severity
from batchwright.model.environment import EnvironmentKey, Resource
from batchwright.model.fault import Fault, FaultClass
from batchwright.model.guardrail_limits import NO_LIMITS, GuardrailLimits, Impact, LimitsSource, broken_limits
from batchwright.model.plan import Plan, Step
from batchwright.model.plan_policy import WARNED
from batchwright.plan.impact import impact
from batchwright.plan.policy_data import policy_data

_JUDGES = ThreadPoolExecutor(2, "policy")  # each waits for a process of up to 1 GiB; a service has many plans to judge


def guardrails(settings: Settings) -> Guardrails:
    """The operator's guardrails as they are now. Raises ConfigInvalid."""
    return guardrails_now(settings.config_file, settings.guardrails)


def sources_of(
    rails: Guardrails, environment: str, own: GuardrailLimits = NO_LIMITS, token: GuardrailLimits = NO_LIMITS
) -> Sequence[LimitsSource]:
    """The limits of an environment: the operator's, the workflow's own, and those of the token that asks."""
    return (
        *rails.limits_of(environment),
        LimitsSource(own, "the workflow sets limits.", where="limits"),
        LimitsSource(token, "this token has limits."),
    )


def any_of(sources: Iterable[LimitsSource]) -> bool:
    """Whether there is a limit at all."""
    return any(one.limits != NO_LIMITS for one in sources)


def limits_cost(sources: Iterable[LimitsSource]) -> bool:
    """Whether the environment may cost only so much."""
    return any(one.limits.cost_per_hour is not None for one in sources)


async def guarded(
    settings: Settings,
    around: Adapters,
    planned: Planned,
    resources: Iterable[Resource],
    own: GuardrailLimits = NO_LIMITS,
    principal: str = "",
) -> Planned:
    """The plan with its prices as they are now, if it keeps the operator's guardrails and the workflow's limits.

    `principal` is who asks for it: a token may have limits, too. Otherwise there is no plan, and the diagnostics say
    why. Raises ConfigInvalid, TokensUnreadable.
    """
    if planned.plan is None:
        return planned
    resources, rails = tuple(resources), guardrails(settings)
    token = token_limits(settings, principal)
    sources = sources_of(rails, EnvironmentKey.of(planned.plan).name, own, token)
    everything = rails.policy is not None or (limits_cost(sources) and impact(planned.plan, resources).changes)
    prices, unknown = await find_prices(planned.plan, resources, around, all_servers=everything)
    plan = replace(planned.plan, prices=prices if everything else ())
    found = await _judged(plan, resources, rails, sources, around.clock.now())
    told = (*(one for one in planned.diagnostics if one.code != WARNED), *unknown, *found)
    if any(one.severity is Severity.ERROR for one in found):
        return replace(planned, plan=None, diagnostics=told)
    warnings = (*(one for one in plan.warnings if one.code != WARNED), *found)  # a plan file has those of its time
    quotes = quotes_of(plan.steps, prices)
    worst = worst_cost(plan.steps, prices)
    plan = replace(plan, warnings=warnings)
    return replace(planned, plan=plan, diagnostics=told, quotes=quotes, worst_cost=worst)


def token_limits(settings: Settings, principal: str) -> GuardrailLimits:
    """The limits of the token with this id; nobody and a user of the machine have none. Raises TokensUnreadable."""
    if not principal or "@" in principal:
        return NO_LIMITS
    return Tokens(settings).limits_of(principal)


async def refuse_unguarded(
    settings: Settings, plan: Plan, resources: Iterable[Resource], now: float, principal: str = ""
) -> None:
    """Raise PlanRefused if a plan that is to be run does not keep the operator's guardrails as they are now, or the
    limits of the token that runs it.
    """
    rails, token = guardrails(settings), token_limits(settings, principal)
    sources = sources_of(rails, EnvironmentKey.of(plan).name, token=token)
    found = await _judged(plan, resources, rails, sources, now)
    if any(one.severity is Severity.ERROR for one in found):
        raise plan_refused(found)


def refuse_destroyed(settings: Settings, principal: str, servers: Sequence[str], about: str) -> None:
    """Raise PlanRefused if a token's limits do not let it destroy these servers, where no plan of its own does so."""
    limits = token_limits(settings, principal)
    found = broken_limits([LimitsSource(limits, "this token has limits.")], Impact(len(servers), 0, tuple(servers)))
    if found:
        raise PlanRefused(f"the limits of this token do not allow it for {about}", diagnostics=tuple(found))


async def _judged(
    plan: Plan, resources: Iterable[Resource], rails: Guardrails, sources: Sequence[LimitsSource], now: float
) -> list[Diagnostic]:
    if rails.policy is None and not any_of(sources):
        return []
    made = impact(plan, resources)
    found = broken_limits(sources, made)
    if rails.policy is not None:
        data = policy_data(plan, made, now)
        found += await asyncio.get_running_loop().run_in_executor(_JUDGES, judge, rails.policy, plan, data, now)
    return found


def create_check(settings: Settings, plan: Plan, resources: Sequence[Resource]) -> CreateCheck:
    """Says, just before a server is created, why that breaks one of the operator's limits as they are now.

    `resources` are what the environment had when the run's turn began. A server that takes the place of one which is
    destroyed already is created in any case.
    """
    replaced = {step.request.name for step in plan.steps if step.traits.sweeps and step.in_place}

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
