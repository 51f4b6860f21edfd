"""The journal port. An append that returned is on disk; a stale driver's append is refused; nothing is rewritten."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from msgspec import Struct

from batchwright.journal.event_rows import EventRow
from batchwright.journal.high_water_mark import Loss
from batchwright.journal.lease_holder import LEASE_SECONDS, HeldLease
from batchwright.model.events import AnyEvent, RunCreated
from batchwright.model.run_signal import Signal
from batchwright.model.run_summary import RunSummary


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


class Head(Struct, frozen=True):
    """A place in the chain of a run: the digest of all events up to `seq`, in hexadecimal; empty where none is."""

    seq: int
    digest: str


class Journal(Protocol):
    """One store. Sequence numbers of a run start at 1 and have no gaps.

    Every method may raise a StoreError: StoreFull and StoreReadOnly when nothing could be written, StoreNewer on open,
    StoreCorrupt when what is read is not what was written, and StoreBehind, which is one, when acknowledged events are
    missing. No method leaves half of its work behind.

    The events of a run are chained (journal.chain): each page that an append wrote carries the digest of itself and,
    by the digest before it, of all before. What was written before there was a chain has none.
    """

    name: str  # "memory", "filesystem", "surrealdb", "surrealdb-server"; what a run's summary says it lives in

    async def open(self, *, behind: bool = False) -> None:
        """Make it ready; creates an empty store. Raises StoreUnavailable, StoreCorrupt, StoreNewer, StoreHeld.

        A store that has less than was acknowledged raises StoreBehind; with `behind` it is opened to be looked at.
        """
        ...

    async def aclose(self) -> None:
        """End cleanly what was begun; may be called twice."""
        ...

    async def create(self, event: RunCreated, summary: RunSummary, page: EventRow | None = None) -> None:
        """Begin a run with its first event (sequence 1). Raises SequenceConflict if the run exists.

        `page` is how another store holds the event; it is kept as it is, and so is its place in the chain.
        """
        ...

    async def append(
        self, lease: Lease, after: int, events: Sequence[AnyEvent], summary: RunSummary | None = None
    ) -> int:
        """Write events after sequence `after`, all or none, durable on return; gives the last sequence.

        Appends that wait at the same time share one fsync. Raises LeaseLost if the lease's fence is no longer the
        run's, SequenceConflict if `after` is not the last sequence, RunNotFound.
        """
        ...

    async def copy(self, lease: Lease, pages: Sequence[EventRow]) -> int:
        """Append pages of another store as they are, so that the chain stays what it was. As `append`.

        Raises StoreCorrupt if they do not continue the chain.
        """
        ...

    async def pages(self, run: str, after: int = 0, limit: int = 10_000) -> list[EventRow]:
        """The pages after the one that ends with event `after`, or after none, with `limit` events or a page more."""
        ...

    async def read(self, run: str, after: int = 0, limit: int = 10_000) -> list[tuple[int, AnyEvent]]:
        """Up to `limit` events after sequence `after`, in order. Raises RunNotFound, EventUnreadable."""
        ...

    async def head(self, run: str) -> Head:
        """The last event and the digest of all. Raises RunNotFound."""
        ...

    async def runs(self) -> list[str]:
        """The ids of all runs that are there, whatever state they are in."""
        ...

    async def losses(self) -> list[Loss]:
        """All runs compared with the mark of what was acknowledged. Raises StoreBehind without a readable mark."""
        ...

    async def accept_loss(self) -> None:
        """From now on what is there counts as all that was acknowledged."""
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

    async def acquire(
        self, run: str, holder: str, now: float, ttl: float = LEASE_SECONDS, *, silent: HeldLease | None = None
    ) -> Lease:
        """Become the run's driver with a fence higher than any before; `now + ttl` is only shown.

        Raises RunHeld while another holds it who is not known to be dead (`journal.lease.is_dead`), unless its lease is
        still `silent`, which the caller has watched for LEASE_SECONDS by its own monotonic clock. Raises RunNotFound.
        """
        ...

    async def renew(self, lease: Lease, now: float, ttl: float = LEASE_SECONDS) -> Lease:
        """A sign of life: the same lease with another expiry. Raises LeaseLost."""
        ...

    async def release(self, lease: Lease) -> None:
        """Give it up at once; nothing happens when it was lost already."""
        ...

    async def held(self, run: str) -> HeldLease | None:
        """The run's current lease, or None if no process holds it."""
        ...

    async def signal(self, run: str, signal: Signal) -> None:
        """Leave a request for the driver, durable on return. Raises RunNotFound."""
        ...

    async def signals(self, run: str, after: int = 0) -> list[tuple[int, Signal]]:
        """Requests after number `after`, in order, each with its number (1, 2, ...)."""
        ...
