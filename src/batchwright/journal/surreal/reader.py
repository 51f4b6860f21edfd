"""The journal's reads from the database. Everything is verified against what was recorded."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Mapping
from typing import Any, TypeVar

import msgspec
from msgspec.structs import replace

from batchwright.errors import DeliveryMoved, EnvironmentMoved, RunHeld, StoreCorrupt, StoreError, StoreUnavailable
from batchwright.journal import hash_chain, refusals
from batchwright.journal.base import PENDING_MOST, Head, Snapshot
from batchwright.journal.delivery_rows import delivery_of
from batchwright.journal.environment_rows import Row, base_of, environment_of, resource_of
from batchwright.journal.event_rows import PAGE_EVENTS, EventRow
from batchwright.journal.high_water_mark import Entry, HighWaterMark, Loss, behind
from batchwright.journal.lease_holder import HeldLease, held
from batchwright.journal.surreal import integrity
from batchwright.journal.surreal.database import Database, QueryRefused
from batchwright.journal.surreal.integrity import SurrealRecord
from batchwright.model.delivery import Delivery
from batchwright.model.environment import Environment, EnvironmentKey, Resource
from batchwright.model.run_signal import Signal
from batchwright.model.run_summary import RunSummary

PAGES_AT_ONCE = 512

T = TypeVar("T")


class Reads:
    """The runs in one open database, compared with the mark of what was acknowledged, if there is one."""

    def __init__(self, database: Database, mark: HighWaterMark | None) -> None:
        self._database = database
        self._acknowledged = mark

    async def pages(self, run: str, after: int, limit: int) -> list[EventRow]:
        """Pages with up to `limit` events after `after`, or fewer; empty only if there are no more events.

        Raises StoreCorrupt if they differ from what was written.
        """
        until = after + limit + PAGE_EVENTS  # a page is known by its last event
        values = {"run": run, "after": after, "until": until, "pages": PAGES_AT_ONCE}
        try:
            answer = await self._database.query("read_pages", **values)
        except QueryRefused as refused:
            raise await self._told(refused, run, 0) from None
        try:
            return integrity.proven(run, after, limit, answer, PAGES_AT_ONCE)
        except StoreCorrupt:
            await self._whole_run(run)
            raise

    async def head(self, run: str) -> Head:
        """The last event of a run and the digest of all."""
        found = await self._record(run)
        return Head(found.last, (found.head or b"").hex())

    async def runs(self) -> list[str]:
        """The ids of all runs that are there."""
        return [run for run, _, _ in await self._database.query("runs")]

    async def losses(self) -> list[Loss]:
        """All runs compared with the mark."""
        return await integrity.losses(self._database.query, (await self._marked()).values())

    async def summaries(self) -> list[RunSummary]:
        """The summaries of all runs, newest first. Raises StoreBehind if a marked run is missing or has lost events."""
        marked = await self._marked()
        rows = [SurrealRecord(*row) for row in await self._database.query("records")]
        found = self._current(rows, marked.values())
        return sorted(found, key=lambda summary: (-summary.created_at, summary.run))

    async def newest_runs(self) -> list[RunSummary]:
        """Those of the newest run of each environment, and of runs without a turn. Raises StoreBehind, StoreCorrupt."""
        newest = {one.last for one in await self.environments() if one.last}
        older = [SurrealRecord(*row) for row in await self._database.query("runs_without_turn")]
        rows = {row.run: row for row in older} | await integrity.records(self._database.query, newest)
        mark = self._acknowledged
        marked = [] if mark is None else await asyncio.to_thread(mark.get_all, newest | set(rows))
        return self._current(rows.values(), marked)

    def _current(self, rows: Collection[SurrealRecord], marked: Iterable[Entry]) -> list[RunSummary]:
        last = {row.run: row.last for row in rows}
        lost = [Loss(one.run, last.get(one.run, 0), one.last) for one in marked if last.get(one.run, 0) < one.last]
        if lost:
            raise behind(self._database.place, lost)
        return [self._decoded(row.checked().summary, RunSummary) for row in rows]

    async def summary(self, run: str) -> RunSummary:
        """The summary of one run, None if there is no such run."""
        return self._decoded((await self._record(run)).summary, RunSummary)

    async def environment(self, key: EnvironmentKey) -> Environment | None:
        """Whose turn it is, if the environment is there. Raises StoreCorrupt."""
        found = await self._database.query("environment", space=key.space, env=key.name)
        if not found:
            return None
        row = environment_of(key, Row(*found[0]))
        return self._whole(row, await integrity.records(self._database.query, [row.last] if row.last else []))

    async def _digest(self, key: EnvironmentKey) -> bytes | None:
        """Of the environment's row as it is stored: the database writes only over that one."""
        found = await self._database.query("environment", space=key.space, env=key.name)
        return found[0][1] if found else None

    async def environments(self) -> list[Environment]:
        """All of them. Raises StoreCorrupt."""
        rows = sorted(await self._database.query("environments"))
        found = [environment_of(EnvironmentKey(space, name), Row(*row)) for space, name, *row in rows]
        records = await integrity.records(self._database.query, {one.last for one in found if one.last})
        return [self._whole(one, records) for one in found]

    async def resources(self, key: EnvironmentKey) -> list[Resource]:
        """What an environment has. Raises StoreCorrupt."""
        rows = sorted(await self._database.query("resources", space=key.space, env=key.name))
        return [resource_of(key, name, Row(*row)) for name, *row in rows]

    async def all_resources(self) -> list[tuple[EnvironmentKey, Resource]]:
        """What all environments have. Raises StoreCorrupt."""
        rows = sorted(await self._database.query("all_resources"))
        keyed = ((EnvironmentKey(space, env), *rest) for space, env, *rest in rows)
        return [(key, resource_of(key, name, Row(*row))) for key, name, *row in keyed]

    async def pending_deliveries(self) -> list[Delivery]:
        """Those that are open. Raises StoreCorrupt."""
        rows = await self._database.query("pending_deliveries", most=PENDING_MOST)
        return [delivery_of(*row["row"]) for row in rows]

    async def deliveries(self, run: str = "") -> list[Delivery]:
        """What webhooks have had of a run, or of all. Raises StoreCorrupt."""
        rows = await self._database.query("run_deliveries" if run else "deliveries", run=run)
        return [delivery_of(*row) for row in sorted(rows)]

    async def base_resources(self, key: EnvironmentKey) -> list[Resource]:
        """What an environment had at its base. Raises StoreCorrupt."""
        row = await self.environment(key)
        if row is None or not row.base_digest:
            return []
        found = await self._database.query("base", space=key.space, env=key.name, digest=row.base_digest)
        return base_of(row, found[0] if found else None)

    def _whole(self, row: Environment, records: Mapping[str, SurrealRecord]) -> Environment:
        """The row as the run whose turn it was has it.

        A crash may cut a commit short, and a run's record comes last in it: an environment's row without that record
        was never acknowledged, so the turn has not begun, or not ended.
        """
        if not row.last:
            return row
        record = records.get(row.last)
        summary = self._decoded(record.summary, RunSummary) if record is not None else None
        if summary is None or summary.turn < row.turn:
            return replace(row, turn=row.turn - 1, tenant="", since=0.0, last="")
        if not row.tenant and summary.turn == row.turn and summary.holds_environment:
            return replace(row, tenant=row.last, since=summary.updated_at)
        return row

    async def snapshot(self, run: str) -> Snapshot | None:
        """The newest snapshot of a run, None if it has none. Raises StoreCorrupt."""
        found = await self._database.query("snapshot", run=run)
        if not found:
            return None
        seq, body, digest = found[0]
        if digest is not None and digest != hash_chain.digest_of("snapshot", run, seq, body):
            raise StoreCorrupt(f"the snapshot of run {run} differs from what was written")
        return Snapshot(seq, body)

    async def held(self, run: str) -> HeldLease | None:
        """The run's current lease, None if no process holds it."""
        found = await self._state(run)
        return None if found is None else held(found["holder"], found["fence"], found["expires"])

    async def signals(self, run: str, after: int) -> list[tuple[int, Signal]]:
        """The signals after number `after`. Raises StoreCorrupt."""
        found: list[tuple[int, Signal]] = []
        for number, body, digest in await self._database.query("signals", run=run, after=after):
            if number != after + len(found) + 1:
                raise StoreCorrupt(f"request {after + len(found) + 1} to run {run} is missing")
            if digest is not None and digest != hash_chain.digest_of("signal", run, 0, body):
                raise StoreCorrupt(f"request {number} to run {run} differs from what was written")
            found.append((number, self._decoded(body, Signal)))
        return found

    async def _marked(self) -> dict[str, Entry]:
        return {} if self._acknowledged is None else await asyncio.to_thread(self._acknowledged.entries)

    async def _record(self, run: str) -> SurrealRecord:
        """Of a run that is as far as was acknowledged. Raises RunNotFound, StoreCorrupt, StoreBehind."""
        entry = None if self._acknowledged is None else self._acknowledged.get(run)
        if entry is not None and (lost := await integrity.losses(self._database.query, [entry])):
            raise behind(self._database.place, lost)
        found = await integrity.record(self._database.query, run)
        if found is None:
            raise refusals.missing(run)
        return found

    async def _whole_run(self, run: str) -> SurrealRecord:
        """Of a run whose events are here. Raises RunArchived, and as `_record`."""
        found = await self._record(run)
        if (about := self._decoded(found.summary, RunSummary)).archive:
            raise refusals.archived(about)
        return found

    async def _state(self, run: str) -> dict[str, Any] | None:
        found = await self._database.query("state_of_run", run=run)
        return found[0] if found else None

    def _decoded(self, body: bytes, kind: type[T]) -> T:
        try:
            return msgspec.json.decode(body, type=kind)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise StoreCorrupt(f"what {self._database.place} keeps about a run is damaged: {error}") from error

    async def _told(self, refused: QueryRefused, run: str, after: int) -> StoreError:
        if refused.word == "missing":
            entry = (await self._marked()).get(run)
            return refusals.missing(run) if entry is None else behind(self._database.place, [Loss(run, 0, entry.last)])
        if refused.word == "exists":
            return refusals.exists(run)
        if refused.word == "taken":
            return RunHeld(f"run {run} was just taken over by another process")
        if refused.word == "lost":
            return refusals.lost(run)
        if refused.word == "delivery_moved":
            return DeliveryMoved("another process is sending at this moment")
        if refused.word == "turn_moved":
            return EnvironmentMoved("another process changed the environment at this moment")
        if refused.word == "moved_on":
            return refusals.moved_on(run, int(refused.detail), after)
        return StoreUnavailable(f"the store refused: {refused}")
