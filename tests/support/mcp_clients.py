"""The official SDK's own client, connected to our server over HTTP or to the command over its pipes."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from batchwright.mcp.endpoint import McpEndpoint
from batchwright.service.run_supervisor import RunSupervisor
from tests.support.service_in_loop import Serving, serving

if TYPE_CHECKING:
    from mcp import Client  # imported late below: it takes half a second of CPU, which each worker would pay


@contextlib.asynccontextmanager
async def serving_tools(folder: Path, *, apply: bool = False, **options: Any) -> AsyncIterator[Serving]:
    """A service with `/mcp`."""

    def tools(calls: Any, supervisor: RunSupervisor) -> Any:
        return McpEndpoint(calls, supervisor.settings, apply=apply)

    async with serving(folder, tools=tools, **options) as service:
        yield service


@contextlib.asynccontextmanager
async def over_http(url: str, secret: str = "", mode: str = "auto", **options: Any) -> AsyncIterator[Client]:
    """A client with this token."""
    import httpx2
    from mcp import Client
    from mcp.client.streamable_http import streamable_http_client

    headers = {"Authorization": f"Bearer {secret}"} if secret else {}
    async with (
        httpx2.AsyncClient(headers=headers, timeout=60.0, trust_env=False) as http,
        Client(streamable_http_client(f"{url}/mcp", http_client=http), mode=mode, **options) as client,
    ):
        yield client


@contextlib.asynccontextmanager
async def over_pipes(*words: str, env: Mapping[str, str], mode: str = "auto") -> AsyncIterator[Client]:
    """A client that has started `batchwright mcp`."""
    from mcp import Client
    from mcp.client.stdio import StdioServerParameters, stdio_client

    command = StdioServerParameters(command=sys.executable, args=["-m", "batchwright", "mcp", *words], env=dict(env))
    async with Client(stdio_client(command), mode=mode) as client:
        yield client


async def told(client: Client, tool: str, **given: Any) -> tuple[bool, str]:
    """Whether a tool failed, and its words."""
    result = await client.call_tool(tool, given)
    [content] = result.content
    return bool(result.is_error), content.text  # type: ignore[union-attr]
