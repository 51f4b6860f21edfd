"""Requests of a service to itself, as one of its callers: the same routes, rights and audit trail, without a socket."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http import HTTPStatus
from http.client import HTTPMessage, HTTPResponse
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlencode

from batchwright.client.http_transport import HttpTransport, Query

if TYPE_CHECKING:
    from litestar.types import ASGIApp, Scope

NAME = "http://localhost"


class LoopbackAnswer:
    """What of an HTTPResponse its readers use."""

    def __init__(self, status: int, headers: HTTPMessage, body: bytes) -> None:
        self.status, self.headers = status, headers
        self.reason = HTTPStatus(status).phrase
        self.read = io.BytesIO(body).read


class LoopbackTransport(HttpTransport):
    """An HttpTransport that calls an application in its own event loop; to be used in another thread.

    `scope` is the request on whose behalf it asks: its caller, connection and address are those of each call.
    """

    def __init__(self, app: ASGIApp, scope: Scope, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(NAME, tries=1)
        self._app = app
        self._scope = scope
        self._loop = loop

    @contextmanager
    def _open(
        self, method: str, path: str, query: Query, headers: Mapping[str, str], body: bytes, seconds: float
    ) -> Iterator[HTTPResponse]:
        asked = asyncio.run_coroutine_threadsafe(self._call(method, path, query, headers, body), self._loop)
        try:
            yield cast(HTTPResponse, asked.result(seconds))
        finally:
            asked.cancel()

    async def _call(
        self, method: str, path: str, query: Query, headers: Mapping[str, str], body: bytes
    ) -> LoopbackAnswer:
        own = {**headers, "content-length": str(len(body))}
        scope: dict[str, Any] = {
            **self._scope,
            "method": method,
            "path": path,
            "raw_path": path.encode(),
            "query_string": urlencode(query).encode(),
            "headers": [(key.lower().encode(), value.encode()) for key, value in own.items()],
            "state": dict(self._scope["state"]),
        }
        parts: list[bytes] = []
        status, told = 500, HTTPMessage()
        sent, ended = False, asyncio.Event()

        async def receive() -> Any:
            nonlocal sent
            if sent:
                await ended.wait()
                return {"type": "http.disconnect"}
            sent = True
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: Any) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                for key, value in message["headers"]:
                    told.add_header(key.decode("latin-1"), value.decode("latin-1"))
            elif message["type"] == "http.response.body":
                parts.append(message.get("body", b""))

        try:
            await self._app(cast(Any, scope), receive, send)
        finally:
            ended.set()
        return LoopbackAnswer(status, told, b"".join(parts))
