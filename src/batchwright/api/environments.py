"""Calls that look at environments."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from litestar import Request, Response, get, post
from litestar.di import NamedDependency
from litestar.params import PathParameter, QueryParameter
from msgspec import Struct

from batchwright.api.admission_control import RateLimits
from batchwright.api.openapi import problems
from batchwright.api.run_queries import etag
from batchwright.api.submissions import Key, PlanHash, Wait, take_place
from batchwright.app.environment_drift import find_drift
from batchwright.app.environment_reader import all_environments, read_environment
from batchwright.app.planned import PlanAnswer
from batchwright.model.diagnostic import bounded
from batchwright.model.environment import REAL, SIMULATED
from batchwright.model.role import Role
from batchwright.service.environment_destroy import DestroyRequest, destroy, preview
from batchwright.service.run_supervisor import RunSupervisor
from batchwright.views.drift import EnvironmentDrift
from batchwright.views.environment import EnvironmentLine, EnvironmentView
from batchwright.views.plan import plan_view
from batchwright.views.run import RunView

ENVIRONMENTS = "/v1/environments"


class EnvironmentList(Struct, frozen=True):
    """Every environment, ordered by name."""

    items: tuple[EnvironmentLine, ...]


@get(ENVIRONMENTS, responses=problems(), tags=["Environments"])
async def list_environments(supervisor: NamedDependency[RunSupervisor]) -> EnvironmentList:
    """Every environment: what it has, which run is changing it now, and its newest run."""
    return EnvironmentList(await all_environments(supervisor.stores, supervisor.clock))


@get(ENVIRONMENTS + "/{name:path}", responses=problems(404, 409), tags=["Environments"])
async def environment(
    supervisor: NamedDependency[RunSupervisor],
    name: Annotated[
        str, PathParameter(description="NAME of the workflow, or NAME/ENVIRONMENT with one slash.", max_length=200)
    ],
    simulated: Annotated[
        bool | None, QueryParameter(description="Which one, where a real and a simulated one have the name.")
    ] = None,
) -> EnvironmentView:
    """An environment: its servers, what is on them, which run made and last changed each, and whose turn it is."""
    word = name.removeprefix("/")
    if simulated is not None:
        word = f"{SIMULATED if simulated else REAL}:{word}"
    return await read_environment(supervisor.stores, supervisor.clock, word)


Named = Annotated[
    str,
    QueryParameter(name="environment", description="NAME, NAME/ENVIRONMENT, or simulated:NAME.", max_length=220),
]


@get("/v1/drift", opt={"role": Role.OPERATOR}, responses=problems(404, 409, 503), tags=["Environments"])
async def drift(supervisor: NamedDependency[RunSupervisor], environment: Named) -> EnvironmentDrift:
    """How an environment's servers and task services differ now from what its runs asked for. Nothing is changed."""
    own = supervisor.settings, supervisor.stores, supervisor.clock
    return await find_drift(*own, environment, supervisor.world, supervisor.runner, supervisor.allowed)


@post(
    ENVIRONMENTS + "/destroy/plan",
    status_code=200,
    opt={"role": Role.OPERATOR, "changes": False},
    responses=problems(404, 409, 422, 503),
    tags=["Environments"],
)
async def plan_destroy(supervisor: NamedDependency[RunSupervisor], environment: Named, wait: Wait = 0.0) -> PlanAnswer:
    """What destroying an environment would do; nothing is changed."""
    planned = await preview(supervisor, environment, wait)
    if planned.plan is None:
        raise planned.refusal()
    found = bounded(planned.diagnostics)
    return PlanAnswer(True, plan_view(planned.plan), found, planned.quotes, worst_cost=planned.worst_cost)


@post(
    ENVIRONMENTS + "/destroy",
    status_code=202,
    opt={"role": Role.OPERATOR},
    responses=problems(404, 409, 422, 429, 503),
    tags=["Environments"],
)
async def destroy_environment(
    request: Request[Any, Any, Any],
    supervisor: NamedDependency[RunSupervisor],
    rates: NamedDependency[RateLimits],
    environment: Named,
    plan_hash: PlanHash = "",
    wait: Wait = 0.0,
    key: Key = None,
) -> Response[RunView]:
    """Begin a run that destroys all that an environment has, in reverse order, with the undo of its commands."""
    caller = take_place(request, rates)
    own = caller.name, key or "", plan_hash, wait, caller.principal.id
    feed, new = await destroy(supervisor, DestroyRequest(environment, *own))
    run_id = request.scope["state"]["run"] = feed.run.id
    headers = {"Location": f"../workflows/batch/{run_id}", "ETag": etag(feed)}
    if not new:
        headers["Idempotency-Replayed"] = "true"
    return Response(feed.view(), headers=headers, status_code=202)


HANDLERS: Sequence[Any] = (list_environments, environment, drift, plan_destroy, destroy_environment)
