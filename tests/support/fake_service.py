"""A service that says what a test tells it to: for the doors that are clients. The real one is in tests/e2e."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import msgspec
from msgspec import Struct

JSON, PROBLEM, STREAM = "application/json", "application/problem+json", "text/event-stream"


class Asked(Struct, frozen=True):
    """One request as it came in; names of headers in lower case."""

    method: str
    path: str
    query: list[tuple[str, str]]
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return msgspec.json.decode(self.body)


class Answer(Struct, frozen=True):
    """What is said. With `cut` the connection is broken off after the body."""

    body: bytes
    status: int = 200
    type: str = JSON
    cut: bool = False


def message(kind: str, data: Any, number: int | None = None) -> bytes:
    """One server-sent event."""
    head = f"id: {number}\n" if number is not None else ""
    return f"{head}event: {kind}\ndata: {msgspec.json.encode(data).decode()}\n\n".encode()


def problem(status: int, code: str, detail: str, hint: str = "", **more: Any) -> Answer:
    """An error as the service tells it."""
    told = {"type": f"urn:batchwright:{code}", "title": code, "status": status, "detail": detail, "code": code,
            "hint": hint, **more}  # fmt: skip
    return Answer(msgspec.json.encode(told), status, PROBLEM)


class FakeService:
    """Answers by method and path; of several answers to one the last is repeated."""

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self.url = ""
        self._answers: dict[tuple[str, str], list[Answer]] = {}

    def on(self, method: str, path: str, *answers: Answer | Any) -> None:
        """Answer so from now on; what is no Answer is said as JSON."""
        self._answers[method, path] = [
            one if isinstance(one, Answer) else Answer(msgspec.json.encode(one)) for one in answers
        ]

    def stream(self, path: str, *parts: Sequence[bytes], cut_until: int = 0) -> None:
        """Server-sent events: one part per connection; the first `cut_until` are broken off at their end."""
        answers = [Answer(b"".join(part), type=STREAM, cut=i < cut_until) for i, part in enumerate(parts)]
        self.on("GET", path, *answers)

    def answer(self, asked: Asked) -> Answer:
        self.asked.append(asked)
        answers = self._answers.get((asked.method, asked.path))
        if not answers:
            return problem(404, "run-not-found", f"nothing at {asked.path}")
        return answers.pop(0) if len(answers) > 1 else answers[0]

    def requests(self, method: str, path: str) -> list[Asked]:
        return [one for one in self.asked if (one.method, one.path) == (method, path)]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    fake: FakeService

    def _handle(self) -> None:
        parts = urlsplit(self.path)
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        headers = {name.lower(): value for name, value in self.headers.items()}
        answer = self.fake.answer(Asked(self.command, parts.path, parse_qsl(parts.query), headers, body))
        self.send_response(answer.status)
        self.send_header("content-type", answer.type)
        if answer.type == STREAM:
            self.send_header("transfer-encoding", "chunked")
            self.end_headers()
            self.wfile.write(b"%x\r\n%b\r\n" % (len(answer.body), answer.body) if answer.body else b"")
            self.wfile.write(b"" if answer.cut else b"0\r\n\r\n")
            self.close_connection = answer.cut
        else:
            self.send_header("content-length", str(len(answer.body)))
            self.end_headers()
            self.wfile.write(answer.body)

    do_GET = do_POST = _handle  # noqa: N815 - the names that http.server looks for

    def log_message(self, *_: Any) -> None:
        """Quiet."""


@contextmanager
def fake_service() -> Iterator[FakeService]:
    """One that listens on a port of the system's choice until the block ends."""
    fake = FakeService()
    with ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"fake": fake})) as server:
        server.daemon_threads = True
        fake.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield fake
        finally:
            server.shutdown()
            thread.join()
