"""Runs uvicorn around the application, with a shutdown that lets calls in flight finish."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import uvicorn
from litestar.types import ASGIApp
from msgspec import Struct
from msgspec.structs import replace

from batchwright.api import local_socket, systemd
from batchwright.api.admission_control import READERS, Bounds
from batchwright.api.app import SUBMIT_RATE, Page, make_app
from batchwright.api.connection_limits import SWEEP_SECONDS, Acceptor, Connections, TimeoutProtocol, most_connections
from batchwright.api.progress import EventFrames
from batchwright.app.access_tokens import Tokens
from batchwright.app.settings import Settings
from batchwright.app.system_clock import SystemClock
from batchwright.errors import AddressRefused
from batchwright.journal.store_folder import make_private
from batchwright.model.scalar import Scalar
from batchwright.resource_exhaustion import raise_descriptors
from batchwright.service.health import HealthMonitor
from batchwright.service.peer_credentials import is_loopback
from batchwright.service.run_dispatcher import RunDispatcher
from batchwright.service.run_supervisor import RunSupervisor
from batchwright.service.security_summary import SecuritySummary, confined
from batchwright.service.shared_access import first_look, shared_access

CLOSING_SECONDS = 3  # for responses that are still being written when everything else has stopped

log = logging.getLogger("batchwright.service")


class ServeOptions(Struct, frozen=True):
    """Where and how to listen. `grace` is how many seconds calls in flight may take when the service stops.

    With `simulation` everything that is submitted is simulated; without `commands` workflows may not run programs.
    `dispatcher`: see RunSupervisor.
    """

    host: str = "127.0.0.1"
    port: int = 9090
    grace: float = 20.0
    submit_rate: float = SUBMIT_RATE
    tls_cert: Path | None = None
    tls_key: Path | None = None
    simulation: dict[str, Scalar] | None = None
    commands: bool = False
    dispatcher: RunDispatcher | None = None
    root: str = ""  # a path under which all of it lies too


class ServiceServer(uvicorn.Server):
    """A uvicorn server without signal handling: stopping begins with the runs, not with the connections."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture no signals."""
        yield

    def __init__(self, config: uvicorn.Config, connections: Connections) -> None:
        super().__init__(config)
        self.answers = asyncio.Event()
        self._bounds = connections

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to listen, and report the address."""
        of_uvicorn = {"config": self.config, "server_state": self.server_state, "app_state": {}}

        def make(address: str) -> TimeoutProtocol:
            return TimeoutProtocol(self._bounds, address, **of_uvicorn)

        def accepted(sock: socket.socket) -> Acceptor:
            return Acceptor(sock, self._bounds, make, None if is_unix(sock) else self.config.ssl)

        self.servers = [accepted(sock) for sock in sockets or ()]  # type: ignore[misc]
        self.started = True
        self.answers.set()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Shut down. Connections that did not end in time are cut off."""
        await super().shutdown(sockets)
        for one in list(self.server_state.connections):
            if isinstance(one, TimeoutProtocol):
                one.drop("the service has stopped")
        await asyncio.sleep(0)  # the event loop closes a connection that was cut off in its next turn

    async def on_tick(self, counter: int) -> bool:
        """Called by uvicorn ten times a second. Once a second all connections are swept."""
        if counter % int(SWEEP_SECONDS * 10) == 0:
            now = time.monotonic()
            for one in list(self.server_state.connections):
                if isinstance(one, TimeoutProtocol):
                    one.sweep(now)
        return await super().on_tick(counter)


def is_unix(sock: socket.socket) -> bool:
    """Whether it is a Unix socket, which only processes of this machine reach."""
    return sock.family == getattr(socket, "AF_UNIX", None)


def listening(settings: Settings, options: ServeOptions, passed: socket.socket | None = None) -> socket.socket:
    """The bound socket, or the one that systemd passed. Raises AddressRefused, TokensUnreadable, StoreError."""
    _refuse_open_folder(settings)
    if passed is not None:
        _refuse_without_tokens(settings, options.host)
        return passed
    try:
        family, kind, number, _, address = socket.getaddrinfo(options.host, options.port, type=socket.SOCK_STREAM)[0]
        _refuse_without_tokens(settings, str(address[0]))
        sock = socket.socket(family, kind, number)
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind(address)
        except OSError:
            sock.close()
            raise
    except OSError as error:
        words = error.strerror or str(error)
        hint = "Another one may be running already; choose another with --port."
        raise AddressRefused(f"cannot listen on {options.host} port {options.port}: {words}", hint=hint) from error
    return sock


def _refuse_without_tokens(settings: Settings, host: str) -> None:
    """Refuse to serve anybody but this user before there are tokens. Raises AddressRefused, TokensUnreadable."""
    if Tokens(settings).all():
        return
    hint = "Create one first: batchwright token create --role operator."
    if not is_loopback(host):
        raise AddressRefused(
            f"without tokens the service only listens on this machine, not on {host}",
            hint=f"{hint} TLS belongs in front of the service, or give it --tls-cert and --tls-key.",
        )
    if settings.service.trusted_proxies:
        raise AddressRefused("without tokens the service cannot tell who asks through a proxy", hint=hint)


