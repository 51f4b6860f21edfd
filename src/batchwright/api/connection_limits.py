"""Limits the number of connections, and how long each may take to send a request or to read the response.

uvicorn only has a time-out for connections that are idle between two requests. Here a request's head and body have one
too, and so have clients that do not read. If there are too many connections, those without a request are dropped first.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import socket
import ssl
import time
from collections.abc import Callable
from typing import Any, Protocol

import h11

from batchwright.api.connection_peer import PeerProtocol
from batchwright.api.security_headers import SAFE
from batchwright.resource_exhaustion import is_shortage

MOST = 4_096  # connections at once, if there are enough file descriptors
HEAD_SECONDS = 10.0  # from the first byte of a request, or from the connection, to the end of its head
BODY_SECONDS = 10.0  # from the end of the head to the end of the body; more for a large body that arrives at BODY_RATE
BODY_RATE = 64 * 1024  # bytes a second
TAKEN_SECONDS, TAKEN_BYTES = 30.0, 64 * 1024  # a client that reads less than this in that time counts as stuck
LINGER_SECONDS = 10.0  # for the last bytes of a connection that is being closed
TLS_SECONDS = 10.0  # for a TLS handshake, and for the closing one
SWEEP_SECONDS = 1.0
SHARE = 4  # one address may hold 1/4 of the connections without a whole request
AT_ONCE = 32  # connections accepted in one turn of the event loop
WRITE_BYTES = 32 * 1024  # bytes buffered before a response has to wait
BUFFER_BYTES = 256 * 1024  # in the kernel, per connection and direction
BACKLOG = 1_024
FULL_SECONDS = 1.0  # seconds before accepting again when the machine lacks a resource

REFUSAL = (
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/problem+json\r\nRetry-After: 1\r\n"
    b"%bConnection: close\r\nContent-Length: %d\r\n\r\n%b"
)
REFUSED = (
    b'{"type":"urn:batchwright:service-busy","title":"Service Unavailable","status":503,'
    b'"detail":"too many connections are open","code":"service-busy","hint":"Try again in a moment."}'
)

log = logging.getLogger("batchwright.service")


def most_connections(descriptors: int) -> int:
    """The limit of connections that leaves half of all file descriptors to the runs."""
    return max(8, min(MOST, descriptors // 2))


def origin(host: str) -> str:
    """The address that counts as one client: a host often has a whole IPv6 network of 64 bits."""
    address = ipaddress.ip_address(host.partition("%")[0])
    if isinstance(address, ipaddress.IPv4Address):
        return str(address)
    return str(address.ipv4_mapped or ipaddress.IPv6Network((int(address) >> 64 << 64, 64)))


class WaitingConnection(Protocol):
    """A connection without a whole request."""

    address: str

    def drop(self, why: str) -> None:
        """Close the connection at once."""
        ...


class Connections:
    """Counts open connections and decides which to drop. It knows no sockets and no clock."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.share = max(2, most // SHARE)
        self.open = 0
        self.refused = 0  # not admitted
        self.dropped = 0  # too slow, or dropped to make room
        self.handshakes: dict[str, int] = {}  # TLS handshakes in progress, by address
        self._waiting: dict[WaitingConnection, None] = {}  # in the order in which they began to wait
        self._by_address: dict[str, dict[WaitingConnection, None]] = {}
        self._resting: dict[WaitingConnection, None] = {}

    @property
    def waiting(self) -> int:
        """How many connections have no whole request."""
        return len(self._waiting)

    def admit(self, address: str) -> bool:
        """Whether one more may be admitted. The oldest connection without a request is dropped to make room."""
        of_address = self._by_address.get(address, {})
        if len(of_address) + self.handshakes.get(address, 0) >= self.share:
            if not of_address:
                self.refused += 1
                return False
            self._drop(next(iter(of_address)), "too many connections from this address have sent half a request")
        elif self.open >= self.most:
            one = next(iter(self._waiting or self._resting), None)
            if one is None:
                self.refused += 1
                return False
            self._drop(one, "too many connections are open")
        self.open += 1
        return True

    def _drop(self, one: WaitingConnection, why: str) -> None:
        self.leave(one)
        self.dropped += 1
        one.drop(why)

    def wait(self, one: WaitingConnection) -> None:
        """From now on the connection has no request, or only part of one."""
        if one not in self._waiting:
            self._resting.pop(one, None)
            self._waiting[one] = None
            self._by_address.setdefault(one.address, {})[one] = None

    def rest(self, one: WaitingConnection) -> None:
        """It was answered and is idle: it is dropped only if no connection waits with half a request."""
        self.leave(one)
        self._resting[one] = None

    def leave(self, one: WaitingConnection) -> None:
        """It has a whole request now, or is closed."""
        self._resting.pop(one, None)
        if self._waiting.pop(one, self) is None:
            rest = self._by_address[one.address]
            del rest[one]
            if not rest:
                del self._by_address[one.address]


