"""Destroys one server by hand."""

from __future__ import annotations

from msgspec import Struct

from batchwright.app.adapters import SharedWorld
from batchwright.app.live_servers import Servers
from batchwright.app.multi_store import Stores
from batchwright.app.settings import Settings
from batchwright.model.clock import Clock
from batchwright.model.fault import Fault
from batchwright.model.scalar import SimulationSettings


class ServerDestroyResult(Struct, frozen=True):
    """The result of a destroy: `fault` says why the server still exists. `stays`: it was only released."""

    gone: bool
    stays: bool
    fault: Fault | None = None


async def destroy_server(
    settings: Settings,
    stores: Stores,
    clock: Clock,
    ref: str,
    simulation: SimulationSettings | None = None,
    world: SharedWorld | None = None,
    *,
    anyway: bool,
) -> ServerDestroyResult:
    """Destroy the server with this reference or name, after a fresh read of all; every store must be readable.

    Raises ServerNotFound, StoreError, and NotAllowed if its run has not ended, unless `anyway`.
    """
    async with Servers(settings, stores, clock, simulation, world) as servers:
        await servers.look(partial=False)
        found = servers.result().named(ref)
        if not anyway:
            found.refuse_in_use()
        fault = await servers.destroy(found)
    return ServerDestroyResult(fault is None, found.stays, fault)
