"""Runs whose events are in an archive: what is left of them in the database, and how the events come back."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from batchwright.errors import RunArchived, StoreCorrupt
from batchwright.journal import hash_chain, refusals
from batchwright.journal import lease_holder as leases
from batchwright.journal.base import ArchivedRun
from batchwright.journal.environment_rows import base_of
from batchwright.journal.event_rows import EventRow
from batchwright.journal.high_water_mark import Entry
from batchwright.journal.sql import data_access
from batchwright.journal.sql.connection import SqlConnection
from batchwright.model.environment import EnvironmentKey, Resource
from batchwright.model.run_signal import Signal
from batchwright.model.run_summary import RunSummary


def archive(connection: SqlConnection, runs: Sequence[ArchivedRun]) -> list[Entry]:
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
        if not connection.change("save_summary", {"run": run, "summary": body, "seal": seal}):
            values = {"run": run, "created_at": one.summary.created_at, "summary": body, "last": last, "head": head}
            connection.execute("create_run", {**values, "seal": seal})
            fresh.append(Entry(run, last, head))
        for statement in ("remove_pages", "remove_snapshot", "remove_signals"):
            connection.execute(statement, {"run": run})
    return fresh


def put_back(connection: SqlConnection, run: str, pages: Sequence[EventRow]) -> None:
    """Insert pages that continue those that are there. Raises SequenceConflict, StoreCorrupt."""
    _archived(connection, run)
    before = _chain_of_page(connection, run, pages[0].first - 1)
    for page in pages:
        hash_chain.verify(run, before, page)
        before = page.chain
    connection.execute_each("put_page_back", [{"run": run, **page._asdict()} for page in pages])


def unarchive(connection: SqlConnection, summary: RunSummary, signals: Sequence[Signal]) -> None:
    """The run is whole again. Raises SequenceConflict, StoreCorrupt."""
    found = _archived(connection, summary.run)
    if _chain_of_page(connection, summary.run, found.last) != found.head:
        raise StoreCorrupt(f"the last event of run {summary.run} differs from the one that was recorded")
    body = msgspec.json.encode(summary)
    seal = hash_chain.seal(summary.run, found.last, found.head, body)
    connection.execute("save_summary", {"run": summary.run, "summary": body, "seal": seal})
    for signal in signals:
        data_access.add_signal(connection, summary.run, msgspec.json.encode(signal))


def base_resources(connection: SqlConnection, key: EnvironmentKey) -> list[Resource]:
    """What an environment had at its base. Raises StoreCorrupt."""
    row = data_access.environment(connection, key)
    if row is None or not row.base_digest:
        return []
    found = connection.row("base", {"space": key.space, "name": key.name})
    return base_of(row, None if found is None else found[0])


def _archived(connection: SqlConnection, run: str) -> data_access.RunRecord:
    try:
        data_access.whole(connection, run)
    except RunArchived:
        return data_access.record(connection, run)
    raise refusals.not_archived(run)


def _chain_of_page(connection: SqlConnection, run: str, last: int) -> bytes | None:
    """Of the page that ends with this event; nothing is before event 1. Raises StoreCorrupt if there is no page."""
    row = connection.row("chain_at", {"run": run, "last": last})
    if row is None and last:
        raise StoreCorrupt(f"events of run {run} are missing near number {last}")
    chain: bytes | None = row[0] if row is not None else None
    return chain
