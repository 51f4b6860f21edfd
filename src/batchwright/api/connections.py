"""Connections of the service: how many there may be, and how long each may take to say what it wants or to listen.

uvicorn has a time-out only for connections that are idle between two requests. Here a request's head and body have one
too, and so have readers that take nothing; what has no request yet is the first to go when there are too many.
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
from batchwright.process_limits import is_shortage

MOST = 4_096  # connections at once, with descriptors to spare
HEAD_SECONDS = 10.0  # from the first byte of a request, or from the connection, to the end of its head
BODY_SECONDS = 10.0  # from there to the end of its body; more for a large one that comes at BODY_RATE
BODY_RATE = 64 * 1024  # bytes a second
TAKEN_SECONDS, TAKEN_BYTES = 30.0, 64 * 1024  # who takes less than this in that time takes nothing
LINGER_SECONDS = 10.0  # for the last bytes of a connection that is closed
TLS_SECONDS = 10.0  # for a handshake, and for its end
SWEEP_SECONDS = 1.0
SHARE = 4  # the part of all connections without a whole request that one address may have: one in so many
AT_ONCE = 32  # connections that are accepted before anything else gets its turn
WRITE_BYTES = 32 * 1024  # written and not yet taken, before an answer has to wait
BUFFER_BYTES = 256 * 1024  # in the kernel, per connection and direction
BACKLOG = 1_024
FULL_SECONDS = 1.0  # until it is tried again to accept, when the machine is short of something

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
    """How many connections there may be, so that half of all descriptors are left for the runs."""
    return max(8, min(MOST, descriptors // 2))


def origin(host: str) -> str:
    """Whom an address stands for: one host often has all of an IPv6 network of 64 bits."""
    address = ipaddress.ip_address(host.partition("%")[0])
    if isinstance(address, ipaddress.IPv4Address):
        return str(address)
    return str(address.ipv4_mapped or ipaddress.IPv6Network((int(address) >> 64 << 64, 64)))


class WaitingConnection(Protocol):
    """A connection that has no whole request yet."""

    address: str

    def drop(self, why: str) -> None:
        """End it at once."""
        ...


class Connections:
    """Counts what is open and decides who has to go. It knows no sockets, and no clock."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.share = max(2, most // SHARE)
        self.open = 0
        self.refused = 0  # could not be let in
        self.dropped = 0  # took too long, or made room for another
        self.handshakes: dict[str, int] = {}  # of TLS, by address
        self._waiting: dict[WaitingConnection, None] = {}  # in the order in which they began to wait
        self._by_address: dict[str, dict[WaitingConnection, None]] = {}
        self._resting: dict[WaitingConnection, None] = {}

    @property
    def waiting(self) -> int:
        """How many have no whole request."""
        return len(self._waiting)

    def admit(self, address: str) -> bool:
        """Whether one more may come in; the oldest of those without a request makes room."""
        of_address = self._by_address.get(address, {})
        if len(of_address) + self.handshakes.get(address, 0) >= self.share:
            if not of_address:
                self.refused += 1
                return False
            self._drop(next(iter(of_address)), "too many of this address wait with half a request")
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
        """It has no request, or only a part of one, from now on."""
        if one not in self._waiting:
            self._resting.pop(one, None)
            self._waiting[one] = None
            self._by_address.setdefault(one.address, {})[one] = None

    def rest(self, one: WaitingConnection) -> None:
        """It has had its answer and has begun nothing new: it makes room only when nobody waits with half a request."""
        self.leave(one)
        self._resting[one] = None

    def leave(self, one: WaitingConnection) -> None:
        """It has a whole request now, or is gone."""
        self._resting.pop(one, None)
        if self._waiting.pop(one, self) is None:
            rest = self._by_address[one.address]
            del rest[one]
            if not rest:
                del self._by_address[one.address]


class TimeoutProtocol(PeerProtocol):
    """A connection that is ended when it takes too long. `sweep` looks at it about once a second."""

    def __init__(self, connections: Connections, address: str, **of_uvicorn: Any) -> None:
        super().__init__(**of_uvicorn)
        self.address = address
        self._connections = connections
        self._until: float | None = None  # when what is being sent must be whole
        self._in_body = False
        self._swept = 0.0
        self._taking: tuple[float, int] | None = None  # since when nothing is taken, and how much there was to take
        self._closing: float | None = None

    # -- what happens -------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """It is open, and has said nothing."""
        super().connection_made(transport)
        transport.set_write_buffer_limits(WRITE_BYTES)
        self._until = time.monotonic() + HEAD_SECONDS
        self._connections.wait(self)

    def data_received(self, data: bytes) -> None:
        """Some bytes came. They give more time only to a body, and only to one that comes fast enough."""
        before = self.conn.their_state
        super().data_received(data)
        now = time.monotonic()
        if self._until is None and before is h11.IDLE:
            self._until = now + HEAD_SECONDS
        if self._in_body and self._until is not None:
            self._until += len(data) / BODY_RATE
        self._look(now)

    def on_response_complete(self) -> None:
        """An answer is written; the connection is idle, or has the next request already."""
        super().on_response_complete()
        self._look(time.monotonic())

    def _look(self, now: float) -> None:
        """Where in a request it is."""
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
        """It is gone."""
        self._connections.leave(self)
        self._connections.open -= 1
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """The other side takes less than there is to write."""
        super().pause_writing()
        self._taking = (time.monotonic(), self.transport.get_write_buffer_size())

    def resume_writing(self) -> None:
        """It has taken it."""
        super().resume_writing()
        self._taking = None

    # -- ending it ----------------------------------------------------------------------------------------------

    def drop(self, why: str) -> None:
        """End it at once, whatever is still to be written."""
        log.debug("a connection of %s is dropped: %s", self.address, why)
        self.transport.abort()

    def sweep(self, now: float) -> None:
        """End it if it takes too long."""
        if self.transport is None:
            return
        if self.transport.is_closing():
            self._closing = now if self._closing is None else self._closing
            if now - self._closing >= LINGER_SECONDS:
                self._give_up("it does not take what is left")
            return
        if self._until is not None:
            if self._in_body and self.flow.read_paused:  # it is us who do not read
                self._until += now - self._swept
            elif now >= self._until:
                self._give_up("its request does not come to an end")
                return
        self._swept = now
        if self._taking is not None and now - self._taking[0] >= TAKEN_SECONDS:
            left = self.transport.get_write_buffer_size()
            if left > self._taking[1] - TAKEN_BYTES:
                self._give_up("it does not take its answer")
            else:
                self._taking = (now, left)

    def _give_up(self, why: str) -> None:
        self._connections.dropped += 1
        self.drop(why)


Made = Callable[[str], TimeoutProtocol]


class Acceptor:
    """Listens on one socket. Few connections are accepted at a time, and none for a moment when there is no room."""

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
        """Accept no more."""
        self._loop.remove_reader(self._sock)
        if self._again is not None:
            self._again.cancel()

    async def wait_closed(self) -> None:
        """What uvicorn awaits: connections that are being made now end by their time-outs."""

    def _accept(self) -> None:
        for _ in range(min(AT_ONCE, max(1, self._connections.share // 8))):  # each is read before it has to make room
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
        """The socket stays readable: to go on at once would be a loop that does nothing else."""
        if not self._short:
            log.warning("no connection can be accepted for now: %s", error.strerror)
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
            log.debug("a connection of %s is not made: %s", address, error)
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
                log.debug("a refusal is not taken: %s", error)
