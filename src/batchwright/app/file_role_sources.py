"""Reads what roles need of files: the plan of a workflow, or why there is none, and the report of a rehearsal."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import msgspec
from msgspec.structs import replace

from batchwright.agents.slices.plan_source import PlanSource
from batchwright.app.multi_store import Stores
from batchwright.app.planned import Planned
from batchwright.app.plans import make_plan
from batchwright.app.settings import Settings
from batchwright.app.system_clock import SystemClock
from batchwright.app.workflow_source import Source
from batchwright.errors import PlanRefused, UsageError
from batchwright.model.diagnostic import Diagnostic
from batchwright.model.environment import EnvironmentKey
from batchwright.model.lifecycle import RunState
from batchwright.model.plan import Plan
from batchwright.model.scalar import SimulationSettings
from batchwright.regular_files import contents
from batchwright.views.rehearsal import RehearsalView
from batchwright.views.text_format import one_line

PAST_MOST = 10  # runs before
NAME_MOST = 200  # characters of a workflow


async def read_plan(settings: Settings, source: Source, simulation: SimulationSettings | None) -> PlanSource:
    """The plan of a file, with what its new servers cost; or the diagnostics that say why there is none."""
    try:
        planned = await make_plan(settings, SystemClock(), source, simulation)
    except PlanRefused as refused:  # the file is not valid
        found = tuple(one for one in refused.diagnostics if isinstance(one, Diagnostic))
        return PlanSource(str(source.file), None, found)
    seen = plan_source_of(str(source.file), planned)
    return seen if planned.plan is None else replace(seen, past=await past_seconds(settings, planned.plan))


async def past_seconds(settings: Settings, plan: Plan) -> tuple[float, ...]:
    """How long the newest completed runs of the plan's environment took, in seconds."""
    key = EnvironmentKey.of(plan)
    async with Stores(settings) as stores:
        rows = [row for row in await stores.summaries(partial=True) if row.environment_key == key]
    good = [row for row in rows if row.status is RunState.COMPLETED and row.ended_at > row.started_at > 0]
    return tuple(row.ended_at - row.started_at for row in good[:PAST_MOST])


def read_rehearsal(file: Path) -> RehearsalView:
    """The report that `rehearse --json` printed. Raises UsageError."""
    try:
        view = msgspec.json.decode(contents(file), type=RehearsalView)
        if view.workflow != one_line(view.workflow, NAME_MOST):  # it is shown and counted as what was asked about
            raise ValueError("it names no workflow")
        return view
    except (OSError, ValueError, RecursionError) as error:
        hint = "Make one: batchwright rehearse FILE --json > report.json"
        raise UsageError(f"{file} is no report of a rehearsal: {error}", hint=hint) from error


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
