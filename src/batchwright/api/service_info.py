"""Calls about the service itself: health, metrics, providers, task services, documentation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib.resources import files
from typing import Any

from litestar import Response, get
from litestar.di import NamedDependency
from msgspec import Struct

from batchwright.api.metrics import Metrics
from batchwright.api.openapi import problems
from batchwright.api.security_headers import page_policy
from batchwright.app.offerings import ProviderOffer, provider_offers, taskserv_offers
from batchwright.model.taskserv import Taskserv
from batchwright.service.health import HealthMonitor, ServiceHealth
from batchwright.service.run_supervisor import RunSupervisor


class Alive(Struct, frozen=True):
    """The process is alive, or ready for work."""

    status: str


class Providers(Struct, frozen=True):
    """The installed providers."""

    providers: list[ProviderOffer]


class Taskservs(Struct, frozen=True):
    """The task services that can be installed."""

    taskservs: list[Taskserv]


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


@get("/metrics", media_type="text/plain", responses=problems(), tags=["Service"])
async def metrics(
    orchestrator: NamedDependency[RunSupervisor],
    monitor: NamedDependency[HealthMonitor],
    metrics: NamedDependency[Metrics],
) -> Response[bytes]:
    """Prometheus metrics."""
    body, media_type = metrics.page(await orchestrator.summaries(), monitor.health())
    return Response(body, media_type=media_type)


@get("/v1/providers", sync_to_thread=True, responses=problems(), tags=["What there is"])
def providers(orchestrator: NamedDependency[RunSupervisor]) -> Providers:
    """The installed providers and what each supports. None is contacted."""
    return Providers(provider_offers(orchestrator.settings.providers))


@get("/v1/taskservs", sync_to_thread=True, responses=problems(), tags=["What there is"])
def taskservs(orchestrator: NamedDependency[RunSupervisor]) -> Taskservs:
    """The task services that can be installed."""
    return Taskservs(taskserv_offers(orchestrator.settings))


@get("/openapi.json", opt={"role": None}, include_in_schema=False)
async def openapi(document: NamedDependency[Callable[[], bytes]]) -> Response[bytes]:
    """The OpenAPI 3.1 document."""
    return Response(document(), media_type="application/vnd.oai.openapi+json")


@get("/", opt={"role": None}, include_in_schema=False)
async def front() -> Response[bytes]:
    """Redirect a browser to the documentation. The address is relative, so that it works under a sub-path too."""
    return Response(b"", status_code=307, headers={"Location": "docs"})


@get("/docs", opt={"role": None}, include_in_schema=False)
async def page() -> Response[bytes]:
    """A page that shows the OpenAPI document. It loads nothing from other sites."""
    body = files("batchwright.api").joinpath("docs.html").read_bytes()
    return Response(body, media_type="text/html; charset=utf-8", headers={"Content-Security-Policy": page_policy(body)})


HANDLERS: Sequence[Any] = (health, live, ready, metrics, providers, taskservs, openapi, front, page)
