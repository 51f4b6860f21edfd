"""Calls about the health of the service."""

from __future__ import annotations

from litestar import Response, get
from litestar.di import NamedDependency
from msgspec import Struct

from batchwright.api.openapi import problems
from batchwright.service.health import HealthMonitor, ServiceHealth


class Alive(Struct, frozen=True):
    """The process is alive, or ready for work."""

    status: str


@get("/health", responses=problems(), tags=["Service"])
async def health(monitor: NamedDependency[HealthMonitor]) -> ServiceHealth:
    """The health of the service: stores, event loop, providers in use, and stalled runs with the reason."""
    return monitor.health()


@get("/health/live", opt={"role": None}, tags=["Service"])
async def live() -> Alive:
    """The process answers."""
    return Alive("ok")


@get("/health/ready", opt={"role": None}, responses=problems(), tags=["Service"])
async def ready(monitor: NamedDependency[HealthMonitor]) -> Response[Alive]:
    """Whether the service accepts work: 503 if not."""
    return Response(Alive("ok" if monitor.ready else "not ready"), status_code=200 if monitor.ready else 503)
