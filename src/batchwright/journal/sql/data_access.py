"""What the journal does to an SQL database, as plain functions on a connection inside the caller's transaction."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import msgspec

from batchwright.errors import RunArchived, StoreCorrupt, StoreError
from batchwright.journal import hash_chain, refusals
from batchwright.journal import lease_holder as leases
from batchwright.journal.base import Head, Lease, Snapshot, Turn
from batchwright.journal.environment_rows import (
    EnvironmentWrite,
    Row,
    environment_of,
    environment_row,
    refuse_unseen,
    replaced,
    resource_of,
    resource_row,
    turned,
)
from batchwright.journal.event_rows import PAGE_EVENTS, EventRow, unpack
from batchwright.journal.high_water_mark import Entry, Loss, behind
from batchwright.journal.lease_holder import HeldLease
from batchwright.journal.sql.connection import SqlConnection
from batchwright.model.environment import Environment, EnvironmentKey, Resource
from batchwright.model.events import AnyEvent
from batchwright.model.run_signal import Signal
from batchwright.model.run_summary import RunSummary

_summary = msgspec.json.Decoder(RunSummary)
_signal = msgspec.json.Decoder(Signal)


class State(NamedTuple):
    """The last event of a run, and its lease."""

    last: int
    fence: int
    holder: str | None
    expires: float
    head: bytes | None


class RunRecord(NamedTuple):
    """A run's record, without its driver."""

    run: str
    last: int
    head: bytes | None
    seal: bytes | None
    summary: bytes

    def checked(self) -> RunRecord:
        """The record itself. Raises StoreCorrupt if it differs from what was written."""
        hash_chain.check_seal(*self[:3], self.summary, self.seal)
        return self


def state(connection: SqlConnection, run: str) -> State | None:
    """The state of one run, None if there is no such run."""
    row = connection.row("state_of_run", {"run": run})
    return None if row is None else State(*row)


def record(connection: SqlConnection, run: str, query: str = "summary") -> RunRecord:
    """The record of one run. Raises RunNotFound, StoreCorrupt."""
    row = connection.row(query, {"run": run})
    if row is None:
        raise refusals.missing(run)
    return RunRecord(*row).checked()


def whole(connection: SqlConnection, run: str) -> RunRecord:
    """The record of a run whose events are in the store. Raises RunArchived, RunNotFound, StoreCorrupt."""
    found = record(connection, run)
    if (about := _decoded(_summary, run, found.summary)).archive:
        raise refusals.archived(about)
    return found


def create(
    connection: SqlConnection,
    run: str,
    created_at: float,
    pages: list[EventRow],
    summary: bytes,
    turn: Turn | None = None,
) -> Entry:
    """A run with its first event, in a page that is chained already, and the turn that begins with it."""
    if state(connection, run) is not None:
        raise refusals.exists(run)
    changes = turned(turn, partial(environment, connection))
    last, head = pages[-1].last, pages[-1].chain
    values = {"run": run, "created_at": created_at, "summary": summary, "last": last, "head": head}
    seal = hash_chain.seal(run, last, head, summary)
    connection.execute("create_run", {**values, "seal": seal})
    _insert(connection, run, pages)
    for change in changes:
        _save_environment(connection, change)
    return Entry(run, last, head)


def append(
    connection: SqlConnection,
    lease: Lease,
    after: int,
    pages: list[EventRow],
    summary: bytes | None,
    *,
    copied: bool = False,
    turn: Turn | None = None,
) -> Entry | int:
    """Insert events after sequence `after`; gives the last sequence and what is to be marked, if there are events.

    Copied pages keep their place in the chain, which is verified; others are chained here.
    """
    before = record(connection, lease.run, "driven_run")  # if it is out of date, `advance_run` refuses
    if copied:
        head = before.head
        for page in pages:
            hash_chain.verify(lease.run, head, page)
            head = page.chain
    else:
        pages = hash_chain.chained(before.head, lease.run, pages)
    last, head = (pages[-1].last, pages[-1].chain) if pages else (after, before.head)
    values = {
        "run": lease.run,
        "after": after,
        "last": last,
        "fence": lease.fence,
        "holder": lease.holder,
        "summary": summary,
        "head": head,
        "seal": hash_chain.seal(lease.run, last, head, before.summary if summary is None else summary),
    }
    if turn is not None and (refusal := _why_refused(connection, lease, after)) is not None:
        raise refusal  # who has lost the run is told that first
    changes = turned(turn, partial(environment, connection))
    if connection.change("advance_run", values) != 1:
        raise _why_refused(connection, lease, after) or refusals.lost(lease.run)
    _insert(connection, lease.run, pages)
    for change in changes:
        _save_environment(connection, change)
    return Entry(lease.run, last, head) if pages else last


def _insert(connection: SqlConnection, run: str, pages: list[EventRow]) -> None:
    connection.execute_each("insert_page", [{"run": run, **page._asdict()} for page in pages])


