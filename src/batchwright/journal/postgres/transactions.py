"""Transactions that take place once, though connections break, and a bounded number of connections that read."""

from __future__ import annotations

import asyncio
import random
import secrets
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import psycopg
from psycopg.errors import DivisionByZero

from batchwright.errors import StoreStandby, StoreUnreachable
from batchwright.journal.postgres.address import PostgresAddress
from batchwright.journal.postgres.connect import SQL, PostgresConnection, Raw, explain, is_lost
from batchwright.journal.sql.connection import NOTHING, SqlConnection

READERS = 4  # connections of a process that read at the same time
RECONNECT_SECONDS = 30.0  # how long a lost server, or a new primary, is looked for
PAUSES = (0.05, 1.0)  # between two attempts, from the first to the longest
KNOWN_MOST = 2_000  # records of driven runs that are remembered
CONFLICTS = 100  # of a transaction with others before it is an error instead of repeated
_CONFLICTS = ("40001", "40P01", "23505")  # both changed one row; a deadlock; both made the same row

T = TypeVar("T")
Record = tuple[Any, ...]  # a row of driven_run.sql


class _Changing(PostgresConnection):
    """Inside a transaction that changes runs. What is decided on holds until it ends.

    Statements are sent without waiting, unless an answer is asked for. The record of a run that is driven here is known
    from the append before, and that an append succeeds is assumed, so that a group of appends and its commit take one
    journey to the server; if one does not, the transaction fails. A `careful` transaction assumes nothing.
    """

    def __init__(self, raw: Raw, pipeline: psycopg.Pipeline, known: dict[str, Record], *, careful: bool) -> None:
        super().__init__(raw)
        self.left: dict[str, Record] = {}  # records as this transaction leaves them
        self._pipeline = pipeline
        self._known = {} if careful else known  # records as they were before
        self._careful = careful

    def rows(self, name: str, values: Mapping[str, Any] = NOTHING) -> list[Record]:
        """All rows of a query."""
        self._forget(name, values)
        return super().rows(name, values)

    def row(self, name: str, values: Mapping[str, Any] = NOTHING) -> Record | None:
        """The first row; of a run's record, locked or as it was left here."""
        run = values.get("run", "")
        if name == "driven_run" and (found := self.left.get(run) or self._known.get(run)) is not None:
            return found
        found = super().row("locked_run" if name in ("summary", "driven_run") else name, values)
        if name == "driven_run" and found is not None:
            self._known[run] = found
        return found

    def execute(self, name: str, values: Mapping[str, Any] = NOTHING) -> None:
        """Carry out a statement."""
        self._forget(name, values)
        super().execute(name, values)

    def change(self, name: str, values: Mapping[str, Any] = NOTHING) -> int:
        """Carry out a statement; gives how many rows it changed."""
        self._forget(name, values)
        run, summary = values.get("run", ""), values.get("summary")
        before = self.left.get(run) or self._known.get(run)
        if name == "advance_run" and before is not None and not self._careful:
            self.raw.execute(SQL["advance_or_fail"], {**values, "before": before[2]})
        else:
            cursor = self.raw.execute(SQL[name], values)
            self._pipeline.sync()
            if name != "advance_run" or before is None or cursor.rowcount != 1:
                return cursor.rowcount
        summary = before[4] if summary is None else summary
        self.left[run] = (run, values["last"], values["head"], values["seal"], summary)
        return 1

    def _forget(self, name: str, values: Mapping[str, Any]) -> None:
        """Who drives a run, or what its record says, changes otherwise than by an append."""
        if name in ("take_lease", "release_lease", "save_summary"):
            self.left.pop(values["run"], None)
            self._known.pop(values["run"], None)


