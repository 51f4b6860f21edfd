"""The Journal port over one SQLite file."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar, cast

from batchwright.journal.base import UnusedSpace
from batchwright.journal.high_water_mark import HighWaterMark
from batchwright.journal.sql.connection import SqlConnection
from batchwright.journal.sql.group_writer import GroupWriter
from batchwright.journal.sql.journal_base import SqlJournalBase
from batchwright.journal.sqlite.connect import SqliteConnection, connect, explain, open_store

_UNSURE = (sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)

T = TypeVar("T")


class SqliteTransactions:
    """The connection that writes.

    After a disk error the process cannot trust what it knows about the file (a second fsync may succeed over what the
    first one lost): the connection is closed, and the next transaction opens the file again and compares it with the
    mark.
    """

    def __init__(self, connect: Callable[[], sqlite3.Connection], path: Path) -> None:
        self._connect = connect
        self._path = path
        self.connection: sqlite3.Connection | None = None

    def open(self) -> None:
        """Open the file. Raises StoreError."""
        self.connection = self._connect()

    def run(self, work: Callable[[SqlConnection], T]) -> T:
        """The result of `work`, durable."""
        try:
            connection = self.connection = self.connection or self._connect()
            connection.execute("BEGIN IMMEDIATE")
            result = work(SqliteConnection(connection))
            connection.execute("COMMIT")
        except Exception as error:
            self._roll_back()
            if not isinstance(error, sqlite3.Error):
                raise
            if getattr(error, "sqlite_errorcode", 0) & 0xFF in _UNSURE:
                self.close()
            raise explain(error, self._path) from error
        return result

    def close(self) -> None:
        """Close the file; the next transaction opens it again."""
        connection, self.connection = self.connection, None
        if connection is not None:
            connection.close()

    def _roll_back(self) -> None:
        # SQLite has rolled back by itself after some errors, and a broken disk may refuse this too: the journal file
        # holds no commit, so nothing of the group is ever read
        if self.connection is not None and self.connection.in_transaction:
            with contextlib.suppress(sqlite3.Error):
                self.connection.execute("ROLLBACK")


class SqliteReader:
    """One thread with a connection of its own; in WAL mode it neither waits for the writer nor delays it."""

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        self._connection = SqliteConnection(connection)
        self._path = path
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="batchwright-journal-read")

    async def do(self, work: Callable[[SqliteConnection], T]) -> T:
        """The result of `work`."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._guarded, work)

    async def aclose(self) -> None:
        """Close the file once the queued reads are answered."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._connection.raw.close)
        self._thread.shutdown()

    def _guarded(self, work: Callable[[SqliteConnection], T]) -> T:
        try:
            return work(self._connection)
        except sqlite3.Error as error:
            raise explain(error, self._path) from error


class SqliteJournal(SqlJournalBase):
    """Any number of processes may have the same file open; each run has one driver at a time, by its lease."""

    name = "filesystem"

    def __init__(self, path: Path) -> None:
        super().__init__(path, sqlite_mark(path))
        self._path = path

    async def open(self, *, behind: bool = False) -> None:
        """Make it ready; creates an empty store."""
        if self._writer is not None:
            return
        to_read = await asyncio.to_thread(open_store, self._path, self._mark, behind)
        writer = GroupWriter(SqliteTransactions(lambda: self._connect(behind), self._path), self._mark)
        try:
            await writer.start()
        except BaseException:
            to_read.close()
            raise
        self._writer, self._reader = writer, SqliteReader(to_read, self._path)

    def _connect(self, behind: bool) -> sqlite3.Connection:
        try:
            return connect(self._path, self._mark, behind)
        except sqlite3.Error as error:
            raise explain(error, self._path) from error

    async def compact(self) -> UnusedSpace:
        """Give back what the file was made to give back: one that an older version made keeps its size.

        Between two transactions others that wait to write get as long as the last one took: SQLite has no queue.
        """
        first = before = await self._read(_unused)
        while before:
            began = time.perf_counter()
            after = await self._write(_free_pages)
            if after >= before:
                break
            before = after
            await asyncio.sleep(time.perf_counter() - began)
        return UnusedSpace(first - before, before)


def sqlite_mark(path: Path) -> HighWaterMark:
    """The mark of acknowledged events for the store in this file."""
    return HighWaterMark(path.with_suffix(".mark"))


def _unused(db: SqlConnection) -> int:
    return cast(SqliteConnection, db).unused()


def _free_pages(db: SqlConnection) -> int:
    return cast(SqliteConnection, db).free_pages()