def _why_refused(connection: SqlConnection, lease: Lease, after: int) -> StoreError | None:
    found = state(connection, lease.run)
    if found is None:
        return refusals.missing(lease.run)
    if (found.fence, found.holder) != (lease.fence, lease.holder):
        return refusals.lost(lease.run)
    return refusals.moved_on(lease.run, found.last, after) if found.last != after else None


def write_environment(
    connection: SqlConnection,
    seen: Environment | None,
    row: Environment,
    resources_now: Sequence[Resource] | None,
    base: Sequence[Resource] | None,
) -> None:
    """Replace an environment's row, and perhaps its resources, now and at its base. Raises EnvironmentMoved."""
    refuse_unseen(seen, environment(connection, row.key), row)
    before = resources(connection, row.key) if resources_now is not None else ()
    _save_environment(connection, replaced(row, resources_now, before, base))


def _save_environment(connection: SqlConnection, change: EnvironmentWrite) -> None:
    row, key = environment_row(change.environment), change.environment.key
    values = {"space": key.space, "name": key.name, "body": row.body, "digest": row.digest}
    connection.execute("save_environment", values)
    if change.base is not None:
        connection.execute("save_base", {"space": key.space, "name": key.name, "body": change.base})
    place = {"space": key.space, "name": key.name}
    rows = [{**place, "key": one.key, **resource_row(key, one)._asdict()} for one in change.changed]
    connection.execute_each("save_resource", rows)
    connection.execute_each("remove_resource", [{**place, "key": gone} for gone in change.gone])


def environment(connection: SqlConnection, key: EnvironmentKey) -> Environment | None:
    """Whose turn it is, if the environment is there. Raises StoreCorrupt."""
    row = connection.row("environment", {"space": key.space, "name": key.name})
    return None if row is None else environment_of(key, Row(*row))


def environments(connection: SqlConnection) -> list[Environment]:
    """All of them. Raises StoreCorrupt."""
    rows = connection.rows("environments")
    return [environment_of(EnvironmentKey(space, name), Row(*row)) for space, name, *row in rows]


def resources(connection: SqlConnection, key: EnvironmentKey) -> list[Resource]:
    """What an environment has. Raises StoreCorrupt."""
    rows = connection.rows("resources", {"space": key.space, "name": key.name})
    return [resource_of(key, name, Row(*row)) for name, *row in rows]


def acquire(connection: SqlConnection, run: str, holder: str, expires: float, silent: HeldLease | None) -> Lease:
    """Give the run's lease to this holder, with the next fence."""
    whole(connection, run)
    found = state(connection, run)
    if found is None:
        raise refusals.missing(run)
    leases.refuse_while_held(run, leases.held(found.holder, found.fence, found.expires), holder, silent)
    values = {"run": run, "holder": holder, "expires": expires}
    [[fence]] = connection.rows("take_lease", values)
    return Lease(run, holder, fence, expires)


def renew(connection: SqlConnection, lease: Lease, expires: float) -> Lease:
    """Extend the same lease."""
    if connection.change("renew_lease", {**_of(lease), "expires": expires}) != 1:
        raise refusals.lost(lease.run)
    return Lease(lease.run, lease.holder, lease.fence, expires)


def release(connection: SqlConnection, lease: Lease) -> None:
    """Release the run's lease, unless another process holds it already."""
    connection.execute("release_lease", _of(lease))


def save_snapshot(connection: SqlConnection, lease: Lease, snapshot: Snapshot) -> None:
    """Store the snapshot, unless a newer one exists."""
    found = state(connection, lease.run)
    if found is None:
        raise refusals.missing(lease.run)
    if (found.fence, found.holder) != (lease.fence, lease.holder):
        raise refusals.lost(lease.run)
    digest = hash_chain.digest_of("snapshot", lease.run, snapshot.seq, snapshot.body)
    values = {"run": lease.run, "seq": snapshot.seq, "body": snapshot.body, "digest": digest}
    connection.execute("save_snapshot", values)


def add_signal(connection: SqlConnection, run: str, body: bytes) -> None:
    """Insert a signal with the next number."""
    whole(connection, run)
    [[before]] = connection.rows("last_signal", {"run": run})
    number = before + 1
    digest = hash_chain.digest_of("signal", run, number, body)
    connection.execute("add_signal", {"run": run, "number": number, "body": body, "digest": digest})


def read(connection: SqlConnection, run: str, after: int, limit: int) -> list[tuple[int, AnyEvent]]:
    """Up to `limit` events after sequence `after`. Raises StoreCorrupt if they differ from what was written."""
    return unpack(run, _pages(connection, run, after, limit), after, limit)


def pages(connection: SqlConnection, run: str, after: int, limit: int) -> list[EventRow]:
    """The pages after the one that ends with `after`, with so many events or a page more."""
    return list(_pages(connection, run, after, limit))


