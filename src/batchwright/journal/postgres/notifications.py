"""Tells other processes that a run has changed, and hears it from them, with NOTIFY and LISTEN.

A notification is a hint and may be lost: it is sent after the commit, in a transaction of its own, because the server
lets only one transaction at a time commit that has one. Those who need to know look from time to time anyway.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import Callable, Iterable

import psycopg
from psycopg import sql as text

from batchwright.errors import BatchwrightError
from batchwright.journal.postgres.address import PostgresAddress
from batchwright.journal.postgres.connect import PostgresConnection, connect_only
from batchwright.journal.postgres.transactions import PostgresReader

PACE_SECONDS = 0.05  # between two messages of this process
RUNS_MOST = 200  # in one message, which has room for 8,000 bytes; more are left to those who look
FAREWELL_SECONDS = 1.0  # for the last message
RETRY_SECONDS = 2.0  # between two attempts to listen again


class Notifications:
    """Those of one journal. It listens from the first `watch` on."""

    def __init__(self, address: PostgresAddress, reader: PostgresReader) -> None:
        self._address = address
        self._channel = f"batchwright:{address.schema}"
        self._reader = reader
        self._own = secrets.token_hex(6)  # begins our messages, which we need not hear
        self._changed: dict[str, None] = {}
        self._telling: asyncio.Task[None] | None = None
        self._hints: dict[str, list[Callable[[], None]]] = {}
        self._listening: asyncio.Task[None] | None = None

    def announce(self, run: str) -> None:
        """Tell the others soon that this run has changed."""
        self._changed[run] = None
        if self._telling is None or self._telling.done():
            self._telling = asyncio.get_running_loop().create_task(self._tell())

    def watch(self, run: str, hint: Callable[[], None]) -> Callable[[], None]:
        """Call `hint` whenever a run may have changed; gives what ends that."""
        hints = self._hints.setdefault(run, [])
        hints.append(hint)
        if self._listening is None or self._listening.done():
            self._listening = asyncio.get_running_loop().create_task(self._listen())

        def end() -> None:
            if hint in hints:
                hints.remove(hint)
            if not hints and self._hints.get(run) is hints:
                del self._hints[run]

        return end

    async def aclose(self) -> None:
        """Send what is still to be told, if the server is there, and listen no more."""
        if self._telling is not None:
            await asyncio.wait([self._telling], timeout=FAREWELL_SECONDS)
        for task in (self._telling, self._listening):
            if task is not None:
                task.cancel()
                await asyncio.wait([task])

    async def _tell(self) -> None:
        while self._changed:
            runs = " ".join([self._own, *list(self._changed)[:RUNS_MOST]])
            self._changed.clear()
            values = {"channel": self._channel, "runs": runs}
            with contextlib.suppress(BatchwrightError):  # what could not be told is found by looking
                await self._reader.do(lambda connection, values=values: connection.rows("notify", values))  # type: ignore[misc]
            await asyncio.sleep(PACE_SECONDS)

    async def _listen(self) -> None:
        while True:
            with contextlib.suppress(BatchwrightError, psycopg.Error):
                connection = await self._connection()
                try:
                    self._hint(list(self._hints))  # what was missed until now
                    await self._hear(connection)
                finally:
                    connection.close()
            await asyncio.sleep(RETRY_SECONDS)

    async def _connection(self) -> PostgresConnection:
        connecting = asyncio.ensure_future(asyncio.to_thread(self._connected))
        try:
            return await asyncio.shield(connecting)
        except asyncio.CancelledError:
            with contextlib.suppress(BatchwrightError, psycopg.Error):
                (await connecting).close()
            raise

    def _connected(self) -> PostgresConnection:
        connection = connect_only(self._address)
        connection.raw.execute(text.SQL("LISTEN {}").format(text.Identifier(self._channel)))
        return connection

    async def _hear(self, connection: PostgresConnection) -> None:
        """Until the connection breaks, which raises OperationalError."""
        loop, raw = asyncio.get_running_loop(), connection.raw
        ready, descriptor = asyncio.Event(), raw.fileno()  # a broken connection does not tell it any more
        loop.add_reader(descriptor, ready.set)
        try:
            while True:
                await ready.wait()
                ready.clear()
                raw.pgconn.consume_input()
                while (heard := raw.pgconn.notifies()) is not None:
                    sender, *runs = heard.extra.decode().split()
                    self._hint([] if sender == self._own else runs)
        finally:
            loop.remove_reader(descriptor)

    def _hint(self, runs: Iterable[str]) -> None:
        for run in runs:
            for hint in tuple(self._hints.get(run, ())):
                hint()
