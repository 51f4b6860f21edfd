"""What the journal does to the database, as plain functions on a connection inside somebody else's transaction."""

from __future__ import annotations

import sqlite3
from typing import Any, NamedTuple

import msgspec

from batchwright.errors import StoreCorrupt, StoreError
from batchwright.journal import refusals
from batchwright.journal.base import Lease, Snapshot
from batchwright.journal.lease import drives, refuse_while_held
from batchwright.journal.pages import Page, unpack
from batchwright.journal.statements import load
from batchwright.model.events import AnyEvent
from batchwright.model.summary import RunSummary, Signal

SQL = load(__package__, ".sql")

_summary = msgspec.json.Decoder(RunSummary)
_signal = msgspec.json.Decoder(Signal)


class State(NamedTuple):
    """Where a run stands and who drives it."""

    last: int
    fence: int
    holder: str | None
    expires: float


def state(connection: sqlite3.Connection, run: str) -> State | None:
    """Of one run, if it is there."""
    row = connection.execute(SQL["state_of_run"], {"run": run}).fetchone()
    return None if row is None else State(*row)


def create(connection: sqlite3.Connection, run: str, created_at: float, pages: list[Page], summary: bytes) -> None:
    """A run with its first event."""
    values = {"run": run, "created_at": created_at, "summary": summary}
    if connection.execute(SQL["create_run"], values).rowcount != 1:
        raise refusals.exists(run)
    _insert(connection, run, pages)


def append(connection: sqlite3.Connection, lease: Lease, after: int, pages: list[Page], summary: bytes | None) -> int:
    """Events after sequence `after`; gives the last sequence."""
    last = pages[-1].last if pages else after
    values = {
        "run": lease.run,
        "after": after,
        "last": last,
        "fence": lease.fence,
        "holder": lease.holder,
        "summary": summary,
    }
    if connection.execute(SQL["advance_run"], values).rowcount != 1:
        raise _why_refused(connection, lease, after)
    _insert(connection, lease.run, pages)
    return last


def _insert(connection: sqlite3.Connection, run: str, pages: list[Page]) -> None:
    connection.executemany(SQL["insert_page"], [(run, *page) for page in pages])


def _why_refused(connection: sqlite3.Connection, lease: Lease, after: int) -> StoreError:
    found = state(connection, lease.run)
    if found is None:
        return refusals.missing(lease.run)
    if (found.fence, found.holder) != (lease.fence, lease.holder):
        return refusals.lost(lease.run)
    return refusals.moved_on(lease.run, found.last, after)


def acquire(connection: sqlite3.Connection, run: str, holder: str, now: float, ttl: float) -> Lease:
    """The run for this holder, with the next fence."""
    found = state(connection, run)
    if found is None:
        raise refusals.missing(run)
    refuse_while_held(run, found.holder, found.expires, holder, now)
    values = {"run": run, "holder": holder, "expires": now + ttl}
    fence = connection.execute(SQL["take_lease"], values).fetchone()[0]
    return Lease(run, holder, fence, now + ttl)


def renew(connection: sqlite3.Connection, lease: Lease, expires: float) -> Lease:
    """The same lease until later."""
    if connection.execute(SQL["renew_lease"], {**_of(lease), "expires": expires}).rowcount != 1:
        raise refusals.lost(lease.run)
    return Lease(lease.run, lease.holder, lease.fence, expires)


def release(connection: sqlite3.Connection, lease: Lease) -> None:
    """Nobody drives the run, unless somebody else does already."""
    connection.execute(SQL["release_lease"], _of(lease))


def save_snapshot(connection: sqlite3.Connection, lease: Lease, snapshot: Snapshot) -> None:
    """The snapshot, unless a newer one is there."""
    found = state(connection, lease.run)
    if found is None:
        raise refusals.missing(lease.run)
    if (found.fence, found.holder) != (lease.fence, lease.holder):
        raise refusals.lost(lease.run)
    connection.execute(SQL["save_snapshot"], {"run": lease.run, "seq": snapshot.seq, "body": snapshot.body})


def add_signal(connection: sqlite3.Connection, run: str, body: bytes) -> None:
    """A request with the next number."""
    if connection.execute(SQL["add_signal"], {"run": run, "body": body}).rowcount != 1:
        raise refusals.missing(run)


def read(connection: sqlite3.Connection, run: str, after: int, limit: int) -> list[tuple[int, AnyEvent]]:
    """Up to `limit` events after sequence `after`."""
    cursor = connection.execute(SQL["read_pages"], {"run": run, "after": after})
    events = unpack(run, map(Page._make, cursor), after, limit)
    cursor.close()  # it may not have been read to its end, and would keep its view of the file
    if not events and state(connection, run) is None:
        raise refusals.missing(run)
    return events


def summaries(connection: sqlite3.Connection) -> list[RunSummary]:
    """One per run, newest first."""
    return [_decoded(_summary, row) for row in connection.execute(SQL["summaries"])]


def summary(connection: sqlite3.Connection, run: str) -> RunSummary:
    """Of one run."""
    row = connection.execute(SQL["summary"], {"run": run}).fetchone()
    if row is None:
        raise refusals.missing(run)
    decoded: RunSummary = _decoded(_summary, row)
    return decoded


def snapshot(connection: sqlite3.Connection, run: str) -> Snapshot | None:
    """The newest, if there is one."""
    row = connection.execute(SQL["snapshot"], {"run": run}).fetchone()
    return None if row is None else Snapshot(*row)


def holder(connection: sqlite3.Connection, run: str, now: float) -> str | None:
    """Who drives the run right now."""
    found = state(connection, run)
    return found.holder if found is not None and drives(found.holder, found.expires, now) else None


def signals(connection: sqlite3.Connection, run: str, after: int) -> list[tuple[int, Signal]]:
    """Requests after number `after`."""
    rows = connection.execute(SQL["signals"], {"run": run, "after": after})
    return [(row[0], _decoded(_signal, (run, row[1]))) for row in rows]


def _decoded(decoder: msgspec.json.Decoder[Any], row: tuple[str, bytes]) -> Any:
    try:
        return decoder.decode(row[1])
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise StoreCorrupt(f"what the store keeps about run {row[0]} is damaged: {error}") from error


def _of(lease: Lease) -> dict[str, Any]:
    return {"run": lease.run, "fence": lease.fence, "holder": lease.holder}
