"""Limits what all requests use (bodies, readers, pending requests, expensive work) and how often each may submit."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from litestar.enums import ScopeType
from litestar.types import ASGIApp, HTTPReceiveMessage, HTTPScope, Message, Receive, Scope, Send

from batchwright.api.problems import refuse
from batchwright.engine.bucket import Bucket
from batchwright.errors import HeadTooLarge, ServiceBusy, TooManyRequests, UsageError
from batchwright.model.clock import Clock

BODY_BYTES = 32 * 1024 * 1024  # of all request bodies that are being received or evaluated
# A reader is some 110 objects, and a full garbage collection visits all of them while the event loop stands still:
# with 2,000 readers that alone took half a second on a busy machine.
READERS = 1_024  # readers of live progress at a time
UNANSWERED = 1_024  # requests whose response has not begun; 640 of them may be workflows that wait to be read
HEADERS, HEAD_BYTES = 100, 32 * 1024  # of one request; the bytes include its path
LOOKS = 2  # expensive answers that are computed in threads at a time
CALLERS = 1_000  # callers whose rates are remembered
STRANGERS_RATE, STRANGERS_BURST = 20.0, 1_000  # changes asked for by callers that may change nothing

FRAMINGS = {b"content-length", b"transfer-encoding"}
ONE_LENGTH = "Send Content-Length or Transfer-Encoding, not both."

T = TypeVar("T")


class Bounds:
    """Limits shared by all requests. `readers` and `unanswered` are the most that are allowed of each."""

    def __init__(self, readers: int = READERS, body_bytes: int = BODY_BYTES, unanswered: int = UNANSWERED) -> None:
        self.readers = readers
        self.unanswered = unanswered
        self.waiting = 0  # requests whose response has not begun
        self.body_bytes = body_bytes
        self.in_flight = 0  # bytes of request bodies
        self._threads = ThreadPoolExecutor(LOOKS, thread_name_prefix="batchwright-look")

    def refuse_reader(self, there: int) -> None:
        """Raise ServiceBusy if the limit of readers is reached."""
        if there >= self.readers:
            raise ServiceBusy(f"{self.readers} clients already follow runs")

    def begin(self) -> Callable[[], None]:
        """Count one more request. Call the returned function when its response begins or ends. Raises ServiceBusy."""
        if self.waiting >= self.unanswered:
            raise ServiceBusy(f"{self.unanswered} requests are already waiting for an answer")
        self.waiting += 1
        counted = True

        def begun() -> None:
            nonlocal counted
            self.waiting -= counted
            counted = False

        return begun

    def take(self, size: int) -> None:
        """Count bytes of a body that were received. Raises ServiceBusy."""
        if self.in_flight + size > self.body_bytes:
            raise ServiceBusy(f"request bodies of {self.body_bytes >> 20} MiB in total are already being processed")
        self.in_flight += size

    async def in_thread(self, work: Callable[[], T]) -> T:
        """Run expensive work in a thread beside the event loop, never in the threads that runs use."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)


class RateLimits:
    """How often each caller may submit (`rate` a second, `burst` at once), and strangers ask for changes."""

    def __init__(self, clock: Clock, rate: float, burst: int) -> None:
        self._clock = clock
        self._rate, self._burst = rate, burst
        self._rates: OrderedDict[str, Bucket] = OrderedDict()
        self._strangers = Bucket(2**31, STRANGERS_RATE, STRANGERS_BURST)

    def take_place(self, name: str) -> None:
        """Count one more submission by this caller. Raises TooManyRequests."""
        now = self._clock.now()
        bucket = self._rates.pop(name, None) or Bucket(2**31, self._rate, self._burst)
        self._rates[name] = bucket
        if len(self._rates) > CALLERS:
            self._rates.popitem(last=False)
        if bucket.available(now) < 1:
            raise TooManyRequests(f"{name} submits more than {self._rate:g} workflows a second")
        bucket.take()
        bucket.release()

    def take_stranger(self) -> None:
        """Count one more change by a caller that may change nothing, since each costs a line of the audit trail.

        Raises TooManyRequests.
        """
        if self._strangers.available(self._clock.now()) < 1:
            raise TooManyRequests("too many refused requests from callers without permission")
        self._strangers.take()
        self._strangers.release()


class BoundsMiddleware:
    """Refuses oversized heads and excess requests, and counts the bytes of bodies until they are answered."""

    def __init__(self, app: ASGIApp, bounds: Bounds) -> None:
        self._app = app
        self._bounds = bounds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != ScopeType.HTTP:
            await self._app(scope, receive, send)
            return
        if words := too_large(scope):
            await refuse(HeadTooLarge(words), scope, send)
            return
        if {name.lower() for name, _ in scope["headers"]} >= FRAMINGS:
            # A proxy in front may have believed the other one and see the requests split differently.
            await refuse(UsageError("the request gives its body's length twice", hint=ONE_LENGTH), scope, _last(send))
            return
        try:  # health must be answered even under full load
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
    """A `send` for the last response on a connection."""

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message["headers"], (b"connection", b"close")]
        await send(message)

    return sending


def too_large(scope: HTTPScope) -> str:
    """What exceeds the limit in a request's head, in words; empty if nothing does."""
    headers = list(scope["headers"])
    if len(headers) > HEADERS:
        return f"more than {HEADERS} headers"
    size = len(scope["raw_path"]) + len(scope["query_string"])
    size += sum(len(name) + len(value) for name, value in headers)
    return f"the request has a head of more than {HEAD_BYTES >> 10} KiB" if size > HEAD_BYTES else ""
