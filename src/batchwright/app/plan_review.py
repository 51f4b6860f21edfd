"""Plans a file so that roles can read the plan, or why there is none."""

from __future__ import annotations

from collections import Counter

from batchwright.agents.slices.plan_source import PlanSource
from batchwright.app.planned import Planned
from batchwright.app.plans import make_plan
from batchwright.app.settings import Settings
from batchwright.app.system_clock import SystemClock
from batchwright.app.workflow_source import Source
from batchwright.errors import PlanRefused
from batchwright.model.diagnostic import Diagnostic
from batchwright.model.scalar import SimulationSettings


async def read_plan(settings: Settings, source: Source, simulation: SimulationSettings | None) -> PlanSource:
    """The plan of a file, with what its new servers cost; or the diagnostics that say why there is none."""
    try:
        planned = await make_plan(settings, SystemClock(), source, simulation)
    except PlanRefused as refused:  # the file is not valid
        found = tuple(one for one in refused.diagnostics if isinstance(one, Diagnostic))
        return PlanSource(str(source.file), None, found)
    return plan_source_of(str(source.file), planned)


def plan_source_of(subject: str, planned: Planned) -> PlanSource:
    """What roles read of a plan."""
    costs: Counter[str] = Counter()
    for quote in planned.quotes.values():
        costs[quote.currency] += quote.per_hour  # type: ignore[assignment]
    plan = planned.plan
    creating = dict.fromkeys(step.provider for step in plan.steps if step.traits.sweeps) if plan else {}
    unpriced = tuple(one for one in creating if one not in planned.quotes)
    return PlanSource(
        subject, plan, planned.diagnostics, {key: round(value, 6) for key, value in costs.items()}, unpriced
    )
