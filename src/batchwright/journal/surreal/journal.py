"""The Journal port over SurrealDB: this process holds the folder, or is a guest of the one that does."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TypeVar

import msgspec

from batchwright.errors import LeaseLost, StoreHeld
from batchwright.journal import refusals
from batchwright.journal.base import LEASE_SECONDS, Lease, Snapshot
from batchwright.journal.folder import make_private
from batchwright.journal.lease import process_of
from batchwright.journal.pages import Page, paginate, unpack
from batchwright.journal.surreal import lock
from batchwright.journal.surreal.guest import Guest
from batchwright.journal.surreal.holder import Holder
from batchwright.journal.surreal.store import Store
from batchwright.journal.surreal.wire import HolderGone
from batchwright.model.events import AnyEvent, RunCreated
from batchwright.model.summary import RunSummary, Signal

TRIES = 200  # looks at who holds the folder, PAUSE seconds apart: while it changes hands nobody answers
PAUSE = 0.025
COURTESY = 0.2  # seconds in which one who has handed the folder over does not ask for it back

T = TypeVar("T")


class SurrealJournal:
    """One process at a time has the engine. Others read and signal through it, and write when it drives no run."""

    name = "surrealdb"

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._is_open = False
        self._role: Holder | Guest | None = None
        self._changing = asyncio.Lock()
        self._leaving: asyncio.Task[None] | None = None
        self._driven: dict[str, int] = {}  # the runs this process drives, with the fence of each lease
        self._writes = 0  # writes under way

    async def open(self) -> None:
        """Make it ready; creates an empty store, or visits the process that holds it."""
        self._is_open = True
        try:
            await self._find_role()
        except BaseException:
            self._is_open = False
            raise

    async def aclose(self) -> None:
        """End cleanly what was begun."""
        self._is_open = False
        if self._leaving is not None:
            await asyncio.wait([self._leaving])
        await self._forget(self._role)
        self._driven.clear()

    async def create(self, event: RunCreated, summary: RunSummary) -> None:
        """Begin a run with its first event."""
        pages, body = paginate(0, [event]), msgspec.json.encode(summary)
        await self._write(lambda store: store.create(event.run, pages, body))

    async def append(
        self, lease: Lease, after: int, events: Sequence[AnyEvent], summary: RunSummary | None = None
    ) -> int:
        """Write events after sequence `after`, all or none."""
        pages = paginate(after, events)
        body = None if summary is None else msgspec.json.encode(summary)
        with self._under(lease):
            return await self._write(lambda store: store.append(lease, after, pages, body))

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

    async def summary(self, run: str) -> RunSummary:
        """Of one run by its full id."""
        return await self._read(lambda role: role.summary(run))

    async def save_snapshot(self, lease: Lease, snapshot: Snapshot) -> None:
        """Keep the newest snapshot of the run only."""
        with self._under(lease):
            await self._write(lambda store: store.save_snapshot(lease, snapshot))

    async def snapshot(self, run: str) -> Snapshot | None:
        """The newest snapshot, if there is one."""
        return await self._read(lambda role: role.snapshot(run))

    async def acquire(self, run: str, holder: str, now: float, ttl: float = LEASE_SECONDS) -> Lease:
        """Become the run's driver with a fence higher than any before."""
        lease = await self._write(lambda store: store.acquire(run, holder, now, ttl))
        self._driven[run] = lease.fence
        return lease

    async def renew(self, lease: Lease, now: float, ttl: float = LEASE_SECONDS) -> Lease:
        """The same lease with a later expiry."""
        with self._under(lease):
            return await self._write(lambda store: store.renew(lease, now + ttl))

    async def release(self, lease: Lease) -> None:
        """Give it up at once."""
        await self._write(lambda store: store.release(lease))
        self._no_longer_driven(lease)

    async def holder(self, run: str, now: float) -> str | None:
        """Who drives the run right now, or None."""
        return await self._read(lambda role: role.holder(run, now))

    async def signal(self, run: str, signal: Signal) -> None:
        """Leave a request for the driver, durable on return."""
        await self._read(lambda role: role.signal(run, signal))

    async def signals(self, run: str, after: int = 0) -> list[tuple[int, Signal]]:
        """Requests after number `after`, in order."""
        return await self._read(lambda role: role.signals(run, after))

    # --- who holds the folder ---

    async def _read(self, work: Callable[[Store | Guest], Awaitable[T]]) -> T:
        """What the holder and its guests can do alike."""
        for _ in range(TRIES):
            role = await self._find_role()
            try:
                return await work(role.store if isinstance(role, Holder) else role)
            except HolderGone:
                await self._forget(role)
        raise self._held(None)

    async def _write(self, work: Callable[[Store], Awaitable[T]]) -> T:
        """What only the holder can do; a guest asks for the folder first."""
        self._writes += 1
        try:
            for _ in range(TRIES):
                role = await self._find_role()
                try:
                    if isinstance(role, Holder):
                        return await work(role.store)
                    if not await role.ask_for_the_folder():
                        raise self._held(role.tenant)
                except HolderGone:
                    pass
                await self._forget(role)
        finally:
            self._writes -= 1
        raise self._held(None)

    async def _find_role(self) -> Holder | Guest:
        async with self._changing:
            if not self._is_open:
                raise refusals.closed(self._folder)
            if self._role is None:
                self._role = await self._look()
            return self._role

    async def _look(self) -> Holder | Guest:
        """Take the folder if nobody has it, else visit who has."""
        make_private(self._folder)
        tenant = None
        for _ in range(TRIES):
            ours = lock.take(self._folder)
            if ours is not None:
                holder = Holder(self._folder, ours, self._hand_over)
                await holder.open()
                return holder
            tenant = lock.tenant(self._folder)
            if tenant is not None and tenant.socket:
                try:
                    return await Guest.visit(tenant)
                except HolderGone:
                    pass  # it has just left, or was killed: the lock says which
            await asyncio.sleep(PAUSE)
        raise self._held(tenant)

    async def _forget(self, role: Holder | Guest | None) -> None:
        async with self._changing:
            if role is not None and self._role is role:
                self._role = None
                await role.aclose()

    def _hand_over(self) -> bool:
        """A guest asks for the folder: it may have it when nothing is driven from here."""
        if self._driven or self._writes or self._leaving is not None:
            return False
        self._leaving = asyncio.create_task(self._step_down())
        return True

    async def _step_down(self) -> None:
        async with self._changing:
            role, self._role = self._role, None
            if role is not None:
                await role.aclose()
            if self._is_open:
                await asyncio.sleep(COURTESY)
            self._leaving = None

    def _held(self, tenant: lock.Tenant | None) -> StoreHeld:
        who = process_of(tenant.holder) if tenant is not None else "another process"
        return StoreHeld(
            f"{who} holds the store {self._folder}, and only one process can write to it",
            hint='Wait until that process has ended, or use storage_backend = "filesystem", which takes many.',
        )

    @contextmanager
    def _under(self, lease: Lease) -> Iterator[None]:
        try:
            yield
        except LeaseLost:
            self._no_longer_driven(lease)
            raise

    def _no_longer_driven(self, lease: Lease) -> None:
        if self._driven.get(lease.run) == lease.fence:
            del self._driven[lease.run]


def _pages(role: Store | Guest, run: str, after: int, limit: int) -> Awaitable[list[Page]]:
    return role.pages(run, after, limit)
