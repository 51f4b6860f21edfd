"""Server-sent events (WHATWG HTML, section 9.2), as a service sends them while a run continues."""

from __future__ import annotations

from collections.abc import Iterator
from http.client import HTTPResponse

from msgspec import Struct


class ServerSentEvent(Struct, frozen=True):
    """One message of a stream; `kind` is empty for a comment, which only keeps the connection alive."""

    kind: str
    data: bytes = b""
    number: str = ""


def server_sent_events(response: HTTPResponse) -> Iterator[ServerSentEvent]:
    """The messages as they arrive; an incomplete one is dropped."""
    kind, data, number = "", b"", ""
    while line := response.readline():
        name, _, value = line.rstrip(b"\r\n").partition(b":")
        value = value.removeprefix(b" ")
        match name:
            case b"event":
                kind = value.decode()
            case b"data":
                data += value
            case b"id":
                number = value.decode()
            case b"" if line.startswith(b":"):
                yield ServerSentEvent("")
            case b"" if kind or data:
                yield ServerSentEvent(kind or "message", data, number)
                kind, data, number = "", b"", ""
