"""The roles by name, and the bundles of roles that are worth asking together."""

from __future__ import annotations

from batchwright.agents.roles.base import AgentAnswer, AgentRole
from batchwright.agents.roles.file_roles import FILE_ROLES
from batchwright.agents.roles.plan_roles import PLAN_ROLES
from batchwright.agents.roles.run_roles import RUN_ROLES
from batchwright.agents.slices.provider_calls import providers_of
from batchwright.agents.slices.run_source import RunSource
from batchwright.errors import UsageError
from batchwright.model.did_you_mean import close_matches
from batchwright.model.lifecycle import StepState

PROVIDERS_MOST = 3  # that one bundle asks about
ROLES: dict[str, AgentRole] = {role.name: role for role in (*RUN_ROLES, *PLAN_ROLES, *FILE_ROLES)}
ALIASES = {"diagnose": "diagnoser", "report": "reporter", "status": "monitor", "rehearsal": "rehearser"}
BUNDLES = {
    "triage": ("diagnoser", "provider", "monitor", "recovery"),
    "review": ("reviewer", "planner"),
    "handover": ("monitor", "reporter"),
}


def roles_named(word: str) -> tuple[AgentRole, ...]:
    """The role, or the roles of the bundle, that a word means. Raises UsageError."""
    known = ALIASES.get(word, word)
    if known in BUNDLES:
        return tuple(ROLES[one] for one in BUNDLES[known])
    if known in ROLES:
        return (ROLES[known],)
    near = close_matches(word, [*ROLES, *BUNDLES, *ALIASES], n=1)
    there = f"There are: {', '.join([*ROLES, *BUNDLES])}."
    raise UsageError(f"there is no role {word!r}", hint=f"Did you mean {near[0]}?" if near else there)


def events_wanted(asked: str, query: str) -> list[tuple[str, str]]:
    """The slices of a run whose events the roles need, each with its query."""
    roles = roles_named(asked)
    return [(kind, query if len(roles) == 1 else "") for role in roles for kind in role.slices]


def answered(asked: str, source: object, query: str = "", budget: int = 0) -> AgentAnswer:
    """The answer of a role, or of each role of a bundle; a budget of 0 is the usual one of each.

    The source is what the roles read (`Subject`). Raises UsageError and StepNotFound.
    """
    roles = roles_named(asked)
    if len(roles) > 1 and query:
        raise UsageError(f"{asked} takes no query", hint="Ask one of its roles instead.")
    reports = [
        role.report(source, one, budget)
        for role in roles
        for one in (_instances(role, source) if len(roles) > 1 else [query])
    ]
    return AgentAnswer(asked, tuple(reports))


def _instances(role: AgentRole, source: object) -> list[str]:
    """In a bundle a provider's role is asked once for each provider with failures."""
    if role.name != "provider" or not isinstance(source, RunSource):
        return [""]
    run = source.run
    failed = {step.provider for step, one in zip(run.steps, run.records, strict=True) if one.state is StepState.FAILED}
    return [one for one in providers_of(run) if one in failed][:PROVIDERS_MOST]
