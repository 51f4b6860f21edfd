"""The emulated AWS as an HTTP server on the loopback interface: every service at one address (AWS_ENDPOINT_URL)."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import msgspec

from batchwright.emulators.aws import protocol
from batchwright.emulators.aws.account import AwsAccount, ListingPage, Lost
from batchwright.emulators.aws.actions import CHANGES
from batchwright.emulators.aws.settings import AwsBehaviour
from batchwright.errors import UsageError

BODY_MAX = 1_000_000
INVENTORY = "/_emulator/inventory"

_log = logging.getLogger(__name__)


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    server: AwsServer
    timeout = 60.0
    wbufsize = -1  # head and body in one piece, or the client waits for its delayed acknowledgement
    disable_nagle_algorithm = True

    def do_POST(self) -> None:
        """A call of the API."""
        length = int(self.headers.get("Content-Length", "0"))
        if length > BODY_MAX:
            self.close_connection = True
            return
        body = self.rfile.read(length)
        service = "ec2"
        try:
            request = protocol.read(self.headers, body)
            service = request.service
            protocol.check_time(service, self.headers.get("X-Amz-Date", ""), self.server.now())
            if request.action in CHANGES:
                time.sleep(self.server.cloud.behaviour.answer_seconds)
            result = self.server.cloud.handle(request, self.server.now())
            status, (content, kind) = 200, protocol.answer(request, result)
        except protocol.ApiError as error:
            status, (content, kind) = error.status, protocol.refusal(service, error)
        except ValueError as error:
            refusal = protocol.ApiError("InvalidParameterValue", str(error))
            status, (content, kind) = 400, protocol.refusal(service, refusal)
        except ListingPage:
            status, content, kind = 503, b"<html><body><h1>503 Service Unavailable</h1></body></html>", "text/html"
        except Lost:
            self.close_connection = True
            return
        self._send(status, content, kind)

    def do_GET(self) -> None:
        """What the account holds; no part of AWS's API."""
        if self.path != INVENTORY:
            self._send(404, b"", "text/plain")
            return
        self._send(200, msgspec.json.encode(self.server.cloud.inventory(self.server.now())), "application/json")

    def date_time_string(self, timestamp: float | None = None) -> str:
        """The cloud's clock, for the Date header."""
        return formatdate(self.server.now() if timestamp is None else timestamp, usegmt=True)

    def _send(self, status: int, content: bytes, kind: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as http.server calls it
        """Only for who asks."""
        _log.debug(format, *args)


class AwsServer(ThreadingHTTPServer):
    """All connections."""

    daemon_threads = True
    request_queue_size = 256

    def __init__(self, behaviour: AwsBehaviour, port: int = 0) -> None:
        self.cloud = AwsAccount(behaviour)
        for service in ("ec2", "sts", "ssm"):
            protocol.description(service)  # half a second, before the first call and not during it
        try:
            super().__init__(("127.0.0.1", port), Handler)
        except OSError as error:
            raise UsageError(f"cannot listen: {error.strerror}", hint="Use another --port, or 0.") from error

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.server_address[1]}"

    def now(self) -> float:
        """The cloud's time."""
        return time.time() + self.cloud.behaviour.clock_skew

    def handle_error(self, _request: object, client_address: object) -> None:
        """A client that went away is no event here."""
        _log.debug("connection of %s broke", client_address, exc_info=True)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Serve in a thread of this process."""
        thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield
        finally:
            self.shutdown()
            self.server_close()
            thread.join()


@contextmanager
def serving(behaviour: AwsBehaviour, port: int = 0) -> Iterator[AwsServer]:
    """A new account, served."""
    server = AwsServer(behaviour, port)
    with server.running():
        yield server


@asynccontextmanager
async def serve(server: AwsServer) -> AsyncIterator[str]:
    """The same for who waits for something else meanwhile; gives the address."""
    with server.running():
        yield server.url


def left(server: AwsServer) -> str:
    """What the account holds, in words."""
    here = server.cloud.inventory(server.now())
    kinds = ("instances", "volumes", "interfaces", "groups", "keys")
    return ", ".join(f"{kind}: {len(getattr(here, kind))}" for kind in kinds)
