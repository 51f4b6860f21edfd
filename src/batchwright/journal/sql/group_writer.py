"""The one thread that writes. All waiting work goes into one transaction and so shares one fsync."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any, NamedTuple, Protocol, TypeVar

from batchwright.errors import StoreError, StoreFull
from batchwright.journal.high_water_mark import Entry, HighWaterMark
from batchwright.journal.sql.connection import SqlConnection

MAX_GROUP = 1_000

T = TypeVar("T")


class TransactionRunner(Protocol):
    """The connection of a writer, which it opens again by itself when it is needed."""

    def open(self) -> None:
        """Connect. Raises StoreError."""
        ...

    def run(self, work: Callable[[SqlConnection], T]) -> T:
        """The result of `work`, whose changes are durable on return; `work` may be carried out more than once.

        Raises StoreError, and what `work` raises; then nothing was changed.
        """
        ...

    def close(self) -> None:
        """Disconnect. The next `run` connects again, and compares the store with the mark."""
        ...


class _Job(NamedTuple):
    """Work on the connection. It raises a StoreError before it changes anything, or does all it has to."""

    work: Callable[[SqlConnection], Any]
    done: asyncio.Future[Any]


class GroupWriter:
    """Runs jobs in order of arrival, in groups; a refused job does not disturb the others of its group.

    What a group has appended is marked before it is acknowledged. The mark is synced afterwards, before the next group.
    So a power cut can leave the mark behind the store by one group, never ahead of it.
    """

    def __init__(self, transactions: TransactionRunner, mark: HighWaterMark) -> None:
        self.transactions = transactions
        self._mark = mark
        self._mark_failed = False
        self._loop = asyncio.get_running_loop()
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._thread = Thread(target=self._run, name="batchwright-journal", daemon=True)

    async def start(self) -> None:
        """Connect. Raises StoreError."""
        await asyncio.to_thread(self.transactions.open)
        self._thread.start()

    async def do(self, work: Callable[[SqlConnection], T]) -> T:
        """The result of `work`, durable. A caller that stops waiting does not cancel the job."""
        done: asyncio.Future[T] = self._loop.create_future()
        self._jobs.put(_Job(work, done))
        return await done

    async def aclose(self) -> None:
        """Finish the jobs that have begun, then disconnect."""
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
        self.transactions.close()

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
            outcomes = self.transactions.run(lambda connection: self._carried_out(group, connection))
        except Exception as error:
            return [error] * len(group)
        try:
            self._mark.put([entry for outcome in outcomes for entry in _entries(outcome)])
        except StoreError as error:
            self.transactions.close()
            return [error if _entries(outcome) else outcome for outcome in outcomes]
        return outcomes

    def _carried_out(self, group: list[_Job], connection: SqlConnection) -> list[Any]:
        outcomes = [_outcome(job, connection) for job in group]
        self._mark.reserve(sum(len(_entries(outcome)) for outcome in outcomes))
        return outcomes

    def _sync_mark(self) -> None:
        try:
            self._mark.sync()
        except StoreError:  # the next group raises it, unless the file can be replaced by then
            self._mark_failed = True

    def _report(self, group: list[_Job], outcomes: list[Any]) -> None:
        # in a closed event loop no job waits any more
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(_settle, group, outcomes)


def _entries(outcome: Any) -> list[Entry]:
    """What is to be marked of a job's result."""
    if isinstance(outcome, Entry):
        return [outcome]
    return [one for one in outcome if isinstance(one, Entry)] if isinstance(outcome, list) else []


def _outcome(job: _Job, connection: SqlConnection) -> Any:
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