def _pages(connection: SqlConnection, run: str, after: int, limit: int) -> Iterator[EventRow]:
    found = state(connection, run)  # before the pages: a writer may append between the two, never take away
    if found is None:
        raise refusals.missing(run)
    at, end = after, min(after + limit, found.last)
    if found.last > after:
        # a page is known by its last event, so the one with event `end` may end up to a page later
        values = {"run": run, "after": after, "until": end + PAGE_EVENTS}
        before = None
        for number, row in enumerate(connection.rows("read_pages", values)):
            page = EventRow(*row)
            if number == 0 and page.first > 1:
                before = _chain_at(connection, run, page.first - 1)
            hash_chain.verify(run, before, page)
            if page.last == found.last and page.chain != found.head:
                raise StoreCorrupt(f"the last event of run {run} differs from the one that was recorded")
            yield page
            before, at = page.chain, page.last
            if at >= end:
                break
    if at < end:
        whole(connection, run)
        raise StoreCorrupt(f"events of run {run} are missing after number {at}: it had {found.last}")


def _chain_at(connection: SqlConnection, run: str, last: int) -> bytes | None:
    row = connection.row("chain_at", {"run": run, "last": last})
    if row is None:
        whole(connection, run)
        raise StoreCorrupt(f"events of run {run} are missing near number {last}")
    chain_at: bytes | None = row[0]
    return chain_at


def head(connection: SqlConnection, run: str) -> Head:
    """The number of the last event and the digest of all events."""
    found = record(connection, run)
    return Head(found.last, (found.head or b"").hex())


def runs(connection: SqlConnection) -> list[Entry]:
    """The last event of each run, by its record."""
    return [Entry(*row) for row in connection.rows("runs")]


def losses(connection: SqlConnection, marked: Iterable[Entry]) -> list[Loss]:
    """The runs that have fewer events than were acknowledged."""
    lost, entries = [], list(marked)
    states = connection.row_each("state_of_run", [{"run": entry.run} for entry in entries])
    chains = connection.row_each("chain_at", [{"run": entry.run, "last": entry.last} for entry in entries])
    for (run, last, digest), row, chain in zip(entries, states, chains, strict=True):
        found = None if row is None else State(*row)
        if found is None or found.last < last:
            lost.append(Loss(run, found.last if found else 0, last))
        elif digest is not None:
            if chain is None and _is_archived(connection, run):  # its record, which is sealed, stands for its pages
                chain = (digest,)
            if chain is None or chain[0] != digest or (found.last == last and found.head != digest):
                lost.append(Loss(run, found.last, last))
    return lost


def _is_archived(connection: SqlConnection, run: str) -> bool:
    try:
        whole(connection, run)
    except RunArchived:
        return True
    except StoreCorrupt:
        pass  # what a damaged record says does not count
    return False


def summaries(connection: SqlConnection, marked: Mapping[str, Entry]) -> list[RunSummary]:
    """The summaries of all runs, newest first. Raises StoreBehind if a marked run is missing or has lost events."""
    return summaries_in([RunRecord(*row) for row in connection.rows("summaries")], marked.values())


def summaries_in(rows: Sequence[RunRecord], marked: Iterable[Entry]) -> list[RunSummary]:
    """The summaries in these records. Raises StoreBehind if one of these marked runs is missing or has lost events."""
    last = {row.run: row.last for row in rows}
    lost = [Loss(one.run, last.get(one.run, 0), one.last) for one in marked if last.get(one.run, 0) < one.last]
    if lost:
        raise behind("the store", lost)
    return [_decoded(_summary, row.run, row.checked().summary) for row in rows]


def summary(connection: SqlConnection, run: str) -> RunSummary:
    """The summary of one run, None if there is no such run."""
    decoded: RunSummary = _decoded(_summary, run, record(connection, run).summary)
    return decoded


def snapshot(connection: SqlConnection, run: str) -> Snapshot | None:
    """The newest snapshot of a run, None if it has none. Raises StoreCorrupt."""
    row = connection.row("snapshot", {"run": run})
    if row is None:
        return None
    seq, body, digest = row
    if digest is not None and digest != hash_chain.digest_of("snapshot", run, seq, body):
        raise StoreCorrupt(f"the snapshot of run {run} differs from what was written")
    return Snapshot(seq, body)


def held(connection: SqlConnection, run: str) -> HeldLease | None:
    """The run's current lease, None if no process holds it."""
    found = state(connection, run)
    return None if found is None else leases.held(found.holder, found.fence, found.expires)


def signals(connection: SqlConnection, run: str, after: int) -> list[tuple[int, Signal]]:
    """The signals after number `after`. Raises StoreCorrupt."""
    found: list[tuple[int, Signal]] = []
    for number, body, digest in connection.rows("signals", {"run": run, "after": after}):
        if number != after + len(found) + 1:
            raise StoreCorrupt(f"request {after + len(found) + 1} to run {run} is missing")
        if digest is not None and digest != hash_chain.digest_of("signal", run, number, body):
            raise StoreCorrupt(f"request {number} to run {run} differs from what was written")
        found.append((number, _decoded(_signal, run, body)))
    return found


def _decoded(decoder: msgspec.json.Decoder[Any], run: str, body: bytes) -> Any:
    try:
        return decoder.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise StoreCorrupt(f"the stored record of run {run} is damaged: {error}") from error


def _of(lease: Lease) -> dict[str, Any]:
    return {"run": lease.run, "fence": lease.fence, "holder": lease.holder}
