"""The peer of a connection, found once and kept while the connection is open."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from batchwright.api.security_headers import SAFE
from batchwright.service.peer_credentials import Address, Peers

KEY = "connection"  # key in a request's state


class ConnectionPeer:
    """The other end of a connection. `unix` is true for the service's own socket."""

    def __init__(self, peer: Address | None, own: Address | None, unix: socket.socket | None = None) -> None:
        self.address = peer[0] if peer else "socket" if unix is not None else ""
        self.unix = unix
        self._ends = (peer, own) if peer and own else None
        self._uid: int | None = None

    def behind(self, address: str) -> ConnectionPeer:
        """The same connection, with the address for which a trusted proxy uses it."""
        seen = ConnectionPeer(None, None, self.unix)
        seen.address, seen._ends, seen._uid = address, self._ends, self._uid
        return seen

    async def check(self, peers: Peers) -> int:
        """The user id of its owner: the service's user, or root, on this machine and outside local servers.

        Raises PeerUnknown for anybody else.
        """
        if self._uid is None:
            if self.unix is not None:
                self._uid = peers.check_unix(self.unix)
            else:
                peer, own = self._ends or (("", 0), ("", 0))
                self._uid = await peers.check((peer[0], peer[1]), (own[0], own[1]))
        return self._uid


class PeerProtocol(H11Protocol):
    """Adds the connection's peer to every request on it, and our headers to what it refuses itself."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """The connection is open."""
        super().connection_made(transport)
        sock: Any = transport.get_extra_info("socket")
        unix = sock if sock is not None and sock.family == getattr(socket, "AF_UNIX", None) else None
        names = [transport.get_extra_info(name) for name in ("peername", "sockname")]
        peer, own = ((name[0], name[1]) if isinstance(name, tuple) else None for name in names)
        self.app_state = {**self.app_state, KEY: ConnectionPeer(peer, own, unix)}

    def send_400_response(self, msg: str) -> None:
        """Answer what is not HTTP with 400, unless a response has begun."""
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        if self.conn.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            self.transport.close()
            return
        body = msg.encode("ascii", "replace")
        headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"connection", b"close"), *SAFE]
        length = (b"content-length", str(len(body)).encode())
        for event in (
            h11.Response(status_code=400, headers=[*headers, length], reason=b"Bad Request"),
            h11.Data(data=body),
            h11.EndOfMessage(),
        ):
            self.transport.write(self.conn.send(event) or b"")
        self.transport.close()