class TimeoutProtocol(PeerProtocol):
    """An HTTP connection that is closed when it is too slow. `sweep` checks it about once a second."""

    def __init__(self, connections: Connections, address: str, **of_uvicorn: Any) -> None:
        super().__init__(**of_uvicorn)
        self.address = address
        self._connections = connections
        self._until: float | None = None  # deadline of what the client is sending
        self._in_body = False
        self._swept = 0.0
        self._taking: tuple[float, int] | None = None  # since when nothing was read, and the bytes pending
        self._closing: float | None = None

    # -- what happens -------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """The connection is open and has sent nothing yet."""
        super().connection_made(transport)
        transport.set_write_buffer_limits(WRITE_BYTES)
        self._until = time.monotonic() + HEAD_SECONDS
        self._connections.wait(self)

    def data_received(self, data: bytes) -> None:
        """Receive bytes. Only a body that arrives fast enough gets more time."""
        before = self.conn.their_state
        super().data_received(data)
        now = time.monotonic()
        if self._until is None and before is h11.IDLE:
            self._until = now + HEAD_SECONDS
        if self._in_body and self._until is not None:
            self._until += len(data) / BODY_RATE
        self._look(now)

    def on_response_complete(self) -> None:
        """A response was written: the connection is idle, or already has the next request."""
        super().on_response_complete()
        self._look(time.monotonic())

    def _look(self, now: float) -> None:
        """Find out which part of a request is being received, and set its deadline."""
        theirs = self.conn.their_state
        if theirs is h11.SEND_BODY:
            if not self._in_body:
                self._in_body, self._until = True, now + BODY_SECONDS
            self._connections.wait(self)
            return
        self._in_body = False
        if theirs is h11.IDLE and self.conn.our_state is h11.IDLE:
            if self._until is None:
                self._connections.rest(self)
            else:
                self._connections.wait(self)
            return
        self._until = None
        self._connections.leave(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is closed."""
        self._connections.leave(self)
        self._connections.open -= 1
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """The client reads more slowly than we write."""
        super().pause_writing()
        self._taking = (time.monotonic(), self.transport.get_write_buffer_size())

    def resume_writing(self) -> None:
        """The client has caught up."""
        super().resume_writing()
        self._taking = None

    # -- ending it ----------------------------------------------------------------------------------------------

    def drop(self, why: str) -> None:
        """Close it at once and discard what is still unsent."""
        log.debug("dropping a connection from %s: %s", self.address, why)
        self.transport.abort()

    def sweep(self, now: float) -> None:
        """Close it if it is too slow."""
        if self.transport is None:
            return
        if self.transport.is_closing():
            self._closing = now if self._closing is None else self._closing
            if now - self._closing >= LINGER_SECONDS:
                self._give_up("it does not read the rest")
            return
        if self._until is not None:
            if self._in_body and self.flow.read_paused:  # the service itself has paused reading
                self._until += now - self._swept
            elif now >= self._until:
                self._give_up("its request is not complete in time")
                return
        self._swept = now
        if self._taking is not None and now - self._taking[0] >= TAKEN_SECONDS:
            left = self.transport.get_write_buffer_size()
            if left > self._taking[1] - TAKEN_BYTES:
                self._give_up("it does not read its response")
            else:
                self._taking = (now, left)

    def _give_up(self, why: str) -> None:
        self._connections.dropped += 1
        self.drop(why)


Made = Callable[[str], TimeoutProtocol]


class Acceptor:
    """Accepts connections on one socket: a few at a time, and none for a moment if there is no room."""

    def __init__(self, sock: socket.socket, connections: Connections, make: Made, tls: ssl.SSLContext | None) -> None:
        self._sock = sock
        self._connections = connections
        self._make = make
        self._tls = tls
        self._loop = asyncio.get_running_loop()
        self._tasks: set[asyncio.Task[None]] = set()
        self._again: asyncio.TimerHandle | None = None
        self._short = False
        sock.setblocking(False)
        for option in (socket.SO_SNDBUF, socket.SO_RCVBUF):
            sock.setsockopt(socket.SOL_SOCKET, option, BUFFER_BYTES)
        sock.listen(BACKLOG)
        self._loop.add_reader(sock, self._accept)

    def close(self) -> None:
        """Stop accepting."""
        self._loop.remove_reader(self._sock)
        if self._again is not None:
            self._again.cancel()

    async def wait_closed(self) -> None:
        """uvicorn awaits this. Connections that are being opened now end by their time-outs."""

    def _accept(self) -> None:
        for _ in range(min(AT_ONCE, max(1, self._connections.share // 8))):  # each is read before it can be dropped
            try:
                sock, peer = self._sock.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                if not is_shortage(error):
                    raise
                self._wait(error)
                return
            self._short = False
            self._begin(sock, origin(peer[0]) if isinstance(peer, tuple) else "")

    def _wait(self, error: OSError) -> None:
        """Pause accepting. The socket stays readable, so that continuing at once would be a busy loop."""
        if not self._short:
            log.warning("cannot accept connections at the moment: %s", error.strerror)
        self._short = True
        self._loop.remove_reader(self._sock)
        self._again = self._loop.call_later(FULL_SECONDS, self._loop.add_reader, self._sock, self._accept)

    def _begin(self, sock: socket.socket, address: str) -> None:
        if not self._connections.admit(address):
            _refuse(sock, secret=self._tls is not None)
            return
        task = self._loop.create_task(self._connect(sock, address))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _connect(self, sock: socket.socket, address: str) -> None:
        connections, made = self._connections, False
        handshakes = connections.handshakes

        def make() -> TimeoutProtocol:
            return self._make(address)

        if self._tls is not None:
            handshakes[address] = handshakes.get(address, 0) + 1
        limits = {"ssl_handshake_timeout": TLS_SECONDS, "ssl_shutdown_timeout": TLS_SECONDS} if self._tls else {}
        try:
            sock.setblocking(False)
            await self._loop.connect_accepted_socket(make, sock, ssl=self._tls, **limits)
            made = True
        except (OSError, MemoryError, RuntimeError) as error:  # TimeoutError and ssl.SSLError are OSErrors
            log.debug("a connection from %s failed: %s", address, error)
        finally:
            if self._tls is not None:
                handshakes[address] -= 1
                if not handshakes[address]:
                    del handshakes[address]
            if not made:
                connections.open -= 1
                sock.close()


def _refuse(sock: socket.socket, *, secret: bool) -> None:
    with sock:
        if not secret:
            try:
                sock.setblocking(False)
                sock.send(REFUSAL % (b"".join(b"%b: %b\r\n" % one for one in SAFE), len(REFUSED), REFUSED))
            except OSError as error:
                log.debug("a refusal could not be sent: %s", error)
