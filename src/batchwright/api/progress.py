"""Live progress as server-sent events (WHATWG HTML, section 9.2): resumable, and bounded for slow readers."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import msgspec
from litestar import Response
from litestar.types import Receive, Scope, Send
from msgspec.structs import replace

from batchwright.api.problems import body_of, problem_of
from batchwright.errors import BatchwrightError, Unauthorized
from batchwright.model.events import AnyEvent, RunCreated
from batchwright.service.run_feed import RunFeed, Subscription
from batchwright.views.events import event_line, event_record
from batchwright.views.run import RunView

EVENT_STREAM = "text/event-stream"
PIECE = 32 * 1024  # bytes per write
STUCK_SECONDS = 30.0  # a reader that reads nothing for this long is dropped

log = logging.getLogger("batchwright.api")
_encode = msgspec.json.Encoder().encode


def record(run: str, seq: int, event: AnyEvent) -> dict[str, Any]:
    """An event as the journal holds it, plus its number and its line of text; of requests only the public fields."""
    if isinstance(event, RunCreated):
        plan = event.plan
        steps, notify = tuple(step.public() for step in plan.steps), tuple(one.public() for one in plan.notify)
        event = replace(event, plan=replace(plan, steps=steps, notify=notify))
    return {**event_record(run, seq, event), "line": event_line(event)}


def frame(name: str, data: bytes, number: int | None = None) -> bytes:
    """Encode one server-sent event. JSON has no line breaks."""
    head = b"" if number is None else b"id: %d\n" % number
    return b"event: %s\n%sdata: %s\n\n" % (name.encode(), head, data)


class EventFrames:
    """Encodes the events and views of a run for readers."""

    def event(self, run: str, seq: int, event: AnyEvent) -> bytes:
        """Encode one event. A reader resumes from its number."""
        return frame("event", _encode(record(run, seq, event)), seq)

    def view(self, name: str, view: RunView, seq: int | None) -> bytes:
        """Encode a view of the run. With `seq` a reader can resume from it."""
        return frame(name, _encode(view), seq)


class EventStream(Response[None]):
    """A response that streams until the run ends, the reader leaves, falls too far behind or loses its access."""

    def __init__(self, feed: RunFeed, after: int | None, allowed: Callable[[], bool]) -> None:
        super().__init__(None, media_type=EVENT_STREAM)
        self._feed = feed
        self._after = after
        self._allowed = allowed

    def to_asgi_response(self, *_: Any, **__: Any) -> _Streaming:  # type: ignore[override]
        """The ASGI response that the framework calls."""
        return _Streaming(self._feed, self._after, self._allowed)


class _Streaming:
    """The stream of one reader."""

    def __init__(self, feed: RunFeed, after: int | None, allowed: Callable[[], bool]) -> None:
        self._feed = feed
        self._after = after
        self._allowed = allowed

    async def __call__(self, _scope: Scope, receive: Receive, send: Send) -> None:
        headers = [
            (b"content-type", EVENT_STREAM.encode()),
            (b"cache-control", b"no-store"),
            (b"x-accel-buffering", b"no"),
        ]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        reader = self._feed.attach(self._after)
        writing = asyncio.create_task(self._write(reader, send))
        going = asyncio.create_task(_gone(receive))
        try:
            await asyncio.wait({writing, going}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._feed.detach(reader)
            for task in (writing, going):
                task.cancel()
            await asyncio.gather(writing, going, return_exceptions=True)

    async def _write(self, reader: Subscription, send: Send) -> None:
        last = await self._until_end(reader, send)
        if last is not None:
            await send({"type": "http.response.body", "body": last, "more_body": False})

    async def _until_end(self, reader: Subscription, send: Send) -> bytes | None:
        """Write until the end. Returns the last frame to send, or None if the reader does not read."""
        try:
            await _say(send, b"")  # at once: the client sees that it is connected
            while True:
                chunk = await reader.next()
                if not self._allowed():
                    return frame("problem", body_of(problem_of(Unauthorized("access was revoked"))))
                if chunk is None:
                    return b": too slow; reconnect with Last-Event-ID\n\n"
                await _say(send, chunk)
                if reader.at_end:
                    return b": the service is stopping; reconnect\n\n" if self._feed.closed else self._end()
        except TimeoutError:
            return None
        except BatchwrightError as error:
            return frame("problem", body_of(problem_of(error)))
        except OSError:  # the reader has disconnected
            return None

    def _end(self) -> bytes:
        return frame("end", _encode(self._feed.view()))


async def _say(send: Send, chunk: bytes) -> None:
    """Write in pieces: the unread part of each write is copied per reader, and there are many readers."""
    for at in range(0, len(chunk) or 1, PIECE):
        async with asyncio.timeout(STUCK_SECONDS):
            piece = chunk[at : at + PIECE] or b": \n\n"
            await send({"type": "http.response.body", "body": piece, "more_body": True})


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        continue
