"""`/mcp` of the service: the tools with the rights of the caller's own token."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any, TypeVar

from batchwright.api.auth_middleware import REFUSAL
from batchwright.api.authentication import REFUSED, Caller
from batchwright.api.problems import refuse
from batchwright.client.http import HttpClient
from batchwright.errors import BatchwrightError, ServiceBusy, Unauthorized
from batchwright.mcp.loopback import NAME, LoopbackTransport
from batchwright.mcp.plan_change import ChangePlanner
from batchwright.mcp.tool_calls import ToolCalls

if TYPE_CHECKING:
    from litestar.types import ASGIApp, Receive, Scope, Send

    from batchwright.app.settings import Settings
    from batchwright.client.base import Client

PATH = "/mcp"
BODY_MOST = 1_500_000  # bytes of a request, which may hold a workflow
CALLERS_MOST, THREADS = 64, 4  # requests at a time, most of which wait; and what they do beside the event loop

T = TypeVar("T")


class McpEndpoint:
    """Stands before the calls of the service, which answer what tools ask on behalf of the caller.

    Every request is served on its own, with no session, so that a restart is not noticed.
    """

    def __init__(self, app: ASGIApp, settings: Settings, *, apply: bool) -> None:
        self._app = app
        self._settings = settings
        self._apply = apply
        self._key = b""
        self._busy = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["path"] != PATH:
            await self._app(scope, receive, send)
            return
        try:
            caller = self._caller(scope)
        except BatchwrightError as error:
            await refuse(error, scope, send)
            return
        self._busy += 1
        try:
            await self._serve(caller, scope, receive, send)
        finally:
            self._busy -= 1

    def _caller(self, scope: Scope) -> Caller:
        """Who asks. Raises what was found to be wrong with it, and ServiceBusy."""
        state = scope["state"]
        if state[REFUSAL] is not None:
            raise state[REFUSAL]
        caller: Caller | None = state["caller"]
        if caller is None:
            raise state.get(REFUSED) or Unauthorized("this request needs a token")
        if self._busy >= CALLERS_MOST:
            raise ServiceBusy(f"{CALLERS_MOST} requests of {PATH} are being answered", hint="Try again in a moment.")
        return caller

    async def _serve(self, caller: Caller, scope: Scope, receive: Receive, send: Send) -> None:
        loop = asyncio.get_running_loop()
        client = HttpClient(NAME, transport=LoopbackTransport(self._app, scope, loop))

        def call(work: Callable[[Client], T]) -> Awaitable[T]:
            return loop.run_in_executor(_threads(), work, client)

        # imported beside the event loop, at the first request: it takes most of a second
        sdk, manager = await asyncio.to_thread(_sdk)
        planner = ChangePlanner(None, proposes=self._apply)
        calls = ToolCalls(call, planner, time.monotonic, apply=self._apply)
        self._key = self._key or await asyncio.to_thread(sdk.state_key, self._settings.state_dir)
        served = manager.StreamableHTTPSessionManager(
            sdk.sdk_server(calls, self._key, caller.principal.id),
            json_response=True,
            stateless=True,
            max_request_body_size=BODY_MOST,
        )
        async with served.run():
            await served.handle_request(scope, receive, send)


def _sdk() -> tuple[Any, Any]:
    return import_module("batchwright.mcp.sdk_server"), import_module("mcp.server.streamable_http_manager")


@cache
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(THREADS, "mcp")
