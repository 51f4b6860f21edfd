"""The journal port. Once an append returns, its events are on disk; a stale driver's append is refused."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Protocol, runtime_checkable

from msgspec import Struct

from batchwright.journal.event_rows import EventRow
from batchwright.journal.high_water_mark import Loss
from batchwright.journal.lease_holder import LEASE_SECONDS, HeldLease
from batchwright.model.delivery import Delivery
from batchwright.model.environment import Enter, Environment, EnvironmentKey, Leave, Resource
from batchwright.model.events import AnyEvent, RunCreated
from batchwright.model.run_signal import Signal
from batchwright.model.run_summary import RunSummary

CLAIM_SECONDS = 15.0  # that a process's share of an account is valid
PENDING_MOST = 1_000  # rows of deliveries that are read at a time


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
    """The end of a run's chain: the digest of all events up to `seq`, in hexadecimal; empty if not chained."""

    seq: int
    digest: str


class ArchivedRun(Struct, frozen=True):
    """What a store keeps of a run whose events are in an archive: its summary, which names the archive, and its head.

    The head is the one of the events that were archived.
    """

    summary: RunSummary
    head: Head


class UnusedSpace(Struct, frozen=True):
    """Bytes of what was deleted: given back to the file system, and unused in the store until something needs them."""

    freed: int = 0
    kept: int = 0


class Turn(Struct, frozen=True):
    """How an append changes the environment of its run: `enter` first, then `leave`."""

    enter: Enter | None = None
    leave: Leave | None = None

    @property
    def key(self) -> EnvironmentKey:
        """Of the environment. Raises ValueError for a turn that neither begins nor ends."""
        change = self.enter or self.leave
        if change is None:
            raise ValueError("a turn begins or ends")
        return change.key

    @property
    def lenders(self) -> tuple[Environment, ...]:
        """Environments whose servers the run uses from now on, as they were seen."""
        return self.enter.lenders if self.enter is not None else ()


