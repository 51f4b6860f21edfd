"""Runs whose events are in an archive: what is left of them in the database, and how the events come back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from batchwright.errors import SequenceConflict, StoreCorrupt, StoreError
from batchwright.journal import hash_chain, refusals
from batchwright.journal.base import ArchivedRun
from batchwright.journal.event_rows import EventRow
from batchwright.journal.lease_holder import held, refuse_while_held
from batchwright.journal.surreal.database import Query, QueryRefused
from batchwright.journal.surreal.integrity import SurrealRecord, record
from batchwright.model.run_signal import Signal
from batchwright.model.run_summary import RunSummary


async def lines(query: Query, runs: Sequence[ArchivedRun]) -> tuple[list[dict[str, Any]], list[SurrealRecord]]:
    """What archive.surql takes of these runs, and the records that it creates. Raises RunHeld, SequenceConflict."""
    values: list[dict[str, Any]] = []
    fresh: list[SurrealRecord] = []
    for number, one in enumerate(runs):
        run, last, body = one.summary.run, one.head.seq, msgspec.json.encode(one.summary)
        head = bytes.fromhex(one.head.digest) or None
        new = SurrealRecord(run, last, head, hash_chain.seal(run, last, head, body), body)
        found = await record(query, run)
        driver: dict[str, Any] = {"fence": 0, "holder": None}
        if found is None:
            fresh.append(new)
        else:
            [state] = await query("state_of_run", run=run)
            refuse_while_held(run, held(state["holder"], state["fence"], state["expires"]), "", None)
            if (found.last, found.head) != (last, head):
                raise refusals.moved_on(run, found.last, last)
            driver = {"fence": state["fence"], "holder": state["holder"]}
        values.append({"number": number, "has_turn": one.summary.turn > 0, **new._asdict(), **driver})
    return values, fresh


async def continued(query: Query, run: str, pages: Sequence[EventRow]) -> None:
    """Raise StoreCorrupt unless the pages continue those that are there."""
    before = await _chain_of_page(query, run, pages[0].first - 1)
    for page in pages:
        hash_chain.verify(run, before, page)
        before = page.chain


async def restored(query: Query, summary: RunSummary, signals: Sequence[Signal]) -> dict[str, Any]:
    """What unarchive.surql takes. Raises SequenceConflict, StoreCorrupt."""
    run = summary.run
    found = await archived(query, run)
    if await _chain_of_page(query, run, found.last) != found.head:
        raise StoreCorrupt(f"the last event of run {run} differs from the one that was recorded")
    body = msgspec.json.encode(summary)
    bodies = [msgspec.json.encode(signal) for signal in signals]
    rows = [[n, one, hash_chain.digest_of("signal", run, 0, one)] for n, one in enumerate(bodies, 1)]
    seal = hash_chain.seal(run, found.last, found.head, body)
    return {"run": run, "seen": found.seal, "summary": body, "seal": seal, "signals": rows}


async def archived(query: Query, run: str) -> SurrealRecord:
    """The record of a run that is archived. Raises RunNotFound, SequenceConflict."""
    found = await record(query, run)
    if found is None:
        raise refusals.missing(run)
    if not msgspec.json.decode(found.summary, type=RunSummary).archive:
        raise refusals.not_archived(run)
    return found


def refusal(refused: QueryRefused, runs: Sequence[ArchivedRun]) -> StoreError:
    """The error for a run that was changed while it was being archived."""
    one = runs[refused.number]
    if refused.word == "moved_on":
        return refusals.moved_on(one.summary.run, int(refused.detail), one.head.seq)
    return SequenceConflict(f"another process took run {one.summary.run} at this moment")


async def _chain_of_page(query: Query, run: str, last: int) -> bytes | None:
    """Of the page that ends with this event; nothing is before event 1. Raises StoreCorrupt if there is no page."""
    found = await query("chain_at", run=run, last=last) if last else [[None]]
    if not found:
        raise StoreCorrupt(f"events of run {run} are missing near number {last}")
    chain: bytes | None = found[0][0]
    return chain
