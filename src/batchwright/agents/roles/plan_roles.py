"""The roles that read a plan or an environment: reviewer, planner and drift."""

from __future__ import annotations

from batchwright.agents.roles.base import AgentRole, RoleAnswer, Subject
from batchwright.agents.roles.payloads import DriftSummary, PlanForecast, PlanRisks
from batchwright.agents.roles.run_roles import ASK_ONLY
from batchwright.agents.slices.environment_drift import drift_slice
from batchwright.agents.slices.plan_forecast import creates, forecast_slice
from batchwright.agents.slices.plan_risks import not_repeated, not_undone, risk_slice
from batchwright.agents.slices.plan_source import PlanSource, errors
from batchwright.agents.slices.untrusted_text import name
from batchwright.plan.critical_path import estimate
from batchwright.views.drift import DriftState, EnvironmentDrift
from batchwright.views.planned_changes import Symbol, counts, symbols
from batchwright.views.text_format import counted, duration


def _reviewer(source: PlanSource, query: str, budget: int) -> RoleAnswer:
    told = risk_slice(source, query, budget)
    plan, wrong = source.plan, errors(source)
    total = counts(symbols(plan)) if plan else {}
    payload = PlanRisks(
        plan=plan.hash() if plan else "",
        symbols={symbol.value: number for symbol, number in total.items() if number},
        destroys=total.get(Symbol.RETIRE, 0),
        replaces=total.get(Symbol.REPLACE, 0),
        not_undone=len(not_undone(plan)) if plan else 0,
        not_repeated=len(not_repeated(plan)) if plan else 0,
        warnings=len(source.diagnostics) - wrong,
        problems=wrong,
    )
    if plan is None:
        summary = f"There is no plan: {counted(wrong, 'problem')}."
    else:
        risks = [f"destroys {payload.destroys}"] if payload.destroys else []
        risks += [f"replaces {payload.replaces}"] if payload.replaces else []
        risks += [f"{counted(payload.not_undone, 'step')} cannot be undone"] if payload.not_undone else []
        summary = f"Plan {payload.plan}: {', '.join(risks) or 'nothing is destroyed, and all of it can be undone'}."
    return RoleAnswer(source.subject, summary, told, payload)


def _planner(source: PlanSource, query: str, budget: int) -> RoleAnswer:
    told = forecast_slice(source, query, budget)
    plan = source.plan
    expected = estimate(plan) if plan else None
    payload = PlanForecast(
        plan=plan.hash() if plan else "",
        operations=len(plan.operations) if plan else 0,
        steps=sum(step.counted for step in plan.steps) if plan else 0,
        parallel_limit=plan.parallel_limit if plan else 0,
        least=expected.least if expected else 0.0,
        critical_seconds=expected.critical_seconds if expected else 0.0,
        critical_path=expected.critical_path if expected else (),
        creates=creates(plan) if plan else {},
        per_hour=dict(source.per_hour),
        unpriced=len(source.unpriced),
    )
    if plan is None:
        summary = f"There is no plan: {counted(errors(source), 'problem')}."
    else:
        servers = counted(sum(payload.creates.values()), "new server")
        summary = f"{counted(payload.steps, 'step')}, {servers}, at least {duration(payload.least)}."
    return RoleAnswer(source.subject, summary, told, payload)


def _drift(source: EnvironmentDrift, query: str, budget: int) -> RoleAnswer:
    told = drift_slice(source, query, budget)
    numbers = {state.value: number for state, number in source.counts.items()}
    payload = DriftSummary(source.environment, numbers, source.changing, source.ok)
    drifted, unknown = numbers.get(DriftState.DRIFTED, 0), numbers.get(DriftState.UNKNOWN, 0)
    seen = f", {unknown} could not be looked at" if unknown else ""
    summary = f"{name(source.environment)}: {counted(drifted, 'difference')}{seen}."
    return RoleAnswer(source.environment, summary, told, payload)


PLAN_ROLES = (
    AgentRole(
        "reviewer",
        "What would this plan do, by risk?",
        Subject.PLAN,
        600,
        ("problem", "warning", "destroys", "not undone", "not repeated", "note"),
        f"Review the plan as a careful colleague: what may go wrong, what to ask the author. {ASK_ONLY}",
        _reviewer,
    ),
    AgentRole(
        "planner",
        "In which order, how long, at what cost?",
        Subject.PLAN,
        500,
        ("problem", "time", "past", "cost", "account", "stage", "warning"),
        f"Say how the run would go, what takes longest and what could shorten it. {ASK_ONLY}",
        _planner,
    ),
    AgentRole(
        "drift",
        "How does the environment differ from what its runs asked for?",
        Subject.ENVIRONMENT,
        500,
        ("difference", "not seen", "changing"),
        f"Say which differences matter and which are harmless. {ASK_ONLY}",
        _drift,
    ),
)
