"""Calls about servers as their providers show them now: look at all of them, end one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from litestar import post
from litestar.di import NamedDependency
from litestar.params import QueryParameter

from batchwright.api.schema import problems
from batchwright.app.servers import Ended, FoundServers, end_server, find_servers
from batchwright.model.scalar import Scalar
from batchwright.service.run_supervisor import RunSupervisor
from batchwright.service.tokens import Role

Provider = Annotated[str, QueryParameter(description="Only servers of this provider.", max_length=100)]
Simulate = Annotated[bool, QueryParameter(description="Those of the simulated world.")]


def _simulation(orchestrator: RunSupervisor, simulate: bool) -> dict[str, Scalar] | None:
    return orchestrator.desk.simulation if orchestrator.desk.simulation is not None else {} if simulate else None


@post(
    "/v1/servers/look",
    status_code=200,
    responses=problems(404, 503),
    opt={"role": Role.OPERATOR, "changes": False},
    tags=["What there is"],
)
async def look(
    orchestrator: NamedDependency[RunSupervisor], provider: Provider = "", simulate: Simulate = False
) -> FoundServers:
    """Ask the providers for all servers that carry Batchwright's labels, and how each is reached."""
    simulation = _simulation(orchestrator, simulate)
    settings, stores, clock = orchestrator.settings, orchestrator.stores, orchestrator.clock
    return await find_servers(settings, stores, clock, provider, simulation, orchestrator.world)


@post(
    "/v1/servers/destroy",
    status_code=200,
    responses=problems(404, 409, 503),
    opt={"role": Role.OPERATOR},
    tags=["What there is"],
)
async def destroy(
    orchestrator: NamedDependency[RunSupervisor],
    ref: Annotated[str, QueryParameter(description="Its reference.", min_length=1, max_length=300)],
    anyway: Annotated[bool, QueryParameter(description="Even if its run has not ended.")] = False,
    simulate: Simulate = False,
) -> Ended:
    """End one server, until it is gone."""
    simulation = _simulation(orchestrator, simulate)
    settings, stores, clock = orchestrator.settings, orchestrator.stores, orchestrator.clock
    return await end_server(settings, stores, clock, ref, simulation, orchestrator.world, anyway=anyway)


HANDLERS: Sequence[Any] = (look, destroy)
