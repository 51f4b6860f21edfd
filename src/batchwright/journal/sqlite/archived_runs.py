"""Runs whose events are in an archive: what is left of them in the database, and how the events come back."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

import msgspec

from batchwright.errors import RunArchived, StoreCorrupt
from batchwright.journal import hash_chain, refusals
from batchwright.journal import lease_holder as leases
from batchwright.journal.base import ArchivedRun, UnusedSpace
from batchwright.journal.environment_rows import base_of
from batchwright.journal.event_rows import EventRow
from batchwright.journal.high_water_mark import Entry
from batchwright.journal.sqlite import data_access
from batchwright.journal.sqlite.data_access import SQL
from batchwright.model.environment import EnvironmentKey, Resource
from batchwright.model.run_signal import Signal
from batchwright.model.run_summary import RunSummary

PAGES_AT_ONCE = 250  # pages of the file that one transaction gives back


def archive(connection: sqlite3.Connection, runs: Sequence[ArchivedRun]) -> list[Entry]:
    """Keep only the lines of these runs; gives those that were not there. Raises RunHeld, SequenceConflict."""
    for one in runs:
        found = data_access.state(connection, one.summary.run)
        if found is not None:
            lease = leases.held(found.holder, found.fence, found.expires)
            leases.refuse_while_held(one.summary.run, lease, "", None)
            if data_access.head(connection, one.summary.run) != one.head:
                raise refusals.moved_on(one.summary.run, found.last, one.head.seq)
    fresh = []
    for one in runs:
        run, last = one.summary.run, one.head.seq
        head, body = bytes.fromhex(one.head.digest) or None, msgspec.json.encode(one.summary)
        seal = hash_chain.seal(run, last, head, body)
        saved = connection.execute(SQL["save_summary"], {"run": run, "summary": body, "seal": seal})
        if not saved.rowcount:
            values = {"run": run, "created_at": one.summary.created_at, "summary": body, "last": last, "head": head}
            connection.execute(SQL["create_run"], {**values, "seal": seal})
            fresh.append(Entry(run, last, head))
        for statement in ("remove_pages", "remove_snapshot", "remove_signals"):
            connection.execute(SQL[statement], (run,))
    return fresh


def put_back(connection: sqlite3.Connection, run: str, pages: Sequence[EventRow]) -> None:
    """Insert pages that continue those that are there. Raises SequenceConflict, StoreCorrupt."""
    _archived(connection, run)
    before = _chain_of_page(connection, run, pages[0].first - 1)
    for page in pages:
        hash_chain.verify(run, before, page)
        before = page.chain
    connection.executemany(SQL["put_page_back"], [(run, *page) for page in pages])


def unarchive(connection: sqlite3.Connection, summary: RunSummary, signals: Sequence[Signal]) -> None:
    """The run is whole again. Raises SequenceConflict, StoreCorrupt."""
    found = _archived(connection, summary.run)
    if _chain_of_page(connection, summary.run, found.last) != found.head:
        raise StoreCorrupt(f"the last event of run {summary.run} differs from the one that was recorded")
    body = msgspec.json.encode(summary)
    seal = hash_chain.seal(summary.run, found.last, found.head, body)
    connection.execute(SQL["save_summary"], {"run": summary.run, "summary": body, "seal": seal})
    for signal in signals:
        data_access.add_signal(connection, summary.run, msgspec.json.encode(signal))


def base_resources(connection: sqlite3.Connection, key: EnvironmentKey) -> list[Resource]:
    """What an environment had at its base. Raises StoreCorrupt."""
    row = data_access.environment(connection, key)
    if row is None or not row.base_digest:
        return []
    found = connection.execute(SQL["base"], {"space": key.space, "name": key.name}).fetchone()
    return base_of(row, found and found[0])


def free_pages(connection: sqlite3.Connection) -> int:
    """Give some unused pages back to the file system, if the file was made for it; gives how many bytes remain."""
    for _ in range(PAGES_AT_ONCE):  # the module ends this statement after one page, whatever number it is given
        connection.execute("PRAGMA incremental_vacuum(1)")
    return unused(connection)


def unused(connection: sqlite3.Connection) -> int:
    """Bytes of pages that nothing uses."""
    [[pages]], [[size]] = (connection.execute(f"PRAGMA {name}").fetchall() for name in ("freelist_count", "page_size"))
    return int(pages * size)


def space(before: int, after: int) -> UnusedSpace:
    """What was given back and what remains."""
    return UnusedSpace(before - after, after)


def _archived(connection: sqlite3.Connection, run: str) -> data_access.SqliteRecord:
    try:
        data_access.whole(connection, run)
    except RunArchived:
        return data_access.record(connection, run)
    raise refusals.not_archived(run)


def _chain_of_page(connection: sqlite3.Connection, run: str, last: int) -> bytes | None:
    """Of the page that ends with this event; nothing is before event 1. Raises StoreCorrupt if there is no page."""
    row = connection.execute(SQL["chain_at"], {"run": run, "last": last}).fetchone()
    if row is None and last:
        raise StoreCorrupt(f"events of run {run} are missing near number {last}")
    chain: bytes | None = row[0] if row is not None else None
    return chain