class Journal(Protocol):
    """One store. Sequence numbers of a run start at 1 and have no gaps.

    Every method may raise a StoreError: StoreFull and StoreReadOnly when nothing could be written, StoreNewer on open,
    StoreCorrupt when what is read is not what was written, and StoreBehind, which is one, when acknowledged events are
    missing. No method leaves half of its work behind.

    The events of an archived run are not in the store; `read`, `pages`, `acquire` and `signal` raise RunArchived.

    The events of a run are chained (journal.hash_chain): each page that an append wrote carries the digest of itself
    and, by the digest before it, of all before. What was written before there was a chain has none.
    """

    name: str  # what a run's summary says it lives in: "memory", or one of those that `app.multi_store` knows

    async def open(self, *, behind: bool = False) -> None:
        """Prepare the store; creates an empty one. Raises StoreUnavailable, StoreCorrupt, StoreNewer, StoreHeld.

        A store with fewer events than were acknowledged raises StoreBehind; with `behind` it is opened for inspection.
        """
        ...

    async def aclose(self) -> None:
        """Finish the writes that have begun, then close. May be called twice."""
        ...

    async def create(
        self, event: RunCreated, summary: RunSummary, page: EventRow | None = None, *, enter: Enter | None = None
    ) -> None:
        """Begin a run with its first event (sequence 1). Raises SequenceConflict if the run exists.

        `page` is the event as another store holds it; it keeps its bytes and its place in the chain. With `enter`
        the run's first turn begins in the same transaction; see `entered` for what that raises.
        """
        ...

    async def append(
        self,
        lease: Lease,
        after: int,
        events: Sequence[AnyEvent],
        summary: RunSummary | None = None,
        *,
        turn: Turn | None = None,
    ) -> int:
        """Write events after sequence `after`, all or none, durable on return; gives the last sequence.

        Appends that wait at the same time share one fsync. With `turn` a turn of the run's environment begins or ends,
        or both, in the same transaction. Raises LeaseLost if the lease's fence is no longer the run's, SequenceConflict
        if `after` is not the last sequence, RunNotFound, EnvironmentRefused.
        """
        ...

    async def environment(self, key: EnvironmentKey) -> Environment | None:
        """Who may change an environment; None if it never was in this store."""
        ...

    async def environments(self) -> list[Environment]:
        """All that are in this store, ordered by space and name."""
        ...

    async def resources(self, key: EnvironmentKey) -> list[Resource]:
        """What an environment had when its newest finished turn ended, ordered by key."""
        ...

    async def all_resources(self) -> list[tuple[EnvironmentKey, Resource]]:
        """The same of all environments, ordered by environment and key."""
        ...

    async def base_resources(self, key: EnvironmentKey) -> list[Resource]:
        """What an environment had after its turn `base`, ordered by key; nothing if it has no base."""
        ...

    async def write_environment(
        self,
        seen: Environment | None,
        row: Environment,
        resources: Sequence[Resource] | None = None,
        *,
        base: Sequence[Resource] | None = None,
    ) -> None:
        """Replace an environment's row, and with `resources` all that it has, without an event.

        For a move between stores, and for resources that were folded again. `base` replaces what it had at its base;
        its digest (environment_rows.base_digest) is the row's. Raises EnvironmentMoved, and writes nothing, if the row
        is not the one that was `seen`; None: there was none.
        """
        ...

    async def deliveries(self, run: str = "") -> list[Delivery]:
        """What webhooks have had of one run, or of all, ordered by run and webhook."""
        ...

    async def pending_deliveries(self) -> list[Delivery]:
        """The rows that are open, those that are due first, at most PENDING_MOST."""
        ...

    async def write_delivery(self, seen: Delivery | None, row: Delivery) -> None:
        """Replace a row, durable on return. Raises DeliveryMoved, and writes nothing, if it is not the one `seen`."""
        ...

    async def archive(self, runs: Sequence[ArchivedRun]) -> None:
        """Keep of these runs only what is given, all or none: their events, snapshots and signals are deleted.

        From then on RunArchived is raised by what reads their events, drives or signals them. A run that is not there
        gets its line. May be repeated. Raises RunHeld for a run that a process may be driving, SequenceConflict for
        one that is at another head.
        """
        ...

    async def put_back(self, run: str, pages: Sequence[EventRow]) -> None:
        """Write pages of an archived run again; it stays archived. May be repeated, in order.

        Raises RunNotFound, SequenceConflict if the run is not archived, StoreCorrupt if the pages do not continue
        those that are there.
        """
        ...

    async def unarchive(self, summary: RunSummary, signals: Sequence[Signal] = ()) -> None:
        """End the archiving of a run whose pages are all back: `summary` names no archive.

        Raises RunNotFound, SequenceConflict if the run is not archived, StoreCorrupt if its last page is missing.
        """
        ...

    async def compact(self) -> UnusedSpace:
        """Give unused space back to the file system, in short transactions and as far as the store can."""
        ...

    async def copy(self, lease: Lease, pages: Sequence[EventRow]) -> int:
        """Append pages of another store unchanged, so that the chain stays the same. Raises as `append`.

        Also raises StoreCorrupt if they do not continue the chain.
        """
        ...

    async def pages(self, run: str, after: int = 0, limit: int = 10_000) -> list[EventRow]:
        """The pages after the one that ends with event `after` (0: from the start): `limit` events or a page more."""
        ...

    async def read(self, run: str, after: int = 0, limit: int = 10_000) -> list[tuple[int, AnyEvent]]:
        """Up to `limit` events after sequence `after`, in order. Raises RunNotFound, EventUnreadable."""
        ...

    async def head(self, run: str) -> Head:
        """The number of the last event and the digest of all events. Raises RunNotFound."""
        ...

    async def runs(self) -> list[str]:
        """The ids of all runs, in whatever state."""
        ...

    async def losses(self) -> list[Loss]:
        """The runs that have fewer events than were acknowledged. Raises StoreBehind without a readable mark."""
        ...

    async def accept_loss(self) -> None:
        """Count the existing events as all that were acknowledged, from now on."""
        ...

    async def summaries(self) -> list[RunSummary]:
        """The summaries of all runs, newest first (by created_at, then run)."""
        ...

    async def newest_runs(self) -> list[RunSummary]:
        """The summaries of the newest run of each environment, and of the runs without a turn, which are older than
        environments; in no order. A newest run that is not there any more (`accept_loss`) is left out.
        """
        ...

    async def summary(self, run: str) -> RunSummary:
        """The summary of one run, by its full id. Raises RunNotFound."""
        ...

    async def save_snapshot(self, lease: Lease, snapshot: Snapshot) -> None:
        """Keep the newest snapshot of the run only. Raises LeaseLost. Losing one costs time, never facts."""
        ...

    async def snapshot(self, run: str) -> Snapshot | None:
        """The newest snapshot of a run, None if it has none."""
        ...

    async def acquire(
        self, run: str, holder: str, now: float, ttl: float = LEASE_SECONDS, *, silent: HeldLease | None = None
    ) -> Lease:
        """Become the run's driver with a fence higher than any before; `now + ttl` is only shown.

        Raises RunHeld while another process holds it that is not known to be dead (`lease_holder.is_dead`), unless its
        lease is still `silent`, which the caller has watched by its own monotonic clock for as long as its holder
        promised (`lease_holder.seconds_of`). Raises RunNotFound.
        """
        ...

    async def renew(self, lease: Lease, now: float, ttl: float = LEASE_SECONDS) -> Lease:
        """Show a sign of life: the same lease with another expiry. Raises LeaseLost."""
        ...

    async def release(self, lease: Lease) -> None:
        """Give up the lease at once; does nothing if it was lost already."""
        ...

    async def held(self, run: str) -> HeldLease | None:
        """The run's current lease, or None if no process holds it."""
        ...

    async def signal(self, run: str, signal: Signal) -> None:
        """Leave a signal for the driver, durable on return. Raises RunNotFound."""
        ...

    async def signals(self, run: str, after: int = 0) -> list[tuple[int, Signal]]:
        """The signals after number `after`, in order, each with its number (1, 2, ...)."""
        ...


