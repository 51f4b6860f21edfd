"""A real receiver of webhooks on loopback, in threads of its own: it notes requests, and answers when it is told to."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import NamedTuple

PATIENCE = 120.0  # seconds until something that never comes counts as a failure


class Request(NamedTuple):
    """What came, with the names of its headers in lower case."""

    headers: dict[str, str]
    body: bytes


class WebhookReceiver:
    """Answers with `status`. Between `hold` and `release` requests are noted and wait for their answer."""

    def __init__(self, status: int = 204, port: int = 0) -> None:
        self.status = status
        self.requests: list[Request] = []
        self._came = threading.Condition()
        self._free = threading.Event()
        self._free.set()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                receiver._note(Request({name.lower(): value for name, value in self.headers.items()}, body))
                receiver._free.wait(PATIENCE)
                try:
                    self.send_response(receiver.status)
                    self.end_headers()
                except OSError:
                    pass  # the sender is gone

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}/hooks"
        self.shown = f"http://127.0.0.1:{self.port}/..."

    def __enter__(self) -> WebhookReceiver:
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _note(self, request: Request) -> None:
        with self._came:
            self.requests.append(request)
            self._came.notify_all()

    def hold(self) -> None:
        self._free.clear()

    def release(self) -> None:
        self._free.set()

    def wait_for(self, count: int) -> None:
        """Until so many requests have come."""
        with self._came:
            assert self._came.wait_for(lambda: len(self.requests) >= count, PATIENCE), self.ids()

    def ids(self) -> list[str]:
        """The ids of the messages, in the order in which they came."""
        return [one.headers["webhook-id"] for one in self.requests]
