"""Builds the ASGI application of the service."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache, partial
from typing import Any

import msgspec
from litestar import Litestar
from litestar.di import Provide
from litestar.handlers import HTTPRouteHandler
from litestar.types import ASGIApp, Receive, Scope, Send

from batchwright.api import (
    administration,
    agents,
    approvals,
    documentation,
    environments,
    health,
    metrics,
    problems,
    proposals,
    providers,
    rehearsals,
    run_actions,
    run_drawings,
    run_explanations,
    run_queries,
    run_steps,
    servers,
    sessions,
    submissions,
    taskservs,
    webhooks,
    workflows,
)
from batchwright.api.admission_control import Bounds, BoundsMiddleware, RateLimits
from batchwright.api.audit_middleware import AuditMiddleware
from batchwright.api.auth_middleware import AuthMiddleware, RefusalMiddleware
from batchwright.api.authentication import Authenticator
from batchwright.api.authorization import needs
from batchwright.api.forwarded import ForwardedMiddleware
from batchwright.api.metrics import Metrics, MetricsMiddleware
from batchwright.api.openapi import as_any_of, openapi
from batchwright.api.root_path import RootPathMiddleware
from batchwright.api.unknown_parameters import known_parameters_only
from batchwright.app.access_tokens import Tokens
from batchwright.app.browser_sessions import BrowserSessions
from batchwright.app.shared_tokens import records_of
from batchwright.loader.limits import UNTRUSTED
from batchwright.service.audit import Audit, AuditTrail
from batchwright.service.health import HealthMonitor
from batchwright.service.run_history_cache import RunHistories
from batchwright.service.run_supervisor import RunSupervisor
from batchwright.service.security_summary import rights
from batchwright.service.shared_access import SharedAccess
from batchwright.service.shared_audit import SharedAudit

SUBMIT_RATE, SUBMIT_BURST = 20.0, 100  # workflows per second, and in one burst, per caller
HANDLERS: Sequence[HTTPRouteHandler] = (
    *(submissions.submit, workflows.validate, workflows.plan),
    *(*run_queries.HANDLERS, *run_actions.HANDLERS, *environments.HANDLERS, *servers.HANDLERS),
    *(*webhooks.HANDLERS, *approvals.HANDLERS, *sessions.HANDLERS, *run_drawings.HANDLERS, *run_steps.HANDLERS),
    *(*run_explanations.HANDLERS, *administration.HANDLERS, *agents.HANDLERS, *proposals.HANDLERS),
    *(health.health, health.live, health.ready, metrics.metrics, providers.providers),
    *(taskservs.taskservs, taskservs.taskserv_places),
    *rehearsals.HANDLERS,
    *documentation.HANDLERS,
)
# what handlers can receive
NAMES = ["supervisor", "histories", "monitor", "metrics", "bounds", "access", "rates", "document", "address"]
RECEIVED = "received"  # key in a request's state: these, by name
Page = Callable[[ASGIApp, RunSupervisor], ASGIApp]  # stands before the calls
LOOKS = [path for handler in HANDLERS if handler.opt.get("changes") is False for path in handler.paths]


@cache
def described() -> bytes:
    """The OpenAPI document, as JSON bytes. A separate application that serves nothing generates it."""
    nothing = {name: Provide(lambda: None, sync_to_thread=False) for name in NAMES}
    told = openapi()  # its own logging_config would print every log line twice
    application = Litestar(HANDLERS, dependencies=nothing, openapi_config=told, logging_config=None)
    return msgspec.json.encode(as_any_of(application.openapi_schema.to_schema()))


def _received(name: str) -> Provide:
    def received(scope: Scope) -> Any:
        return scope["state"][RECEIVED][name]

    return Provide(received, sync_to_thread=False)


@cache
def _calls() -> Litestar:
    """The calls of every service. What a service's handlers receive comes with each request."""
    return Litestar(
        HANDLERS,
        dependencies={name: _received(name) for name in NAMES},
        guards=[needs, known_parameters_only],
        exception_handlers=problems.HANDLERS,
        openapi_config=None,  # otherwise the framework adds pages that load scripts from other sites
        request_max_body_size=UNTRUSTED.file_bytes,
        logging_config=None,
    )


def make_app(
    supervisor: RunSupervisor,
    monitor: HealthMonitor,
    *,
    submit_rate: float = SUBMIT_RATE,
    submit_burst: int = SUBMIT_BURST,
    bounds: Bounds | None = None,
    closed: bool = False,
    confined: str = "",
    address: str = "",
    page: Page | None = None,
    tools: Page | None = None,
    root: str = "",
    shared: SharedAccess | None = None,
) -> ASGIApp:
    """The application over one supervisor, which is opened and closed elsewhere.

    `closed`: see Authenticator; `confined`: see SecuritySummary; `address` is where people find the page. `page` puts
    the page in front of the calls, and `tools` those of language models; `root` is a path under which all of it lies
    too. `shared` keeps the tokens that services of one store share.
    """
    clock = supervisor.clock
    tokens = Tokens(supervisor.settings)
    if shared is not None:
        tokens.outdated = shared.outdated
    access = Authenticator(tokens, clock, sessions=BrowserSessions(supervisor.settings), closed=closed)
    rates = RateLimits(clock, submit_rate, submit_burst)
    monitor.rights = lambda: rights(supervisor.allowed, tokens, clock.now(), closed=access.closed, confined=confined)
    measured = Metrics()
    bounds = bounds or Bounds()
    histories = RunHistories(clock)
    supervisor.observers.append(measured.appended)
    received = {
        "supervisor": supervisor,
        "histories": histories,
        "monitor": monitor,
        "metrics": measured,
        "bounds": bounds,
        "access": access,
        "rates": rates,
        "document": described,
        "address": address,
    }

    application = _calls()  # made now, and not for the first request

    async def calls(scope: Scope, receive: Receive, send: Send) -> None:
        scope.setdefault("state", {})[RECEIVED] = received
        await application(scope, receive, send)

    inner: ASGIApp = page(calls, supervisor) if page is not None else calls
    bounded = RefusalMiddleware(BoundsMiddleware(inner, bounds))
    trail: AuditTrail = Audit(supervisor.settings)
    if supervisor.settings.postgres is not None:
        trail = SharedAudit(partial(records_of, supervisor.stores))
    audited = AuditMiddleware(bounded, rates, trail, clock, LOOKS)
    known: ASGIApp = tools(audited, supervisor) if tools is not None else audited
    whole: ASGIApp = MetricsMiddleware(AuthMiddleware(known, access), measured)
    if proxies := supervisor.settings.service.trusted_proxies:
        whole = ForwardedMiddleware(whole, proxies)
    return RootPathMiddleware(whole, root) if root else whole