class PostgresTransactions:
    """The connection that writes.

    Each transaction also writes its number into this process's row of `writer`. When a connection broke before the
    answer to a COMMIT, that row tells whether it took place; nothing is repeated blindly. A transaction that met
    another one (they are REPEATABLE READ) is carried out again.
    """

    def __init__(self, connect: Callable[[], PostgresConnection], address: PostgresAddress) -> None:
        self._connect = connect
        self._address = address
        self._connection: PostgresConnection | None = None
        self._writer = secrets.token_hex(12)
        self._number = 0
        self._known: dict[str, Record] = {}  # of runs that are driven here

    def open(self) -> None:
        """Nothing: it connects when something is written."""

    def run(self, work: Callable[[SqlConnection], T]) -> T:
        """The result of `work`, durable, as soon as the server takes it."""
        attempt = _Attempts(self._address)
        self._number += 1
        in_doubt: list[T] = []  # the result, if it may be durable already
        careful = False
        while True:
            connection, begun = self._connection, False
            try:
                if connection is None:
                    connection = self._connection = attempt.connected(self._connect)
                    connection.execute("begin_writer", {"writer": self._writer})
                if in_doubt and self._was_committed(connection):
                    return in_doubt[0]
                in_doubt.clear()
                begun = True
                return self._carry_out(connection, work, in_doubt, careful=careful)
            except psycopg.Error as error:
                if connection is None or is_lost(error, connection):
                    self.close()
                    attempt.lost(error)
                    continue
                if not begun:  # whether it was made is still not known, so it is not repeated
                    raise explain(error, self._address) from error
                in_doubt.clear()  # the server has answered
                self._roll_back(connection)
                if isinstance(error, DivisionByZero):
                    careful = True  # and find out which append is refused, and why
                else:
                    attempt.met(error)
            except BaseException:
                if connection is not None:
                    self._roll_back(connection)
                raise

    def _carry_out(
        self, connection: PostgresConnection, work: Callable[[SqlConnection], T], in_doubt: list[T], *, careful: bool
    ) -> T:
        known, self._known = self._known, {}  # what an attempt leaves when it fails is looked up
        with connection.raw.pipeline() as pipeline:
            connection.raw.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
            changing = _Changing(connection.raw, pipeline, known, careful=careful)
            result = work(changing)
            changing.execute("note_commit", {"writer": self._writer, "number": self._number})
            in_doubt.append(result)
            connection.raw.execute("COMMIT")
        self._known = known if len(known) < KNOWN_MOST else {}
        self._known |= changing.left
        return result

    def close(self) -> None:
        """Disconnect; the next transaction connects again."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _was_committed(self, connection: PostgresConnection) -> bool:
        found = connection.row("committed", {"writer": self._writer})
        return found is not None and found[0] == self._number

    def _roll_back(self, connection: PostgresConnection) -> None:
        try:
            connection.raw.execute("ROLLBACK")
        except psycopg.Error:  # the server does so itself when the connection ends
            self.close()


class PostgresReader:
    """A few connections, made when they are needed. A read whose connection broke is done again."""

    def __init__(self, connect: Callable[[], PostgresConnection], address: PostgresAddress) -> None:
        self._connect = connect
        self._address = address
        self._idle: list[PostgresConnection] = []  # append and pop are atomic
        self._closing = threading.Event()
        self._threads = ThreadPoolExecutor(READERS, thread_name_prefix="batchwright-journal-read")

    def keep(self, connection: PostgresConnection) -> None:
        """Use a connection that is open already."""
        self._idle.append(connection)

    async def do(self, work: Callable[[SqlConnection], T]) -> T:
        """The result of `work`. Raises StoreError."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._guarded, work)

    async def aclose(self) -> None:
        """Disconnect once the queued reads are answered; a server that is away is waited for no longer."""
        self._closing.set()
        await asyncio.to_thread(self._threads.shutdown)
        while self._idle:
            self._idle.pop().close()

    def _guarded(self, work: Callable[[SqlConnection], T]) -> T:
        attempt = _Attempts(self._address, self._closing)
        while True:
            connection = self._idle.pop() if self._idle else attempt.connected(self._connect)
            try:
                result = work(connection)
            except psycopg.Error as error:
                if is_lost(error, connection):
                    connection.close()
                    attempt.lost(error)
                    continue
                self.keep(connection)
                raise explain(error, self._address) from error
            except BaseException:
                self.keep(connection)
                raise
            self.keep(connection)
            return result


class _Attempts:
    """How long and how often one piece of work is tried."""

    def __init__(self, address: PostgresAddress, closing: threading.Event | None = None) -> None:
        self._address = address
        self._closing = closing or threading.Event()  # set: no more attempts
        self._until: float | None = None
        self._conflicts = 0
        self._pause = PAUSES[0]

    def connected(self, connect: Callable[[], PostgresConnection]) -> PostgresConnection:
        """A connection, once a server that takes writes answers. Raises StoreError."""
        while True:
            try:
                return connect()
            except (StoreUnreachable, StoreStandby):
                if self._is_over():
                    raise
                self._closing.wait(self._pause)
                self._pause = min(2 * self._pause, PAUSES[1])

    def lost(self, error: psycopg.Error) -> None:
        """Note that a connection broke. Raises StoreUnreachable when it is time to give up."""
        if self._is_over():
            raise explain(error, self._address) from error

    def met(self, error: psycopg.Error) -> None:
        """Let another transaction pass, if it met one. Raises StoreError for any other error."""
        self._conflicts += 1
        if error.sqlstate not in _CONFLICTS or self._conflicts > CONFLICTS:
            raise explain(error, self._address) from error
        time.sleep(random.uniform(0, PAUSES[0]) if self._conflicts > 1 else 0)

    def _is_over(self) -> bool:
        now = time.monotonic()
        if self._until is None:
            self._until = now + RECONNECT_SECONDS
        return now > self._until or self._closing.is_set()
