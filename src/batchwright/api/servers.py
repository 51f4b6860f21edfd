"""Calls about servers: those in the journals, those the providers have now, and destroying one."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Annotated, Any

from litestar import Request, get, post
from litestar.di import NamedDependency
from litestar.params import QueryParameter
from msgspec import Struct

from batchwright.api.authentication import Caller
from batchwright.api.openapi import problems
from batchwright.app.guardrails import refuse_destroyed
from batchwright.app.live_servers import FoundServers, find_servers
from batchwright.app.server_destroy import ServerDestroyResult, destroy_server
from batchwright.model.lifecycle import RunState
from batchwright.model.role import Role
from batchwright.model.scalar import Scalar
from batchwright.service.run_supervisor import RunSupervisor
from batchwright.views.steps import ServerLine, servers

Provider = Annotated[str, QueryParameter(description="Only servers of this provider.", max_length=100)]
OfEnvironment = Annotated[
    str, QueryParameter(description="Only servers that runs of this environment created.", max_length=200)
]
Simulate = Annotated[bool, QueryParameter(description="The servers of the simulated world.")]


def _simulation(supervisor: RunSupervisor, simulate: bool) -> dict[str, Scalar] | None:
    return supervisor.desk.simulation if supervisor.desk.simulation is not None else {} if simulate else None


@post(
    "/v1/servers/look",
    status_code=200,
    responses=problems(404, 503),
    opt={"role": Role.OPERATOR, "changes": False},
    tags=["What there is"],
)
async def look(
    supervisor: NamedDependency[RunSupervisor],
    provider: Provider = "",
    environment: OfEnvironment = "",
    simulate: Simulate = False,
) -> FoundServers:
    """Ask the providers for all servers with Batchwright's labels, and how to reach each."""
    simulation = _simulation(supervisor, simulate)
    settings, stores, clock = supervisor.settings, supervisor.stores, supervisor.clock
    found = await find_servers(settings, stores, clock, provider, simulation, supervisor.world)
    return found.of_environment(environment) if environment else found


@post(
    "/v1/servers/destroy",
    status_code=200,
    responses=problems(404, 409, 422, 503),
    opt={"role": Role.OPERATOR},
    tags=["What there is"],
)
async def destroy(
    request: Request[Any, Any, Any],
    supervisor: NamedDependency[RunSupervisor],
    ref: Annotated[str, QueryParameter(description="The server's reference.", min_length=1, max_length=300)],
    anyway: Annotated[bool, QueryParameter(description="Destroy it even if its run has not ended.")] = False,
    simulate: Simulate = False,
) -> ServerDestroyResult:
    """Destroy one server and wait until it is gone."""
    simulation = _simulation(supervisor, simulate)
    settings, stores, clock = supervisor.settings, supervisor.stores, supervisor.clock
    caller: Caller = request.scope["state"]["caller"]
    await asyncio.to_thread(refuse_destroyed, settings, caller.principal.id, [ref], f"server {ref}")
    return await destroy_server(settings, stores, clock, ref, simulation, supervisor.world, anyway=anyway)


SERVERS_MAX = 1_000  # listed per run


class PlacedServer(Struct, frozen=True):
    """A server that exists according to the journals, and its run."""

    run: str
    server: ServerLine


class AllServers(Struct, frozen=True):
    """The servers of the newest runs that may have some. `runs_more` runs were not read."""

    items: tuple[PlacedServer, ...]
    runs_more: int


@get("/v1/servers", responses=problems(), tags=["What there is"])
async def all_servers(
    supervisor: NamedDependency[RunSupervisor],
    runs: Annotated[int, QueryParameter(ge=1, le=200, description="How many runs to read, newest first.")] = 50,
) -> AllServers:
    """The servers that runs made or keep, according to their journals."""
    rows = [row for row in await supervisor.summaries() if row.steps and row.status is not RunState.ROLLED_BACK]
    found: list[PlacedServer] = []
    for row in rows[:runs]:
        feed = await supervisor.feeds.find(row.run)
        found += [PlacedServer(row.run, server) for server in servers(feed.run, SERVERS_MAX)[0]]
    return AllServers(tuple(found), max(0, len(rows) - runs))


HANDLERS: Sequence[Any] = (all_servers, look, destroy)
