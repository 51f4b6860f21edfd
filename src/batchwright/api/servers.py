"""Calls about servers as their providers show them now: look at all of them, end one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from litestar import post
from litestar.di import NamedDependency
from litestar.params import QueryParameter

from batchwright.api.schema import problems
from batchwright.app.adapters import Scalar
from batchwright.app.servers import Ended, FoundServers, Servers
from batchwright.errors import UsageError
from batchwright.providers import registry
from batchwright.service.run_supervisor import RunSupervisor
from batchwright.service.tokens import Role

Provider = Annotated[str, QueryParameter(description="Only this provider's.", max_length=100)]
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
    if provider and provider not in registry.names():
        raise UsageError(f"there is no provider {provider!r} here", hint=f"There are: {', '.join(registry.names())}.")
    simulation = _simulation(orchestrator, simulate)
    settings, stores, clock = orchestrator.settings, orchestrator.stores, orchestrator.clock
    async with Servers(settings, stores, clock, simulation, orchestrator.world) as servers:
        await servers.look(provider)
        return servers.result()


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
    anyway: Annotated[bool, QueryParameter(description="Although its run has not ended.")] = False,
    simulate: Simulate = False,
) -> Ended:
    """End one server, until it is gone."""
    simulation = _simulation(orchestrator, simulate)
    settings, stores, clock = orchestrator.settings, orchestrator.stores, orchestrator.clock
    async with Servers(settings, stores, clock, simulation, orchestrator.world) as servers:
        await servers.look(partial=False)
        found = servers.result().named(ref)
        if not anyway:
            found.refuse_in_use()
        fault = await servers.end(found)
    return Ended(fault is None, found.stays, fault)


HANDLERS: Sequence[Any] = (look, destroy)
