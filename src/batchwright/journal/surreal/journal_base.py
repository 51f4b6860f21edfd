"""The Journal port on top of a repository, wherever that is: in this process, in another one, or on a server."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Protocol, TypeVar

import msgspec

from batchwright.errors import LeaseLost
from batchwright.journal.base import ArchivedRun, Head, Lease, Snapshot, Turn, UnusedSpace
from batchwright.journal.event_rows import EventRow, paginate, unpack
from batchwright.journal.hash_chain import chained
from batchwright.journal.high_water_mark import Loss
from batchwright.journal.lease_holder import LEASE_SECONDS, HeldLease
from batchwright.journal.surreal.writer import SurrealRepository
from batchwright.model.delivery import Delivery
from batchwright.model.environment import Enter, Environment, EnvironmentKey, Resource
from batchwright.model.events import AnyEvent, RunCreated
from batchwright.model.run_signal import Signal
from batchwright.model.run_summary import RunSummary

T = TypeVar("T")


class Readable(Protocol):
    """The reads that need no lease, from a repository here or from the process that has it open."""

    async def pages(self, run: str, after: int, limit: int) -> list[EventRow]:
        """Pages that hold up to `limit` events after `after`, or fewer."""
        ...

    async def head(self, run: str) -> Head:
        """The number of the last event of a run and the digest of all events."""
        ...

    async def runs(self) -> list[str]:
        """The ids of all runs."""
        ...

    async def losses(self) -> list[Loss]:
        """All runs compared with the mark."""
        ...

    async def summaries(self) -> list[RunSummary]:
        """The summaries of all runs, newest first."""
        ...

    async def newest_runs(self) -> list[RunSummary]:
        """Of each environment, and those without a turn."""
        ...

    async def summary(self, run: str) -> RunSummary:
        """The summary of one run, None if there is no such run."""
        ...

    async def environment(self, key: EnvironmentKey) -> Environment | None:
        """Whose turn it is."""
        ...

    async def environments(self) -> list[Environment]:
        """Of all environments."""
        ...

    async def resources(self, key: EnvironmentKey) -> list[Resource]:
        """What an environment has."""
        ...

    async def all_resources(self) -> list[tuple[EnvironmentKey, Resource]]:
        """What all environments have."""
        ...

    async def deliveries(self, run: str = "") -> list[Delivery]:
        """What webhooks have had."""
        ...

    async def pending_deliveries(self) -> list[Delivery]:
        """Those that are open."""
        ...

    async def base_resources(self, key: EnvironmentKey) -> list[Resource]:
        """What an environment had at its base."""
        ...

    async def snapshot(self, run: str) -> Snapshot | None:
        """The newest snapshot of a run, None if it has none."""
        ...

    async def held(self, run: str) -> HeldLease | None:
        """The lease of a run, None if no process holds it."""
        ...

    async def signal(self, run: str, signal: Signal) -> None:
        """Leave a signal for a run's driver."""
        ...

    async def signals(self, run: str, after: int) -> list[tuple[int, Signal]]:
        """A run's signals with a number above `after`, each with its number."""
        ...


