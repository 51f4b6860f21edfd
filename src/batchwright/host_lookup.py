"""Looks up the addresses of host names without blocking the event loop."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from ipaddress import ip_address

from batchwright.model.receiver_url import Address

LOOKUPS_MOST = 16  # at the same time; one that hangs holds a thread

Resolve = Callable[[str, int], Awaitable[Sequence[Address]]]


class HostLookup:
    """Looks names up, each in a thread of its own that nothing waits for: the system's resolver cannot be cancelled."""

    def __init__(self) -> None:
        self._running = 0

    async def __call__(self, host: str, port: int) -> Sequence[Address]:
        """The addresses of a host. Raises OSError."""
        if self._running >= LOOKUPS_MOST:
            raise OSError(f"{host} was not looked up: {LOOKUPS_MOST} other lookups have no answer yet")
        loop = asyncio.get_running_loop()
        done: asyncio.Future[Sequence[Address]] = loop.create_future()

        def settle(found: Sequence[Address], error: OSError | None) -> None:
            self._running -= 1
            if done.done():
                return
            if error is None:
                done.set_result(found)
            else:
                done.set_exception(error)

        def look() -> None:
            found: Sequence[Address] = ()
            failed: OSError | None = None
            try:
                rows = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
                found = list(dict.fromkeys(ip_address(str(row[4][0]).partition("%")[0]) for row in rows))
            except OSError as error:
                failed = OSError(f"{host} cannot be looked up: {error.strerror}")
            except ValueError as error:  # a name that cannot be encoded
                failed = OSError(f"{host} cannot be looked up: {error}")
            with suppress(RuntimeError):  # the loop has ended meanwhile
                loop.call_soon_threadsafe(settle, found, failed)

        self._running += 1
        threading.Thread(target=look, name="batchwright-lookup", daemon=True).start()
        return await done
