"""Prometheus metrics: figures from the stores about all runs, and measurements of this process."""

from __future__ import annotations

import time
from collections import Counter as Tally
from collections.abc import Iterator, Sequence

from litestar import Response, get
from litestar.di import NamedDependency
from litestar.enums import ScopeType
from litestar.types import ASGIApp, Message, Receive, Scope, Send
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_1_0_0
from prometheus_client.registry import Collector

from batchwright.api.openapi import problems
from batchwright.app.active_run import ActiveRun
from batchwright.model.lifecycle import RUN_ENDED, RunState
from batchwright.model.run_summary import RunSummary
from batchwright.service.health import HealthMonitor, ServiceHealth
from batchwright.service.run_supervisor import RunSupervisor
from batchwright.views.stats_over_runs import stats_view

METHODS = frozenset({"GET", "HEAD", "POST", "OPTIONS", "PUT", "PATCH", "DELETE"})  # a client may invent others
APPEND_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0)


class _Runs(Collector):
    """The figures that follow from the runs' summaries, as of the last scrape."""

    def __init__(self) -> None:
        self.rows: Sequence[RunSummary] = ()

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics, as Prometheus calls it."""
        by_status = Tally(row.status for row in self.rows)
        runs = GaugeMetricFamily("batchwright_runs", "Runs by status", labels=["status"])
        for state in RunState:
            runs.add_metric([state.value], by_status[state])
        yield runs
        asked = sum(row.asks for row in self.rows if row.status not in RUN_ENDED)
        yield GaugeMetricFamily("batchwright_open_questions", "Questions of runs that people have not answered", asked)
        stats = stats_view(self.rows)
        steps = GaugeMetricFamily("batchwright_steps", "Steps of all runs by state", labels=["state"])
        for outcome in ("succeeded", "failed", "skipped", "undone"):
            steps.add_metric([outcome], getattr(stats, outcome))
        yield steps
        for name in ("retries", "throttles"):
            told = CounterMetricFamily(
                f"batchwright_{name}", f"{name.title()} of all runs by provider", labels=["provider"]
            )
            for provider in stats.providers:
                told.add_metric([provider.name], getattr(provider, name))
            yield told


class Metrics:
    """The metrics of one service, in a registry of their own."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._runs = _Runs()
        self._registry.register(self._runs)
        own = self._registry
        self._append = Histogram(
            "batchwright_store_append_seconds", "Durable appends to a journal", registry=own, buckets=APPEND_BUCKETS
        )
        self._store = Gauge("batchwright_store_read_seconds", "Time of the last store read", ["store"], registry=own)
        self._store_up = Gauge("batchwright_store_up", "Whether a store answers", ["store"], registry=own)
        self._lag = Gauge("batchwright_event_loop_lag_seconds", "Worst lag of the event loop lately", registry=own)
        self._driven = Gauge("batchwright_driven_runs", "Runs that this process drives", registry=own)
        self._undriven = Gauge(
            "batchwright_undriven_runs", "Unfinished runs that this process does not drive", registry=own
        )
        self._readers = Gauge("batchwright_progress_readers", "Clients that follow live progress", registry=own)
        self._still = Gauge("batchwright_still_runs", "Unfinished runs without progress", registry=own)
        self._provider = Gauge(
            "batchwright_provider_up", "Whether a provider in use answers", ["provider", "account"], registry=own
        )
        self._latency = Gauge(
            "batchwright_provider_latency_seconds", "Time of the last probe", ["provider", "account"], registry=own
        )
        self._requests = Counter(
            "batchwright_http_requests", "Requests by call and status", ["method", "path", "status"], registry=own
        )
        self._seconds = Histogram(
            "batchwright_http_seconds", "Time until the response began, by call", ["method", "path"], registry=own
        )

    def appended(self, driven: ActiveRun) -> None:
        """Count an append that a driver made durable."""
        if driven.driver is not None:
            self._append.observe(driven.driver.append_seconds)

    def answered(self, method: str, path: str, status: int, seconds: float) -> None:
        """Count an answered request and its time in seconds."""
        self._requests.labels(method, path, str(status)).inc()
        self._seconds.labels(method, path).observe(seconds)

    def page(self, rows: Sequence[RunSummary], health: ServiceHealth) -> tuple[bytes, str]:
        """The metrics page and its media type."""
        self._runs.rows = rows
        self._lag.set(health.event_loop_lag_seconds)
        self._driven.set(health.driven)
        self._undriven.set(health.undriven)
        self._readers.set(health.readers)
        self._still.set(len(health.still))
        for store in health.stores:
            self._store.labels(store.name).set(store.latency_seconds)
            self._store_up.labels(store.name).set(store.ok)
        self._provider.clear()
        self._latency.clear()
        for provider in health.providers:
            self._provider.labels(provider.name, provider.account).set(provider.ok)
            self._latency.labels(provider.name, provider.account).set(provider.latency_seconds)
        return generate_latest(self._registry), CONTENT_TYPE_PLAIN_1_0_0


class MetricsMiddleware:
    """Counts and times every request. All unknown paths count as one, so that the labels stay few."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != ScopeType.HTTP:
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                path = scope.get("path_template") or "other"
                took = time.perf_counter() - began
                method = scope["method"] if scope["method"] in METHODS else "other"
                self._metrics.answered(method, path, message["status"], took)
            await send(message)

        await self._app(scope, receive, sending)


@get("/metrics", media_type="text/plain", responses=problems(), tags=["Service"])
async def metrics(
    supervisor: NamedDependency[RunSupervisor],
    monitor: NamedDependency[HealthMonitor],
    metrics: NamedDependency[Metrics],
) -> Response[bytes]:
    """The Prometheus metrics of the service."""
    body, media_type = metrics.page(await supervisor.summaries(), monitor.health())
    return Response(body, media_type=media_type)
