"""Puts the service's ASGI application together."""

from __future__ import annotations

from litestar import Litestar
from litestar.di import Provide
from litestar.types import ASGIApp

from batchwright.api import pages, problems, runs, workflows
from batchwright.api.access import Access, Gate, needs
from batchwright.api.bounds import Bounded, Bounds
from batchwright.api.metrics import Measured, Metrics
from batchwright.api.schema import openapi
from batchwright.app.audit import Audit
from batchwright.app.health import Monitor
from batchwright.app.orchestrator import Orchestrator
from batchwright.app.tokens import Tokens
from batchwright.loader.limits import UNTRUSTED

SUBMIT_RATE, SUBMIT_BURST = 20.0, 100  # workflows per second and at once, per caller


def make_app(
    orchestrator: Orchestrator,
    monitor: Monitor,
    *,
    submit_rate: float = SUBMIT_RATE,
    submit_burst: int = SUBMIT_BURST,
    bounds: Bounds | None = None,
) -> ASGIApp:
    """The application over one orchestrator, which is opened and closed elsewhere."""
    clock = orchestrator.clock
    access = Access(Tokens(orchestrator.settings), clock, submit_rate, submit_burst)
    metrics = Metrics()
    bounds = bounds or Bounds()
    orchestrator.observers.append(metrics.appended)
    inner = Litestar(
        [workflows.submit, workflows.validate, workflows.plan, *runs.HANDLERS, *pages.HANDLERS],
        dependencies={
            "orchestrator": Provide(lambda: orchestrator, sync_to_thread=False),
            "monitor": Provide(lambda: monitor, sync_to_thread=False),
            "metrics": Provide(lambda: metrics, sync_to_thread=False),
            "bounds": Provide(lambda: bounds, sync_to_thread=False),
            "access": Provide(lambda: access, sync_to_thread=False),
        },
        guards=[needs],
        exception_handlers=problems.HANDLERS,
        openapi_config=openapi(),
        request_max_body_size=UNTRUSTED.file_bytes,
        logging_config=None,
    )
    gate = Gate(inner, access, Audit(orchestrator.settings), clock)
    return Measured(Bounded(gate, bounds), metrics)
