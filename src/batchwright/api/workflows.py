"""Calls that look at a workflow and change nothing: validate, plan."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any

import msgspec
from litestar import Request, post
from litestar.di import NamedDependency
from litestar.params import QueryParameter

from batchwright.api.admission_control import Bounds, RateLimits
from batchwright.api.openapi import (
    WorkflowBodyOperation,
    problems,
)
from batchwright.api.submissions import (
    EnvironmentName,
    PlanHash,
    Reinstall,
    Retire,
    Sim,
    Simulate,
    submission_of,
    take_place,
)
from batchwright.app.planned import PlanAnswer, ValidationAnswer
from batchwright.model.diagnostic import bounded
from batchwright.model.role import Role
from batchwright.service.run_supervisor import RunSupervisor
from batchwright.views.graph_layout import GraphLayout, graph_layout
from batchwright.views.plan import plan_view


class DrawnPlanAnswer(PlanAnswer, frozen=True):
    """The answer of `plan`, with where its operations stand in a drawing if that was asked for."""

    graph: GraphLayout | None = None


@post(
    "/v1/workflows/batch/validate",
    status_code=200,
    opt={"changes": False},
    operation_class=WorkflowBodyOperation,
    responses=problems(413, 415, 422, 429),
    tags=["Workflows"],
)
async def validate(
    request: Request[Any, Any, Any],
    supervisor: NamedDependency[RunSupervisor],
    rates: NamedDependency[RateLimits],
) -> ValidationAnswer:
    """Check a workflow and report every mistake with its position. Nothing is contacted."""
    caller = take_place(request, rates)
    loaded = await supervisor.desk.check(await submission_of(request, caller))
    assert loaded.workflow is not None
    workflow = msgspec.to_builtins(loaded.workflow)
    return ValidationAnswer(True, workflow, bounded(loaded.diagnostics))


@post(
    "/v1/workflows/batch/plan",
    status_code=200,
    opt={"role": Role.PROPOSER, "changes": False},
    operation_class=WorkflowBodyOperation,
    responses=problems(409, 413, 415, 422, 429),
    tags=["Workflows"],
)
async def plan(
    request: Request[Any, Any, Any],
    supervisor: NamedDependency[RunSupervisor],
    rates: NamedDependency[RateLimits],
    bounds: NamedDependency[Bounds],
    simulate: Simulate = False,
    sim: Sim = None,
    plan_hash: PlanHash = "",
    environment: EnvironmentName = "",
    retire: Retire = False,
    reinstall: Reinstall = None,
    graph: Annotated[
        bool, QueryParameter(description="Also give where its operations stand in a drawing, as for a run.")
    ] = False,
) -> DrawnPlanAnswer:
    """What a run would do, and what undoing it would do. Nothing is changed."""
    caller = take_place(request, rates)
    planned = await supervisor.desk.look(
        await submission_of(
            *(request, caller, simulate, sim, plan_hash), environment=environment, retire=retire, reinstall=reinstall
        )
    )
    made = planned.plan
    assert made is not None
    view = await bounds.in_thread(partial(plan_view, made))
    drawn = await bounds.in_thread(partial(graph_layout, made)) if graph else None
    diagnostics, worst = bounded(planned.diagnostics), planned.worst_cost
    return DrawnPlanAnswer(True, view, diagnostics, planned.quotes, worst_cost=worst, graph=drawn)
