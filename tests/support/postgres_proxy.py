"""A proxy between a client and a PostgreSQL server, on a Unix socket of its own, that can cut connections."""

from __future__ import annotations

import select
import socket
import tempfile
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from shutil import rmtree
from urllib.parse import parse_qs, urlsplit

from msgspec.structs import replace

from batchwright.journal.postgres import PostgresAddress

BEFORE, AFTER = "before", "after"

# given what a client sends: cut before it reaches the server; or after the server has answered it; or not at all
Cutter = Callable[[bytes], str | None]
SOCKET = ".s.PGSQL.5432"


class PostgresProxy:
    """`with PostgresProxy(address) as proxy:` relays what comes to `proxy.address`; `cutter` may be replaced."""

    def __init__(self, address: PostgresAddress) -> None:
        self._server = str(Path(parse_qs(urlsplit(address.url).query)["host"][0], SOCKET))
        self._folder = Path(tempfile.mkdtemp(prefix="bwpx-", dir="/tmp"))
        self.address = replace(address, url=f"{address.url.partition('?')[0]}?host={self._folder}")
        self.cutter: Cutter = lambda data: None
        self.cuts = 0
        self._listener = socket.socket(socket.AF_UNIX)
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> PostgresProxy:
        self._listener.bind(str(self._folder / SOCKET))
        self._listener.listen()
        self._begin(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(30)
        self._listener.close()
        rmtree(self._folder)

    def _begin(self, work: Callable[[], None]) -> None:
        thread = threading.Thread(target=work, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                self._begin(lambda client=client: self._relay(client))  # type: ignore[misc]

    def _relay(self, client: socket.socket) -> None:
        with client, socket.socket(socket.AF_UNIX) as server, suppress(OSError):
            server.connect(self._server)
            answered_is_enough = False
            while True:
                for ready in select.select([client, server], [], [])[0]:
                    data = ready.recv(2**20)
                    if not data or (answered_is_enough and ready is server):
                        return
                    side = self.cutter(data) if ready is client else None
                    self.cuts += bool(side)
                    if side == BEFORE:
                        return
                    answered_is_enough = answered_is_enough or side == AFTER
                    (server if ready is client else client).sendall(data)
