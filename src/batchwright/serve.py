"""The room above the doors: `batchwright serve` is typed at one and opens the other two, and none knows another."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from batchwright.cli.exit_codes import Exit
from batchwright.cli.options import Sim, Simulate, StateDir, settings_of, simulation_of
from batchwright.cli.output import say
from batchwright.errors import FleetPackageMissing, ServicePackageMissing, UsageError
from batchwright.views.text_format import counted

if TYPE_CHECKING:
    from litestar.types import ASGIApp

    from batchwright.app.settings import Settings
    from batchwright.service.run_dispatcher import RunDispatcher
    from batchwright.service.run_supervisor import RunSupervisor
    from batchwright.service.security_summary import SecuritySummary

GRACE = 20.0
SUBMIT_RATE = 20.0

Host = Annotated[str, typer.Option("--host", help="The address to listen on; any but loopback requires a token.")]
Port = Annotated[int, typer.Option("--port", min=0, max=65535, help="0: any free port.")]
Grace = Annotated[float, typer.Option("--grace", min=0.0, help="Seconds that calls in flight may take at shutdown.")]
SubmitRate = Annotated[
    float, typer.Option("--submit-rate", min=0.01, help="Workflows that one caller may submit per second.")
]
TlsCert = Annotated[Path | None, typer.Option("--tls-cert", metavar="FILE", help="TLS certificate chain (PEM file).")]
TlsKey = Annotated[
    Path | None, typer.Option("--tls-key", metavar="FILE", help="Private key of the certificate (PEM file).")
]
RootPath = Annotated[
    str,
    typer.Option("--root-path", metavar="PATH", help="The path of a proxy that passes addresses on unchanged: /batch."),
]
AllowApply = Annotated[
    bool,
    typer.Option(
        "--allow-apply",
        help="Language models at /mcp may propose changes, and carry out what a person has approved.",
    ),
]
AllowCommands = Annotated[
    bool,
    typer.Option(
        "--allow-commands",
        help="Accept workflows that run programs, with a token or over the service's own socket: every client can "
        "then do everything that this user can.",
    ),
]


def serve(
    host: Host = "127.0.0.1",
    port: Port = 9090,
    grace: Grace = GRACE,
    submit_rate: SubmitRate = SUBMIT_RATE,
    tls_cert: TlsCert = None,
    tls_key: TlsKey = None,
    allow_commands: AllowCommands = False,
    allow_apply: AllowApply = False,
    root_path: RootPath = "",
    simulate: Simulate = False,
    sim: Sim = None,
    state_dir: StateDir = None,
) -> int:
    """Run the service: it drives runs, accepts new ones over HTTP, and continues all that are unfinished."""
    if (tls_cert is None) is not (tls_key is None):
        raise UsageError("--tls-cert and --tls-key must be given together", hint="Give both.")
    root = "/" + root_path.strip("/") if root_path.strip("/") else ""
    try:
        from batchwright.api import server
        from batchwright.dashboard.page_middleware import Page
        from batchwright.service.stderr_log import log_to_stderr
    except ModuleNotFoundError as error:
        raise ServicePackageMissing(f"the service needs the package {error.name}, which is not installed") from error
    settings = settings_of(state_dir)
    simulation = simulation_of(simulate, sim)
    options = server.ServeOptions(
        host, port, grace, submit_rate, tls_cert, tls_key, simulation, allow_commands, _dispatcher(settings), root
    )
    log_to_stderr()

    def told(url: str, rights: SecuritySummary) -> None:
        say(f"batchwright serves {url} from {settings.state_dir}")
        say(rights.line())
        say(f"the page: {url}/ (open it signed in: batchwright open)   documentation: {url}/docs")
        say("stop it with Ctrl-C; unfinished runs continue when it is started again")

    left = asyncio.run(server.serve(settings, options, told, Page, _tools(allow_apply)))
    if left:
        say(f"stopped; {counted(left, 'run')} will continue when it is started again")
    return Exit.OK


def _dispatcher(settings: Settings) -> RunDispatcher | None:
    """What has runs driven by workers, if the service is not to drive them itself."""
    if settings.service.engine == "embedded":
        return None
    try:
        from batchwright.fleet.temporal_dispatcher import TemporalDispatcher
    except ModuleNotFoundError as error:
        raise FleetPackageMissing(f'engine = "temporal" needs the package {error.name}') from error
    assert settings.temporal is not None  # the settings were checked
    return TemporalDispatcher(settings.temporal)


def _tools(allow_apply: bool) -> Callable[[ASGIApp, RunSupervisor], ASGIApp] | None:
    """What answers language models, if the package for that is installed."""
    if find_spec("mcp") is None:
        if allow_apply:
            raise ServicePackageMissing("--allow-apply needs the package mcp", hint="pip install 'batchwright[mcp]'")
        return None
    from batchwright.mcp.endpoint import McpEndpoint

    return lambda calls, supervisor: McpEndpoint(calls, supervisor.settings, apply=allow_apply)
