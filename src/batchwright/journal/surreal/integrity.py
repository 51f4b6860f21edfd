"""Checks that the database holds what was recorded: once when it is opened, and for each page that is read."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import msgspec

from batchwright.errors import StoreCorrupt, StoreNewer
from batchwright.journal import hash_chain
from batchwright.journal.event_rows import EventRow
from batchwright.journal.high_water_mark import Entry, HighWaterMark, Loss, behind
from batchwright.journal.surreal.database import Database, Query
from batchwright.model.run_summary import RunSummary

FORMAT = 5  # 2: entries are chained, and there is a mark; 3: environments; 4: runs may be archived; 5: run_without_turn
PLACES_AT_ONCE = 1_000


class SurrealRecord(NamedTuple):
    """A run's record, without its driver."""

    run: str
    last: int
    head: bytes | None
    seal: bytes | None
    summary: bytes

    def checked(self) -> SurrealRecord:
        """The record itself. Raises StoreCorrupt if it differs from what was written."""
        hash_chain.check_seal(*self[:3], self.summary, self.seal)
        return self


async def record(query: Query, run: str) -> SurrealRecord | None:
    """The record of one run, None if there is no such run. Raises StoreCorrupt."""
    found = await query("record", run=run)
    return SurrealRecord(*found[0]).checked() if found else None


async def records(query: Query, runs: Iterable[str]) -> dict[str, SurrealRecord]:
    """The records of those of these runs that are there, by run. Raises StoreCorrupt."""
    wanted = list(runs)
    found: dict[str, SurrealRecord] = {}
    for start in range(0, len(wanted), PLACES_AT_ONCE):
        for row in await query("records_of", runs=wanted[start : start + PLACES_AT_ONCE]):
            found[row[0]] = SurrealRecord(*row).checked()
    return found


async def examine(
    database: Database, query: Query, mark: HighWaterMark | None, commit_mark: str, look_only: bool
) -> None:
    """Check that the store's format is known and that it has all acknowledged events; initialise it if it is empty.

    With `look_only`, a store that has lost events is accepted. Raises StoreNewer, StoreCorrupt, StoreBehind.
    """
    place = database.place
    marked = mark.recent() if mark is not None and mark.exists() and not look_only else []
    found = await query("identify")
    if not found:
        if marked:
            raise behind(place, [Loss(entry.run, 0, entry.last) for entry in marked])
        if mark is not None and not mark.exists():
            mark.make()
        await database.prove()
        await query("begin_store", version=FORMAT, mark=commit_mark)
        return
    if not isinstance(found[0], int):
        raise StoreCorrupt(f"{place} is a SurrealDB database, but not a Batchwright store")
    if found[0] > FORMAT:
        raise StoreNewer(f"{place} has format {found[0]}; this Batchwright knows formats up to {FORMAT}")
    if found[0] < FORMAT:
        if mark is not None and found[0] < 2:
            mark.make(Entry(run, last, None) for run, last, _ in await query("runs"))
        without = [run for run, *_, summary in await query("records") if not _has_turn(summary)]
        await query("upgrade_store", version=FORMAT, without_turn=without, mark=commit_mark)
    elif lost := await losses(query, marked):
        raise behind(place, lost)
    elif mark is not None and not look_only:
        mark.recent()  # raises if it is gone


def _has_turn(summary: bytes) -> bool:
    """Whether a run is known to have had a turn; who reads a damaged record raises StoreCorrupt."""
    try:
        return bool(msgspec.json.decode(summary, type=RunSummary).turn)
    except msgspec.MsgspecError:
        return False


async def losses(query: Query, marked: Iterable[Entry]) -> list[Loss]:
    """The runs that have fewer events than were acknowledged."""
    lost: list[Loss] = []
    entries = list(marked)
    for start in range(0, len(entries), PLACES_AT_ONCE):
        part = entries[start : start + PLACES_AT_ONCE]
        found = await query("places", places=[[entry.run, entry.last] for entry in part])
        for (run, last, digest), (there, head, at_last) in zip(part, found, strict=True):
            if there is None or there < last:
                lost.append(Loss(run, there or 0, last))
            elif digest is not None and (at_last != digest or (there == last and head != digest)):
                stands = at_last is None and (there > last or head == digest) and await _is_archived(query, run)
                lost += [] if stands else [Loss(run, there, last)]
    return lost


async def _is_archived(query: Query, run: str) -> bool:
    """Whether its record, which is sealed, stands for its pages. What a damaged one says does not count."""
    try:
        found = await record(query, run)
        return found is not None and bool(msgspec.json.decode(found.summary, type=RunSummary).archive)
    except (StoreCorrupt, msgspec.MsgspecError):
        return False


def proven(run: str, after: int, limit: int, answer: list[Any], most: int) -> list[EventRow]:
    """The verified pages of an answer to read_pages, at most `most`. Raises StoreCorrupt."""
    last, head, has_before, before, rows = answer
    pages = [EventRow(*row) for row in rows]
    if pages and pages[0].first > 1 and not has_before:
        raise StoreCorrupt(f"events of run {run} are missing near number {pages[0].first - 1}")
    at = after
    for page in pages:
        hash_chain.verify(run, before, page)
        before, at = page.chain, page.last
        if at == last and before != head:
            raise StoreCorrupt(f"the last event of run {run} differs from the one that was recorded")
    if len(pages) < most and at < min(after + limit, last):
        raise StoreCorrupt(f"events of run {run} are missing after number {at}: it had {last}")
    return pages
