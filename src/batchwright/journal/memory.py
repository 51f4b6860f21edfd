"""A journal that lives as long as its object: for tests and rehearsals. Closing and opening it loses nothing."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec

from batchwright.errors import StoreCorrupt
from batchwright.journal import delivery_rows, event_codec, hash_chain, refusals
from batchwright.journal.base import PENDING_MOST, ArchivedRun, Head, Lease, Snapshot, Turn, UnusedSpace
from batchwright.journal.environment_rows import EnvironmentWrite, base_of, refuse_unseen, replaced, turned
from batchwright.journal.event_rows import EventRow, paginate
from batchwright.journal.high_water_mark import Loss
from batchwright.journal.lease_holder import LEASE_SECONDS, HeldLease, held, refuse_while_held
from batchwright.model.delivery import Delivery
from batchwright.model.environment import Enter, Environment, EnvironmentKey, Resource
from batchwright.model.events import AnyEvent, RunCreated
from batchwright.model.run_signal import Signal
from batchwright.model.run_summary import RunSummary


@dataclass(slots=True)
class _Record:
    """What is kept of one run."""

    summary: RunSummary
    events: list[AnyEvent]
    ends: list[int]  # the last event of each append
    fence: int = 0
    holder: str | None = None
    expires: float = 0.0
    snapshot: Snapshot | None = None
    signals: list[Signal] = field(default_factory=list)
    archived: Head | None = None  # its head, if its events are not here


class MemoryJournal:
    """The Journal port over dictionaries; events are frozen, so none is copied."""

    name = "memory"

    def __init__(self) -> None:
        self._runs: dict[str, _Record] = {}
        self._environments: dict[EnvironmentKey, Environment] = {}
        self._resources: dict[EnvironmentKey, dict[str, Resource]] = {}
        self._deliveries: dict[tuple[str, str], Delivery] = {}
        self._bases: dict[EnvironmentKey, bytes] = {}

    async def open(self, *, behind: bool = False) -> None:
        """Does nothing; there is no file to open."""

    async def aclose(self) -> None:
        """Does nothing; the runs stay in memory."""

    async def create(
        self, event: RunCreated, summary: RunSummary, page: EventRow | None = None, *, enter: Enter | None = None
    ) -> None:
        """Begin a run with its first event."""
        if event.run in self._runs:
            raise refusals.exists(event.run)
        self._turn(Turn(enter) if enter is not None else None)
        first: list[AnyEvent] = [event] if page is None else event_codec.decode_page(page.body, page.version)
        self._runs[event.run] = _Record(summary, first, [1])

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
        record = self._held(lease)
        if len(record.events) != after:
            raise refusals.moved_on(lease.run, len(record.events), after)
        self._turn(turn)
        record.events.extend(events)
        if events:
            record.ends.append(len(record.events))
        if summary is not None:
            record.summary = summary
        return len(record.events)

    def _turn(self, turn: Turn | None) -> None:
        for change in turned(turn, self._environments.get):
            self._save(change)

    def _save(self, change: EnvironmentWrite) -> None:
        key = change.environment.key
        self._environments[key] = change.environment
        kept = self._resources.setdefault(key, {})
        kept.update({one.key: _read_back(one) for one in change.changed})
        for gone in change.gone:
            kept.pop(gone, None)
        if change.base is not None:
            self._bases[key] = change.base

    async def environment(self, key: EnvironmentKey) -> Environment | None:
        """Who may change an environment."""
        return self._environments.get(key)

    async def environments(self) -> list[Environment]:
        """All there are."""
        return [self._environments[key] for key in sorted(self._environments)]

    async def resources(self, key: EnvironmentKey) -> list[Resource]:
        """What an environment had when its newest finished turn ended."""
        kept = self._resources.get(key, {})
        return [kept[one] for one in sorted(kept)]

    async def all_resources(self) -> list[tuple[EnvironmentKey, Resource]]:
        """What all environments had when their newest finished turns ended."""
        return [(key, kept[one]) for key, kept in sorted(self._resources.items()) for one in sorted(kept)]

    async def base_resources(self, key: EnvironmentKey) -> list[Resource]:
        """What an environment had at its base."""
        row = self._environments.get(key)
        return base_of(row, self._bases.get(key)) if row is not None and row.base_digest else []

    async def write_environment(
        self,
        seen: Environment | None,
        row: Environment,
        resources: Sequence[Resource] | None = None,
        *,
        base: Sequence[Resource] | None = None,
    ) -> None:
        """Replace an environment's row, and perhaps its resources, now and at its base."""
        refuse_unseen(seen, self._environments.get(row.key), row)
        self._save(replaced(row, resources, list(self._resources.get(row.key, {}).values()), base))

    async def archive(self, runs: Sequence[ArchivedRun]) -> None:
        """Keep only the lines of these runs."""
        for one in runs:
            found = self._runs.get(one.summary.run)
            if found is not None:
                refuse_while_held(one.summary.run, held(found.holder, found.fence, found.expires), "", None)
                if (at := await self.head(one.summary.run)) != one.head:
                    raise refusals.moved_on(one.summary.run, at.seq, one.head.seq)
        for one in runs:
            fence = self._runs[one.summary.run].fence if one.summary.run in self._runs else 0
            self._runs[one.summary.run] = _Record(one.summary, [], [], fence, archived=one.head)

    async def put_back(self, run: str, pages: Sequence[EventRow]) -> None:
        """Write pages of an archived run again."""
        record = self._archived(run)
        for page in pages:
            end = page.first - 1
            if end not in (0, *record.ends):
                raise StoreCorrupt(f"events of run {run} are missing near number {end}")
            before = self._chained(run, record)
            hash_chain.verify(run, next((one.chain for one in before if one.last == end), None), page)
            record.ends = [one for one in record.ends if one <= end] + [page.last]
            record.events[end:] = event_codec.decode_page(page.body, page.version)

    async def unarchive(self, summary: RunSummary, signals: Sequence[Signal] = ()) -> None:
        """End the archiving of a run."""
        record = self._archived(summary.run)
        pages = self._chained(summary.run, record)
        if not pages or _head(pages) != record.archived:
            raise StoreCorrupt(f"events of run {summary.run} are missing")
        record.summary, record.signals, record.archived = summary, list(signals), None

    async def compact(self) -> UnusedSpace:
        """Memory has no file."""
        return UnusedSpace()

    async def deliveries(self, run: str = "") -> list[Delivery]:
        """What webhooks have had."""
        return [row for _, row in sorted(self._deliveries.items()) if run in ("", row.run)]

    async def pending_deliveries(self) -> list[Delivery]:
        """Those that are open."""
        return sorted((row for row in self._deliveries.values() if row.open), key=lambda row: row.due)[:PENDING_MOST]

    async def write_delivery(self, seen: Delivery | None, row: Delivery) -> None:
        """Replace a row."""
        delivery_rows.refuse_unseen(seen, self._deliveries.get((row.run, row.webhook)), row)
        self._deliveries[row.run, row.webhook] = row

    async def copy(self, lease: Lease, pages: Sequence[EventRow]) -> int:
        """Append pages of another store."""
        before = (await self.head(lease.run)).digest
        digest = bytes.fromhex(before) if before else None
        last = len(self._record(lease.run).events)
        for page in pages:
            hash_chain.verify(lease.run, digest, page)
            digest = page.chain
            last = await self.append(lease, page.first - 1, event_codec.decode_page(page.body, page.version))
        return last

    async def pages(self, run: str, after: int = 0, limit: int = 10_000) -> list[EventRow]:
        """Made on demand, because no driver needs them."""
        chosen: list[EventRow] = []
        for page in self._chained(run, self._here(run)):
            if page.first > after and (not chosen or page.first <= after + limit):
                chosen.append(page)
        return chosen

    def _chained(self, run: str, record: _Record) -> list[EventRow]:
        pages: list[EventRow] = []
        for start, end in itertools.pairwise([0, *record.ends]):
            pages += paginate(start, record.events[start:end])
        return hash_chain.chained(None, run, pages)

    async def head(self, run: str) -> Head:
        """The number of the last event and the digest of all events."""
        record = self._record(run)
        return record.archived or _head(self._chained(run, record))

    async def runs(self) -> list[str]:
        """The ids of all runs."""
        return list(self._runs)

    async def losses(self) -> list[Loss]:
        """Always empty: memory loses no events."""
        return []

    async def accept_loss(self) -> None:
        """Does nothing; memory loses no events."""

    async def read(self, run: str, after: int = 0, limit: int = 10_000) -> list[tuple[int, AnyEvent]]:
        """Up to `limit` events after sequence `after`, in order."""
        return list(enumerate(self._here(run).events[after : after + limit], after + 1))

    async def summaries(self) -> list[RunSummary]:
        """The summaries of all runs, newest first."""
        kept = [record.summary for record in self._runs.values()]
        return sorted(kept, key=lambda summary: (-summary.created_at, summary.run))

    async def newest_runs(self) -> list[RunSummary]:
        """Of each environment, and those without a turn."""
        newest = {row.last for row in self._environments.values()}
        rows = [record.summary for record in self._runs.values()]
        return [row for row in rows if row.run in newest or not row.turn]

    async def summary(self, run: str) -> RunSummary:
        """The summary of one run, by its full id."""
        return self._record(run).summary

    async def save_snapshot(self, lease: Lease, snapshot: Snapshot) -> None:
        """Keep the newest snapshot of the run only."""
        record = self._held(lease)
        if record.snapshot is None or record.snapshot.seq <= snapshot.seq:
            record.snapshot = snapshot

    async def snapshot(self, run: str) -> Snapshot | None:
        """The newest snapshot of a run, None if it has none."""
        return self._runs[run].snapshot if run in self._runs else None

    async def acquire(
        self, run: str, holder: str, now: float, ttl: float = LEASE_SECONDS, *, silent: HeldLease | None = None
    ) -> Lease:
        """Become the run's driver with a fence higher than any before."""
        record = self._here(run)
        refuse_while_held(run, held(record.holder, record.fence, record.expires), holder, silent)
        record.fence += 1
        record.holder, record.expires = holder, now + ttl
        return Lease(run, holder, record.fence, record.expires)

    async def renew(self, lease: Lease, now: float, ttl: float = LEASE_SECONDS) -> Lease:
        """The same lease with a later expiry."""
        record = self._held(lease)
        record.expires = now + ttl
        return Lease(lease.run, lease.holder, lease.fence, record.expires)

    async def release(self, lease: Lease) -> None:
        """Give up the lease at once."""
        record = self._runs.get(lease.run)
        if record is not None and (record.fence, record.holder) == (lease.fence, lease.holder):
            record.holder = None

    async def held(self, run: str) -> HeldLease | None:
        """The run's current lease, None if no process holds it."""
        record = self._runs.get(run)
        return None if record is None else held(record.holder, record.fence, record.expires)

    async def signal(self, run: str, signal: Signal) -> None:
        """Leave a signal for the driver."""
        self._here(run).signals.append(signal)

    async def signals(self, run: str, after: int = 0) -> list[tuple[int, Signal]]:
        """The signals after number `after`, in order."""
        return list(enumerate(self._runs[run].signals[after:], after + 1)) if run in self._runs else []

    def _record(self, run: str) -> _Record:
        try:
            return self._runs[run]
        except KeyError:
            raise refusals.missing(run) from None

    def _here(self, run: str) -> _Record:
        record = self._record(run)
        if record.archived is not None:
            raise refusals.archived(record.summary)
        return record

    def _archived(self, run: str) -> _Record:
        record = self._record(run)
        if record.archived is None:
            raise refusals.not_archived(run)
        return record

    def _held(self, lease: Lease) -> _Record:
        record = self._record(lease.run)
        if (record.fence, record.holder) != (lease.fence, lease.holder):
            raise refusals.lost(lease.run)
        return record


def _head(pages: Sequence[EventRow]) -> Head:
    return Head(pages[-1].last, (pages[-1].chain or b"").hex())


def _read_back(one: Resource) -> Resource:
    """As the stores on disk give it back: with lists in its request, and no tuples."""
    return msgspec.json.decode(msgspec.json.encode(one), type=Resource)
