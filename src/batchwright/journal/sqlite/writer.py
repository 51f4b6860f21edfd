"""The one thread that writes. All waiting work goes into one transaction and so shares one fsync."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import Callable
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any, NamedTuple, TypeVar

from batchwright.errors import StoreError, StoreFull
from batchwright.journal.high_water_mark import Entry, HighWaterMark
from batchwright.journal.sqlite.connect import explain

MAX_GROUP = 1_000
_UNSURE = (sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)

T = TypeVar("T")


class _Job(NamedTuple):
    """Work on the connection. It raises a StoreError before it changes anything, or does all it has to."""

    work: Callable[[sqlite3.Connection], Any]
    done: asyncio.Future[Any]


class Writer:
    """Runs jobs in order of arrival, in groups; a refused job does not disturb the others of its group.

    What a group has appended is marked before it is acknowledged. The mark is synced afterwards, before the next group.
    So a power cut can leave the mark behind the store by one group, never ahead of it.

    After a disk error the process cannot trust what it knows about the file (a second fsync may succeed over what the
    first one lost): the connection is closed, and the next group opens the file again and compares it with the mark.
    """

    def __init__(self, connect: Callable[[], sqlite3.Connection], mark: HighWaterMark, path: Path) -> None:
        self._connect = connect
        self._connection: sqlite3.Connection | None = None
        self._mark = mark
        self._mark_failed = False
        self._path = path
        self._loop = asyncio.get_running_loop()
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._thread = Thread(target=self._run, name="batchwright-journal", daemon=True)

    async def start(self) -> None:
        """Open the file. Raises StoreError."""
        self._connection = await asyncio.to_thread(self._connect)
        self._thread.start()

    async def do(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """The result of `work`, durable. A caller that stops waiting does not cancel the job."""
        done: asyncio.Future[T] = self._loop.create_future()
        self._jobs.put(_Job(work, done))
        return await done

    async def aclose(self) -> None:
        """Finish the jobs that have begun, then close the file."""
        self._jobs.put(None)
        await self._loop.run_in_executor(None, self._thread.join)

    def _run(self) -> None:
        ending = False
        while not ending:
            group, ending = self._next_group()
            if group:
                outcomes = self._attempt(group)
                if len(group) > 1 and any(isinstance(outcome, StoreFull) for outcome in outcomes):
                    # what is too large for the disk must not take with it what would have fitted
                    outcomes = [outcome for job in group for outcome in self._attempt([job])]
                self._report(group, outcomes)
                self._sync_mark()
        self._disconnect()

    def _next_group(self) -> tuple[list[_Job], bool]:
        group: list[_Job] = []
        job = self._jobs.get()
        while job is not None:
            group.append(job)
            if len(group) == MAX_GROUP:
                return group, False
            try:
                job = self._jobs.get_nowait()
            except Empty:
                return group, False
        return group, True

    def _attempt(self, group: list[_Job]) -> list[Any]:
        """One transaction; gives each job's result or the exception it is to see."""
        try:
            if self._mark_failed:
                self._mark.renew()
                self._mark_failed = False
            connection = self._connection = self._connection or self._connect()
            connection.execute("BEGIN IMMEDIATE")
            outcomes = [_outcome(job, connection) for job in group]
            entries = [entry for outcome in outcomes for entry in _entries(outcome)]
            self._mark.reserve(len(entries))
            connection.execute("COMMIT")
        except Exception as error:
            self._roll_back()
            if isinstance(error, sqlite3.Error):
                if getattr(error, "sqlite_errorcode", 0) & 0xFF in _UNSURE:
                    self._disconnect()
                return [explain(error, self._path) for _ in group]
            return [error] * len(group)
        try:
            self._mark.put(entries)
        except StoreError as error:
            self._disconnect()
            return [error if _entries(outcome) else outcome for outcome in outcomes]
        return outcomes

    def _sync_mark(self) -> None:
        try:
            self._mark.sync()
        except StoreError:  # the next group raises it, unless the file can be replaced by then
            self._mark_failed = True

    def _roll_back(self) -> None:
        # SQLite has rolled back by itself after some errors, and a broken disk may refuse this too: the journal file
        # holds no commit, so nothing of the group is ever read
        if self._connection is not None and self._connection.in_transaction:
            with contextlib.suppress(sqlite3.Error):
                self._connection.execute("ROLLBACK")

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _report(self, group: list[_Job], outcomes: list[Any]) -> None:
        # in a closed event loop no job waits any more
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(_settle, group, outcomes)


def _entries(outcome: Any) -> list[Entry]:
    """What is to be marked of a job's result."""
    if isinstance(outcome, Entry):
        return [outcome]
    return [one for one in outcome if isinstance(one, Entry)] if isinstance(outcome, list) else []


def _outcome(job: _Job, connection: sqlite3.Connection) -> Any:
    try:
        return job.work(connection)
    except StoreError as refusal:
        return refusal


def _settle(group: list[_Job], outcomes: list[Any]) -> None:
    for job, outcome in zip(group, outcomes, strict=True):
        if job.done.done():
            continue
        if isinstance(outcome, Exception):
            job.done.set_exception(outcome)
        else:
            job.done.set_result(outcome)
