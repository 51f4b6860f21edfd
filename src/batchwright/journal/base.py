"""The journal port. An append that returned is on disk; a stale driver's append is refused; nothing is rewritten."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from msgspec import Struct

from batchwright.model.events import AnyEvent, RunCreated
from batchwright.model.summary import RunSummary, Signal

LEASE_SECONDS = 15.0  # a driver that has not renewed for so long may be replaced; the fence keeps it from harm


class Lease(Struct, frozen=True):
    """The right to write to one run. `fence` grows with every holder."""

    run: str
    holder: str
    fence: int
    expires: float


class Snapshot(Struct, frozen=True):
    """The fold of the events up to and including `seq`, as bytes only the fold understands."""

    seq: int
    body: bytes


class Journal(Protocol):
    """One store. Sequence numbers of a run start at 1 and have no gaps.

    Every method may raise a StoreError: StoreFull and StoreReadOnly when nothing could be written, StoreCorrupt and
    StoreNewer on open. No method leaves half of its work behind.
    """

    name: str  # "memory", "filesystem", "surrealdb", "surrealdb-server"; what a run's summary says it lives in

    async def open(self) -> None:
        """Make it ready; creates an empty store. Raises StoreUnavailable, StoreCorrupt, StoreNewer, StoreHeld."""
        ...

    async def aclose(self) -> None:
        """End cleanly what was begun; may be called twice."""
        ...

    async def create(self, event: RunCreated, summary: RunSummary) -> None:
        """Begin a run with its first event (sequence 1). Raises SequenceConflict if the run exists."""
        ...

    async def append(
        self, lease: Lease, after: int, events: Sequence[AnyEvent], summary: RunSummary | None = None
    ) -> int:
        """Write events after sequence `after`, all or none, durable on return; gives the last sequence.

        Appends that wait at the same time share one fsync. Raises LeaseLost if the lease's fence is no longer the
        run's, SequenceConflict if `after` is not the last sequence, RunNotFound.
        """
        ...

    async def read(self, run: str, after: int = 0, limit: int = 10_000) -> list[tuple[int, AnyEvent]]:
        """Up to `limit` events after sequence `after`, in order. Raises RunNotFound, EventUnreadable."""
        ...

    async def summaries(self) -> list[RunSummary]:
        """One per run, newest first (by created_at, then run)."""
        ...

    async def summary(self, run: str) -> RunSummary:
        """Of one run by its full id. Raises RunNotFound."""
        ...

    async def save_snapshot(self, lease: Lease, snapshot: Snapshot) -> None:
        """Keep the newest snapshot of the run only. Raises LeaseLost. Losing one costs time, never facts."""
        ...

    async def snapshot(self, run: str) -> Snapshot | None:
        """The newest snapshot, if there is one."""
        ...

    async def acquire(self, run: str, holder: str, now: float, ttl: float = LEASE_SECONDS) -> Lease:
        """Become the run's driver with a fence higher than any before.

        Raises RunHeld while another holder's lease has not expired and its process is not known to be dead
        (`journal.lease.is_dead`), RunNotFound.
        """
        ...

    async def renew(self, lease: Lease, now: float, ttl: float = LEASE_SECONDS) -> Lease:
        """The same lease with a later expiry. Raises LeaseLost."""
        ...

    async def release(self, lease: Lease) -> None:
        """Give it up at once; nothing happens when it was lost already."""
        ...

    async def holder(self, run: str, now: float) -> str | None:
        """Who drives the run right now, or None."""
        ...

    async def signal(self, run: str, signal: Signal) -> None:
        """Leave a request for the driver, durable on return. Raises RunNotFound."""
        ...

    async def signals(self, run: str, after: int = 0) -> list[tuple[int, Signal]]:
        """Requests after number `after`, in order, each with its number (1, 2, ...)."""
        ...
