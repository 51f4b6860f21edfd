"""Calls about the service itself: health, metrics, its providers and task services, the documentation."""

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
    """The process answers, or takes work."""

    status: str


class Providers(Struct, frozen=True):
    """The providers that are installed here."""

    providers: list[ProviderOffer]


class Taskservs(Struct, frozen=True):
    """The task services that can be installed."""

    taskservs: list[Taskserv]


@get("/health", responses=problems(), tags=["Service"])
async def health(monitor: NamedDependency[HealthMonitor]) -> ServiceHealth:
    """How the service is: stores, event loop, the providers in use, and runs that do not move with the reason."""
    return monitor.health()


@get("/health/live", opt={"role": None}, tags=["Service"])
async def live() -> Alive:
    """The process answers."""
    return Alive("ok")


@get("/health/ready", opt={"role": None}, responses=problems(), tags=["Service"])
async def ready(monitor: NamedDependency[HealthMonitor]) -> Response[Alive]:
    """Whether work is taken: 503 while it is not."""
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
    """The providers that are installed here, and what each promises; none is contacted."""
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
    """Leads a browser to what there is to see; the address is relative, so that it holds under a sub-path too."""
    return Response(b"", status_code=307, headers={"Location": "docs"})


@get("/docs", opt={"role": None}, include_in_schema=False)
async def page() -> Response[bytes]:
    """A page that shows the document; it loads nothing from anywhere else."""
    body = files("batchwright.api").joinpath("docs.html").read_bytes()
    return Response(body, media_type="text/html; charset=utf-8", headers={"Content-Security-Policy": page_policy(body)})


HANDLERS: Sequence[Any] = (health, live, ready, metrics, providers, taskservs, openapi, front, page)