class SurrealJournalBase(ABC):
    """What the journals over a folder and over a server have in common."""

    @abstractmethod
    async def _read(self, work: Callable[[Readable], Awaitable[T]]) -> T:
        """Do what needs no lease."""

    @abstractmethod
    async def _write(self, work: Callable[[SurrealRepository], Awaitable[T]]) -> T:
        """Do what changes a run."""

    @abstractmethod
    def _taken(self, lease: Lease) -> None:
        """This process drives the run from now on."""

    @abstractmethod
    def _given_up(self, lease: Lease) -> None:
        """This process drives the run no more."""

    async def create(
        self, event: RunCreated, summary: RunSummary, page: EventRow | None = None, *, enter: Enter | None = None
    ) -> None:
        """Begin a run with its first event."""
        pages = chained(None, event.run, paginate(0, [event])) if page is None else [page]
        turn = None if enter is None else Turn(enter)
        await self._write(lambda store: store.create(pages, summary, turn))

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
        return await self._under(lease, lambda store: store.append(lease, after, pages, body, turn=turn))

    async def environment(self, key: EnvironmentKey) -> Environment | None:
        """Who may change an environment."""
        return await self._read(lambda role: role.environment(key))

    async def environments(self) -> list[Environment]:
        """All that are in this store."""
        return await self._read(lambda role: role.environments())

    async def resources(self, key: EnvironmentKey) -> list[Resource]:
        """What an environment had when its newest finished turn ended."""
        return await self._read(lambda role: role.resources(key))

    async def all_resources(self) -> list[tuple[EnvironmentKey, Resource]]:
        """What all environments had when their newest finished turns ended."""
        return await self._read(lambda role: role.all_resources())

    async def base_resources(self, key: EnvironmentKey) -> list[Resource]:
        """What an environment had at its base."""
        return await self._read(lambda role: role.base_resources(key))

    async def write_environment(
        self,
        seen: Environment | None,
        row: Environment,
        resources: Sequence[Resource] | None = None,
        *,
        base: Sequence[Resource] | None = None,
    ) -> None:
        """Replace an environment's row, and perhaps its resources, now and at its base."""
        await self._write(lambda store: store.write_environment(seen, row, resources, base))

    async def archive(self, runs: Sequence[ArchivedRun]) -> None:
        """Keep only the lines of these runs."""
        await self._write(lambda store: store.archive(runs))

    async def put_back(self, run: str, pages: Sequence[EventRow]) -> None:
        """Write pages of an archived run again."""
        await self._write(lambda store: store.put_back(run, pages))

    async def unarchive(self, summary: RunSummary, signals: Sequence[Signal] = ()) -> None:
        """End the archiving of a run."""
        await self._write(lambda store: store.unarchive(summary, signals))

    async def compact(self) -> UnusedSpace:
        """SurrealDB does this by itself, or not at all."""
        return UnusedSpace()

    async def deliveries(self, run: str = "") -> list[Delivery]:
        """What webhooks have had."""
        return await self._read(lambda role: role.deliveries(run))

    async def pending_deliveries(self) -> list[Delivery]:
        """Those that are open."""
        return await self._read(lambda role: role.pending_deliveries())

    async def write_delivery(self, seen: Delivery | None, row: Delivery) -> None:
        """Replace a row."""
        await self._write(lambda store: store.write_delivery(seen, row))

    async def copy(self, lease: Lease, pages: Sequence[EventRow]) -> int:
        """Append pages of another store as they are."""
        after = pages[0].first - 1
        return await self._under(lease, lambda store: store.append(lease, after, pages, None, copied=True))

    async def pages(self, run: str, after: int = 0, limit: int = 10_000) -> list[EventRow]:
        """The pages after the one that ends with event `after`."""
        found: list[EventRow] = []
        until = after + limit
        while after < until:
            part = await self._read(partial(_pages, run=run, after=after, limit=until - after))
            part = [page for page in part if page.first <= until]
            if not part:
                break
            found += part
            after = part[-1].last
        return found

    async def head(self, run: str) -> Head:
        """The last event and the digest of all."""
        return await self._read(lambda role: role.head(run))

    async def runs(self) -> list[str]:
        """The ids of all runs that are there."""
        return await self._read(lambda role: role.runs())

    async def losses(self) -> list[Loss]:
        """All runs compared with the mark."""
        return await self._read(lambda role: role.losses())

    async def accept_loss(self) -> None:
        """From now on what is there counts as all that was acknowledged."""
        await self._write(lambda store: store.accept_loss())

    async def read(self, run: str, after: int = 0, limit: int = 10_000) -> list[tuple[int, AnyEvent]]:
        """Up to `limit` events after sequence `after`, in order."""
        events: list[tuple[int, AnyEvent]] = []
        while True:
            at, wanted = after + len(events), limit - len(events)
            pages = await self._read(partial(_pages, run=run, after=at, limit=wanted))
            events += unpack(run, pages, at, wanted)
            if not pages or len(events) >= limit:
                return events

    async def summaries(self) -> list[RunSummary]:
        """One per run, newest first."""
        return await self._read(lambda role: role.summaries())

    async def newest_runs(self) -> list[RunSummary]:
        """Of each environment, and those without a turn."""
        return await self._read(lambda role: role.newest_runs())

    async def summary(self, run: str) -> RunSummary:
        """Of one run by its full id."""
        return await self._read(lambda role: role.summary(run))

    async def save_snapshot(self, lease: Lease, snapshot: Snapshot) -> None:
        """Keep the newest snapshot of the run only."""
        await self._under(lease, lambda store: store.save_snapshot(lease, snapshot))

    async def snapshot(self, run: str) -> Snapshot | None:
        """The newest snapshot, if there is one."""
        return await self._read(lambda role: role.snapshot(run))

    async def acquire(
        self, run: str, holder: str, now: float, ttl: float = LEASE_SECONDS, *, silent: HeldLease | None = None
    ) -> Lease:
        """Become the run's driver with a fence higher than any before."""
        lease = await self._write(lambda store: store.acquire(run, holder, now + ttl, silent))
        self._taken(lease)
        return lease

    async def renew(self, lease: Lease, now: float, ttl: float = LEASE_SECONDS) -> Lease:
        """The same lease with a later expiry."""
        return await self._under(lease, lambda store: store.renew(lease, now + ttl))

    async def release(self, lease: Lease) -> None:
        """Give it up at once."""
        await self._write(lambda store: store.release(lease))
        self._given_up(lease)

    async def held(self, run: str) -> HeldLease | None:
        """The run's current lease, None if no process holds it."""
        return await self._read(lambda role: role.held(run))

    async def signal(self, run: str, signal: Signal) -> None:
        """Leave a request for the driver, durable on return."""
        await self._read(lambda role: role.signal(run, signal))

    async def signals(self, run: str, after: int = 0) -> list[tuple[int, Signal]]:
        """Requests after number `after`, in order."""
        return await self._read(lambda role: role.signals(run, after))

    async def _under(self, lease: Lease, work: Callable[[SurrealRepository], Awaitable[T]]) -> T:
        try:
            return await self._write(work)
        except LeaseLost:
            self._given_up(lease)
            raise


def _pages(role: Readable, run: str, after: int, limit: int) -> Awaitable[list[EventRow]]:
    return role.pages(run, after, limit)