@runtime_checkable
class Watchable(Protocol):
    """A store that tells of what other processes write. A hint can be lost: whoever must know looks now and then."""

    def watch(self, run: str, hint: Callable[[], None]) -> Callable[[], None]:
        """Call `hint`, in the event loop, whenever another process may have changed a run; gives what ends that."""
        ...


class AccountClaim(Struct, frozen=True):
    """What a process claims of an account that allows `capacity` calls at a time."""

    account: str
    process: str
    capacity: int
    in_flight: int
    wants: bool  # whether calls are in flight or wait


@runtime_checkable
class SharesAccounts(Protocol):
    """A store through which processes share the limits of accounts."""

    async def claim(self, claim: AccountClaim) -> int:
        """How many calls the process may have in flight, for CLAIM_SECONDS from before the call at most.

        All claims of an account that are valid at the same time add up to its capacity at most.
        """
        ...


class ChangeHints:
    """Hears of changes to a run by other processes, where its store tells of them."""

    def __init__(self, journal: Journal, run: str) -> None:
        self._heard = asyncio.Event()
        self._end = journal.watch(run, self._heard.set) if isinstance(journal, Watchable) else None

    async def wait(self, sleep: Coroutine[Any, Any, None]) -> None:
        """Return when `sleep` does, or as soon as there is a hint."""
        if self._end is None:
            await sleep
            return
        waiting = [asyncio.ensure_future(sleep), asyncio.ensure_future(self._heard.wait())]
        try:
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for one in waiting:
                one.cancel()
        self._heard.clear()

    def close(self) -> None:
        """Hear nothing more."""
        if self._end is not None:
            self._end()