def _refuse_open_folder(settings: Settings) -> None:
    """Refuse a state folder that others can write: they could put plans, tokens and programs into it.

    Raises AddressRefused, StoreError.
    """
    make_private(settings.state_dir)
    found = settings.state_dir.stat()
    if found.st_uid not in (os.geteuid(), 0) or found.st_mode & 0o022:
        raise AddressRefused(
            f"others can write to {settings.state_dir} and could take over the service",
            hint=f"chmod 700 {settings.state_dir}, or use --state-dir with a folder of this user.",
        )


def url_of(sock: socket.socket, options: ServeOptions) -> str:
    """The URL of the service."""
    host = f"[{options.host}]" if ":" in options.host else options.host
    return f"{'https' if options.tls_cert else 'http'}://{host}:{sock.getsockname()[1]}"


async def serve(
    settings: Settings,
    options: ServeOptions,
    told: Callable[[str, SecuritySummary], None],
    page: Page | None = None,
    tools: Page | None = None,
) -> int:
    """Serve until SIGTERM or SIGINT; a second one stops at once. Returns how many runs have to be resumed.

    `told` is called with the address and who has access, once the service answers; `page` and `tools`: see
    make_app.
    """
    await first_look(settings, SystemClock())
    passed = systemd.passed_socket(os.environ)
    if passed is not None:
        options = replace(options, host=passed.getsockname()[0])
    with listening(settings, options, passed) as sock, local_socket.listening(settings.state_dir) as own:
        if own is None:
            log.warning("another service of %s already listens on its socket; this one does not", settings.state_dir)
            if options.commands and not Tokens(settings).all():
                raise AddressRefused(
                    "--allow-commands needs a token, because another service uses the folder's socket",
                    hint="Stop that one, or create a token: batchwright token create --role operator",
                )
        return await _serve(settings, options, told, page, tools, [sock, *([own] if own is not None else [])])


async def _serve(
    settings: Settings,
    options: ServeOptions,
    told: Callable[[str, SecuritySummary], None],
    page: Page | None,
    tools: Page | None,
    sockets: list[socket.socket],
) -> int:
    sock = sockets[0]
    closed = not is_loopback(sock.getsockname()[0]) or bool(settings.service.trusted_proxies)
    clock = SystemClock()
    connections = Connections(most_connections(raise_descriptors()))
    made = RunSupervisor(
        *(settings, clock, EventFrames(), options.simulation),
        commands=options.commands,
        dispatcher=options.dispatcher,
    )
    async with (
        made as supervisor,
        HealthMonitor(supervisor) as monitor,
        shared_access(settings, supervisor.stores, clock) as shared,
    ):
        bounds = Bounds(readers=min(READERS, connections.most // 2))
        app = make_app(
            supervisor,
            monitor,
            submit_rate=options.submit_rate,
            bounds=bounds,
            closed=closed,
            confined=await asyncio.to_thread(confined),
            address=url_of(sock, options),
            page=page,
            tools=tools,
            root=options.root,
            shared=shared,
        )
        server = ServiceServer(_config(app, options), connections)
        if not is_loopback(sock.getsockname()[0]) and options.tls_cert is None and not settings.service.trusted_proxies:
            log.warning("requests and tokens are not encrypted: put TLS in front, or use --tls-cert and --tls-key")
        serving = asyncio.create_task(server.serve(sockets=sockets))
        await _first(serving, server.answers)
        gc.freeze()  # full collections need not visit the objects of the program itself
        told(url_of(sock, options), monitor.rights())
        systemd.notify("READY=1", os.environ)
        with _signals() as stop:
            await _first(serving, stop)
            stop.clear()
            systemd.notify("STOPPING=1", os.environ)
            stopping = asyncio.create_task(supervisor.stop(options.grace))
            log.info("stopping: calls in flight have %g s to finish", options.grace)
            await _first(stopping, stop)
            stopping.cancel()
            left = await supervisor.stop(0.0)
        server.should_exit = True
        await serving
    return left


def _config(app: ASGIApp, options: ServeOptions) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        server_header=False,
        lifespan="off",
        ws="none",
        proxy_headers=False,
        timeout_graceful_shutdown=CLOSING_SECONDS,
        ssl_certfile=options.tls_cert,
        ssl_keyfile=options.tls_key,
    )


@contextlib.contextmanager
def _signals() -> Iterator[asyncio.Event]:
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    try:
        yield stop
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)


async def _first(task: asyncio.Task[object] | asyncio.Task[None] | asyncio.Task[int], stop: asyncio.Event) -> None:
    asked = asyncio.create_task(stop.wait())
    await asyncio.wait({task, asked}, return_when=asyncio.FIRST_COMPLETED)
    asked.cancel()
