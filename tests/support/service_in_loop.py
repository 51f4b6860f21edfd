"""The service in the test's own process, on a port that the system chooses, with a client beside it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import uvicorn

from batchwright.api.app import make_app
from batchwright.api.connection_limits import MOST, Connections
from batchwright.api.progress import EventFrames
from batchwright.api.server import ServiceServer
from batchwright.app.allowed_settings import ServiceConfig
from batchwright.app.guardrail_settings import Guardrails
from batchwright.app.settings import ChecksConfig, Settings
from batchwright.app.system_clock import SystemClock
from batchwright.service.health import HealthMonitor
from batchwright.service.run_dispatcher import RunDispatcher
from batchwright.service.run_supervisor import RunSupervisor

RUNS = "/v1/workflows/batch"
FAST = {"answer_seconds": "0.01", "boot_seconds": "0.02", "install_seconds": "0.01", "destroy_seconds": "0.01"}
TRIES = 6_000  # looks at something that is bound to happen


def workflow(name: str = "flow", count: int = 3, store: str = "filesystem", **rest: Any) -> dict[str, Any]:
    """Some servers on a simulated place."""
    configs = [{"name": f"{name}-{i:04d}", "plan": "small", "zone": "zone-a"} for i in range(count)]
    batch = {"id": "web", "type": "server_batch", "provider": "simulated", "server_configs": configs}
    inner = {"name": name, "version": "1", "storage_backend": store, "operations": [batch], **rest}
    return {"batch_workflow": inner}


class Answer:
    """What came back."""

    def __init__(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.status, self.headers, self.body = status, headers, body

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Serving:
    """A running service."""

    def __init__(
        self, url: str, session: aiohttp.ClientSession, supervisor: RunSupervisor, monitor: HealthMonitor
    ) -> None:
        self.url = url
        self.session = session
        self.supervisor = supervisor
        self.monitor = monitor

    async def ask(self, method: str, path: str, **how: Any) -> Answer:
        async with self.session.request(method, self.url + path, **how) as answer:
            return Answer(answer.status, {k.lower(): v for k, v in answer.headers.items()}, await answer.read())

    async def get(self, path: str, **how: Any) -> Answer:
        return await self.ask("GET", path, **how)

    async def post(self, path: str, **how: Any) -> Answer:
        return await self.ask("POST", path, **how)

    async def submit(self, definition: dict[str, Any], key: str = "", **sim: Any) -> Answer:
        params = [("simulate", "true"), *(("sim", f"{k}={v}") for k, v in {**FAST, **sim}.items())]
        headers = {"Idempotency-Key": key} if key else {}
        return await self.post(f"{RUNS}/submit", params=params, json=definition, headers=headers)

    async def until(self, run: str, *states: str) -> dict[str, Any]:
        """Look until the run is in one of these states."""
        for _ in range(TRIES):
            view: dict[str, Any] = (await self.get(f"{RUNS}/{run}")).json
            if view["status"] in states:
                return view
            await asyncio.sleep(0.02)
        raise AssertionError(f"{run} is {view['status']}, not {states}")

    async def events(self, run: str) -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = (await self.get(f"{RUNS}/{run}/events", params={"limit": 1000})).json["items"]
        return items


@contextlib.asynccontextmanager
async def serving(
    folder: Path,
    connections: Connections | None = None,
    *,
    service: ServiceConfig | None = None,
    checks: ChecksConfig = ChecksConfig(),  # noqa: B008 - frozen
    commands: bool = False,
    guardrails: Guardrails = Guardrails(),  # noqa: B008 - frozen
    dispatcher: RunDispatcher | None = None,
    **options: Any,
) -> AsyncIterator[Serving]:
    """A service over the state folder; leaving it stops it at once, as SIGTERM with no grace does."""
    settings = Settings(folder, service=service or ServiceConfig(), guardrails=guardrails, checks=checks)
    clock = SystemClock()
    made = RunSupervisor(settings, clock, EventFrames(), commands=commands, dispatcher=dispatcher)
    async with made as supervisor, HealthMonitor(supervisor) as monitor:
        app = make_app(supervisor, monitor, **options)
        config = uvicorn.Config(app, log_config=None, lifespan="off", ws="none", timeout_graceful_shutdown=2)
        # With its protocol, as in api/server.py: asyncio sets TCP_NODELAY on such sockets only, and without that each
        # answer of a connection waits 40 ms for an acknowledgement.
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
        server = ServiceServer(config, connections or Connections(MOST))
        task = asyncio.create_task(server.serve([sock]))
        await server.answers.wait()
        try:
            # shorter than the service keeps an idle connection: one that it closes is never used again
            connector = aiohttp.TCPConnector(keepalive_timeout=1.0)
            async with aiohttp.ClientSession(connector=connector) as session:
                yield Serving(f"http://127.0.0.1:{port}", session, supervisor, monitor)
        finally:
            await supervisor.stop(0.0)
            server.should_exit = True
            await task
