"""How much of the service requests may take at a time: bytes of bodies, readers, heads, and work that takes long."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from litestar.enums import ScopeType
from litestar.types import ASGIApp, HTTPReceiveMessage, HTTPScope, Message, Receive, Scope, Send

from batchwright.api.problems import refuse
from batchwright.errors import HeadTooLarge, ServiceBusy, UsageError

BODY_BYTES = 32 * 1024 * 1024  # of all bodies together that are being read or evaluated
# A reader is some 110 objects, and a full garbage collection looks at all of them while nothing else gets its turn:
# with 2,000 readers that alone was half a second on a busy machine.
READERS = 1_024  # of live progress at once
UNANSWERED = 512  # requests whose answer has not begun
HEADERS, HEAD_BYTES = 100, 32 * 1024  # of one request, its address included
LOOKS = 2  # answers that are worked out in threads at a time

FRAMINGS = {b"content-length", b"transfer-encoding"}
ONE_LENGTH = "Send Content-Length or Transfer-Encoding, not both."

T = TypeVar("T")


class Bounds:
    """What all requests share. `readers` and `unanswered` are how many of these there may be."""

    def __init__(self, readers: int = READERS, body_bytes: int = BODY_BYTES, unanswered: int = UNANSWERED) -> None:
        self.readers = readers
        self.unanswered = unanswered
        self.waiting = 0  # for the beginning of their answer
        self.body_bytes = body_bytes
        self.in_flight = 0  # bytes of bodies
        self._threads = ThreadPoolExecutor(LOOKS, thread_name_prefix="batchwright-look")

    def refuse_reader(self, there: int) -> None:
        """Raise ServiceBusy when there are as many readers as there may be."""
        if there >= self.readers:
            raise ServiceBusy(f"{self.readers} readers follow runs already")

    def begin(self) -> Callable[[], None]:
        """One more request; what is given back is to be called when its answer begins, or ends. Raises ServiceBusy."""
        if self.waiting >= self.unanswered:
            raise ServiceBusy(f"{self.unanswered} requests wait for their answer already")
        self.waiting += 1
        counted = True

        def begun() -> None:
            nonlocal counted
            self.waiting -= counted
            counted = False

        return begun

    def take(self, size: int) -> None:
        """So many bytes of a body have come. Raises ServiceBusy."""
        if self.in_flight + size > self.body_bytes:
            raise ServiceBusy(f"workflows of {self.body_bytes >> 20} MiB in all are being taken in already")
        self.in_flight += size

    async def in_thread(self, work: Callable[[], T]) -> T:
        """Do something that takes long beside the event loop; never in the threads that runs use."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)


class BoundsMiddleware:
    """Refuses heads that are too large and one request too many, and counts bytes of bodies until they are answered."""

    def __init__(self, app: ASGIApp, bounds: Bounds) -> None:
        self._app = app
        self._bounds = bounds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != ScopeType.HTTP:
            await self._app(scope, receive, send)
            return
        if words := too_large(scope):
            await refuse(HeadTooLarge(words), scope, send)
            return
        if {name.lower() for name, _ in scope["headers"]} >= FRAMINGS:
            # A proxy in front may have taken the other one, and see requests elsewhere than we do.
            await refuse(UsageError("the length of the body is given in two ways", hint=ONE_LENGTH), scope, _last(send))
            return
        try:  # who asks how the service is must be told even then
            begun = _nothing if scope["path"].startswith("/health") else self._bounds.begin()
        except ServiceBusy as error:
            await refuse(error, scope, _last(send))
            return
        taken = 0

        async def sending(message: Message) -> None:
            begun()
            await send(message)

        async def receiving() -> HTTPReceiveMessage:
            nonlocal taken
            message: HTTPReceiveMessage = await receive()  # type: ignore[assignment]
            if message["type"] == "http.request":
                size = len(message.get("body", b""))
                self._bounds.take(size)
                taken += size
            return message

        try:
            await self._app(scope, receiving, sending)
        finally:
            begun()
            self._bounds.in_flight -= taken


def _nothing() -> None:
    return


def _last(send: Send) -> Send:
    """For the last answer on a connection."""

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message["headers"], (b"connection", b"close")]
        await send(message)

    return sending


def too_large(scope: HTTPScope) -> str:
    """What of a request's head is more than is taken; empty when nothing is."""
    headers = list(scope["headers"])
    if len(headers) > HEADERS:
        return f"more than {HEADERS} headers"
    size = len(scope["raw_path"]) + len(scope["query_string"])
    size += sum(len(name) + len(value) for name, value in headers)
    return f"the request has a head of more than {HEAD_BYTES >> 10} KiB" if size > HEAD_BYTES else ""
