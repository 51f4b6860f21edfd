"""The Journal port over an SQL database: one writer thread with shared commits, and readers beside it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

import msgspec

from batchwright.errors import RunNotFound
from batchwright.journal import refusals
from batchwright.journal.base import ArchivedRun, Head, Lease, Snapshot, Turn
from batchwright.journal.event_rows import EventRow, paginate
from batchwright.journal.hash_chain import chained
from batchwright.journal.high_water_mark import HighWaterMark, Loss
from batchwright.journal.high_water_mark import behind as mark_behind
from batchwright.journal.lease_holder import LEASE_SECONDS, HeldLease
from batchwright.journal.sql import archived_runs, data_access, delivery_access, environment_list
from batchwright.journal.sql.connection import SqlConnection
from batchwright.journal.sql.group_writer import GroupWriter
from batchwright.model.delivery import Delivery
from batchwright.model.environment import Enter, Environment, EnvironmentKey, Resource
from batchwright.model.events import AnyEvent, RunCreated
from batchwright.model.run_signal import Signal
from batchwright.model.run_summary import RunSummary

T = TypeVar("T")


class Reader(Protocol):
    """Carries out reads outside the event loop."""

    async def do(self, work: Callable[[SqlConnection], T]) -> T:
        """The result of `work`. Raises StoreError."""
        ...

    async def aclose(self) -> None:
        """Disconnect once the queued reads are answered."""
        ...


class SqlJournalBase:
    """What the journals over SQL databases have in common. A subclass opens the writer and the reader."""

    def __init__(self, place: object, mark: HighWaterMark) -> None:
        """`place` is what messages call the store."""
        self._place = place
        self._mark = mark
        self._writer: GroupWriter | None = None
        self._reader: Reader | None = None

    async def aclose(self) -> None:
        """End cleanly what was begun."""
        writer, reader = self._writer, self._reader
        self._writer = self._reader = None
        if reader is not None:
            await reader.aclose()
        if writer is not None:
            await writer.aclose()
        self._mark.close()

    async def create(
        self, event: RunCreated, summary: RunSummary, page: EventRow | None = None, *, enter: Enter | None = None
    ) -> None:
        """Begin a run with its first event."""
        pages = chained(None, event.run, paginate(0, [event])) if page is None else [page]
        body, turn = msgspec.json.encode(summary), None if enter is None else Turn(enter)
        await self._write(
            lambda db: data_access.create(db, event.run, summary.created_at, pages, body, turn), event.run
        )

    async def append(
        self,
        lease: Lease,
        after: int,
        events: Sequence[AnyEvent],
        summary: RunSummary | None = None,
        *,
        turn: Turn | None = None,
    ) -> int:
        """Write events after sequence `after`, all or none."""
        pages = paginate(after, events)
        body = None if summary is None else msgspec.json.encode(summary)
        done = await self._write(lambda db: data_access.append(db, lease, after, pages, body, turn=turn), lease.run)
        return done if isinstance(done, int) else done.last

    async def environment(self, key: EnvironmentKey) -> Environment | None:
        """Who may change an environment."""
        return await self._read(lambda db: data_access.environment(db, key))

    async def environments(self) -> list[Environment]:
        """All that are in this store."""
        return await self._read(data_access.environments)

    async def resources(self, key: EnvironmentKey) -> list[Resource]:
        """What an environment had when its newest finished turn ended."""
        return await self._read(lambda db: data_access.resources(db, key))

    async def all_resources(self) -> list[tuple[EnvironmentKey, Resource]]:
        """What all environments had when their newest finished turns ended."""
        return await self._read(environment_list.all_resources)

    async def base_resources(self, key: EnvironmentKey) -> list[Resource]:
        """What an environment had at its base."""
        return await self._read(lambda db: archived_runs.base_resources(db, key))

    async def write_environment(
        self,
        seen: Environment | None,
        row: Environment,
        resources: Sequence[Resource] | None = None,
        *,
        base: Sequence[Resource] | None = None,
    ) -> None:
        """Replace an environment's row, and perhaps its resources, now and at its base."""
        await self._write(lambda db: data_access.write_environment(db, seen, row, resources, base))

    async def archive(self, runs: Sequence[ArchivedRun]) -> None:
        """Keep only the lines of these runs."""
        await self._write(lambda db: archived_runs.archive(db, runs))

    async def put_back(self, run: str, pages: Sequence[EventRow]) -> None:
        """Write pages of an archived run again."""
        await self._write(lambda db: archived_runs.put_back(db, run, pages), run)

    async def unarchive(self, summary: RunSummary, signals: Sequence[Signal] = ()) -> None:
        """End the archiving of a run."""
        await self._write(lambda db: archived_runs.unarchive(db, summary, signals), summary.run)

    async def deliveries(self, run: str = "") -> list[Delivery]:
        """What webhooks have had."""
        return await self._read(lambda db: delivery_access.deliveries(db, run))

    async def pending_deliveries(self) -> list[Delivery]:
        """Those that are open."""
        return await self._read(delivery_access.pending_deliveries)

    async def write_delivery(self, seen: Delivery | None, row: Delivery) -> None:
        """Replace a row."""
        await self._write(lambda db: delivery_access.write_delivery(db, seen, row))

    async def copy(self, lease: Lease, pages: Sequence[EventRow]) -> int:
        """Append pages of another store as they are."""
        after = pages[0].first - 1
        done = await self._write(
            lambda db: data_access.append(db, lease, after, list(pages), None, copied=True), lease.run
        )
        return done if isinstance(done, int) else done.last

    async def pages(self, run: str, after: int = 0, limit: int = 10_000) -> list[EventRow]:
        """The pages after the one that ends with event `after`."""
        return await self._read(lambda db: data_access.pages(db, run, after, limit), run)

    async def head(self, run: str) -> Head:
        """The last event and the digest of all."""
        return await self._read(lambda db: data_access.head(db, run), run)

    async def runs(self) -> list[str]:
        """The ids of all runs that are there."""
        return [entry.run for entry in await self._read(data_access.runs)]

    async def losses(self) -> list[Loss]:
        """All runs compared with the mark."""
        marked = await asyncio.to_thread(self._mark.entries)
        return await self._read(lambda db: data_access.losses(db, marked.values()))

    async def accept_loss(self) -> None:
        """From now on what is there counts as all that was acknowledged."""
        await self._write(lambda db: self._mark.make(data_access.runs(db)))

    async def read(self, run: str, after: int = 0, limit: int = 10_000) -> list[tuple[int, AnyEvent]]:
        """Up to `limit` events after sequence `after`, in order."""
        return await self._read(lambda db: data_access.read(db, run, after, limit), run)

    async def summaries(self) -> list[RunSummary]:
        """One per run, newest first."""
        return await self._read(lambda db: data_access.summaries(db, self._mark.entries()))

    async def newest_runs(self) -> list[RunSummary]:
        """Of each environment, and those without a turn."""
        return await self._read(lambda db: environment_list.newest_runs(db, self._mark))

    async def summary(self, run: str) -> RunSummary:
        """Of one run by its full id."""

        def work(db: SqlConnection) -> RunSummary:
            self._compare(db, run)
            return data_access.summary(db, run)

        return await self._read(work, run)

    async def save_snapshot(self, lease: Lease, snapshot: Snapshot) -> None:
        """Keep the newest snapshot of the run only."""
        await self._write(lambda db: data_access.save_snapshot(db, lease, snapshot))

    async def snapshot(self, run: str) -> Snapshot | None:
        """The newest snapshot, if there is one."""
        return await self._read(lambda db: data_access.snapshot(db, run))

    async def acquire(
        self, run: str, holder: str, now: float, ttl: float = LEASE_SECONDS, *, silent: HeldLease | None = None
    ) -> Lease:
        """Become the run's driver with a fence higher than any before."""

        def work(db: SqlConnection) -> Lease:
            self._compare(db, run)
            return data_access.acquire(db, run, holder, now + ttl, silent)

        return await self._write(work, run)

    async def renew(self, lease: Lease, now: float, ttl: float = LEASE_SECONDS) -> Lease:
        """The same lease with a later expiry."""
        return await self._write(lambda db: data_access.renew(db, lease, now + ttl))

    async def release(self, lease: Lease) -> None:
        """Give it up at once."""
        await self._write(lambda db: data_access.release(db, lease))

    async def held(self, run: str) -> HeldLease | None:
        """The run's current lease, None if no process holds it."""
        return await self._read(lambda db: data_access.held(db, run))

    async def signal(self, run: str, signal: Signal) -> None:
        """Leave a request for the driver, durable on return."""
        body = msgspec.json.encode(signal)
        await self._write(lambda db: data_access.add_signal(db, run, body), run)

    async def signals(self, run: str, after: int = 0) -> list[tuple[int, Signal]]:
        """Requests after number `after`, in order."""
        return await self._read(lambda db: data_access.signals(db, run, after))

    async def _write(self, work: Callable[[SqlConnection], T], run: str = "") -> T:
        if self._writer is None:
            raise refusals.closed(self._place)
        try:
            return await self._writer.do(work)
        except RunNotFound:
            self._refuse_gone(run)
            raise

    async def _read(self, work: Callable[[SqlConnection], T], run: str = "") -> T:
        if self._reader is None:
            raise refusals.closed(self._place)
        try:
            return await self._reader.do(work)
        except RunNotFound:
            self._refuse_gone(run)
            raise

    def _compare(self, db: SqlConnection, run: str) -> None:
        """Raise StoreBehind if the run has less than was acknowledged."""
        entry = self._mark.get(run)
        if entry is not None and (lost := data_access.losses(db, [entry])):
            raise mark_behind(self._place, lost)

    def _refuse_gone(self, run: str) -> None:
        entry = self._mark.get(run)
        if entry is not None:
            raise mark_behind(self._place, [Loss(run, 0, entry.last)])
