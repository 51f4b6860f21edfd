"""`batchwright mcp`: the tools for a client of a language model that starts this command itself."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from batchwright.cli.exit_codes import Exit
from batchwright.cli.options import Sim, Simulate, StateDir, equipped, settings_of, simulation_of
from batchwright.cli.target import Url
from batchwright.client.discovery import client_for
from batchwright.client.http import HttpClient
from batchwright.errors import ServicePackageMissing, UsageError

if TYPE_CHECKING:
    from batchwright.client.base import Client
    from batchwright.mcp.tool_calls import ToolCalls

AllowApply = Annotated[
    bool,
    typer.Option("--allow-apply", help="Also offer to carry out changes that a person has approved in a service."),
]
Folder = Annotated[
    Path, typer.Option("--folder", metavar="DIR", help="The folder whose workflow files may be planned.")
]

T = TypeVar("T")


def mcp(
    allow_apply: AllowApply = False,
    folder: Folder = Path(),
    simulate: Simulate = False,
    sim: Sim = None,
    state_dir: StateDir = None,
    url: Url = None,
) -> int:
    """Serve the Model Context Protocol on stdin and stdout, over the local store or a service. It only reads."""
    try:
        from batchwright.mcp.plan_change import NEEDS_SERVICE, ChangePlanner
        from batchwright.mcp.sdk_server import state_key
        from batchwright.mcp.tool_calls import ToolCalls
    except ModuleNotFoundError as error:
        raise ServicePackageMissing(
            f"this command needs the package {error.name}, which is not installed",
            hint="pip install 'batchwright[mcp]'",
        ) from error
    client = client_for(os.environ, url=url, state_dir=state_dir, equipped=equipped)
    if allow_apply and not isinstance(client, HttpClient):
        raise UsageError("--allow-apply needs a service", hint=NEEDS_SERVICE)
    settings = settings_of(state_dir)
    key = state_key(settings.state_dir)
    planner = ChangePlanner(folder, settings, simulation_of(simulate, sim), proposes=allow_apply)
    with ThreadPoolExecutor(1, "client") as thread:  # a local client has an event loop, which stays in its thread
        try:
            thread.submit(client.__enter__).result()

            def call(work: Callable[[Client], T]) -> Awaitable[T]:
                return asyncio.get_running_loop().run_in_executor(thread, work, client)

            asyncio.run(_serve(ToolCalls(call, planner, time.monotonic, apply=allow_apply), key))
        finally:
            thread.submit(client.__exit__, None, None, None).result()
    return Exit.OK


async def _serve(calls: ToolCalls, key: bytes) -> None:
    from mcp.server.stdio import stdio_server

    from batchwright.mcp.sdk_server import sdk_server

    server = sdk_server(calls, key)
    async with stdio_server() as (reader, writer):
        await server.run(reader, writer, server.create_initialization_options())
