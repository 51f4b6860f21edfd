"""The journal's writes to the database. One task writes: all waiting appends share one commit and one fsync.

A server's answer can be lost. Each write that must happen once leaves its own mark in the run's record, so a read of
the record shows whether it happened; nothing is repeated blindly.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

import msgspec

from batchwright.errors import EnvironmentRefused, LeaseLost, StoreCorrupt, StoreError, StoreFull
from batchwright.journal import hash_chain, refusals
from batchwright.journal.base import ArchivedRun, Lease, Snapshot, Turn
from batchwright.journal.environment_rows import (
    base_digest,
    environment_row,
    refuse_unseen,
    replaced,
    turned,
)
from batchwright.journal.event_rows import EventRow, parts
from batchwright.journal.high_water_mark import Entry, HighWaterMark
from batchwright.journal.lease_holder import HeldLease, held, refuse_while_held
from batchwright.journal.surreal import archived_runs, integrity
from batchwright.journal.surreal.database import Database, HolderGone, Query, QueryRefused
from batchwright.journal.surreal.delivery_write import write_delivery
from batchwright.journal.surreal.environment_values import environment_values
from batchwright.journal.surreal.idempotent_commits import IdempotentCommits
from batchwright.journal.surreal.integrity import SurrealRecord
from batchwright.journal.surreal.queued_write import QueuedAppend, QueuedWrite, fail, succeed
from batchwright.journal.surreal.reader import Reads
from batchwright.model.delivery import Delivery
from batchwright.model.environment import Environment, EnvironmentKey, Resource
from batchwright.model.run_signal import Signal
from batchwright.model.run_summary import RunSummary

MAX_GROUP = 1_000
GROUP_BYTES = 4 * 1024 * 1024  # a group ends beyond this, so that a server takes it in one message

T = TypeVar("T")


class SurrealRepository(Reads):
    """The runs in one open database."""

    def __init__(self, database: Database, mark: HighWaterMark | None = None) -> None:
        super().__init__(database, mark)
        self._waiting: asyncio.Queue[QueuedAppend | QueuedWrite | None] = asyncio.Queue()
        self._writer: asyncio.Task[None] | None = None
        self._commits = IdempotentCommits(database)
        self._mark_failed = False
        self._known: dict[str, SurrealRecord] = {}  # of runs that are driven from here, as our last append left them

    async def open(self, *, behind: bool = False) -> None:
        """Open the database and check that its format is known. Raises StoreNewer, StoreCorrupt, StoreBehind."""

        async def examine(query: Query) -> None:
            self._known.clear()
            await integrity.examine(self._database, query, self._acknowledged, self._commits.mark(), behind)

        await self._database.open(examine, look_only=behind)
        self._writer = asyncio.create_task(self._write())

    async def aclose(self) -> None:
        """Finish the writes that have begun, then close the files."""
        writer, self._writer = self._writer, None
        if writer is not None:
            self._waiting.put_nowait(None)
            await asyncio.wait([writer])
        await self._database.aclose()
        if self._acknowledged is not None:
            self._acknowledged.close()

    # --- writes ---

    async def create(self, pages: Sequence[EventRow], row: RunSummary, turn: Turn | None = None) -> None:
        """A run with its first event, in a page that is chained already, and the turn that begins with it."""
        run, summary = row.run, msgspec.json.encode(row)
        last, head = pages[-1].last, pages[-1].chain
        seal = hash_chain.seal(run, last, head, summary)

        async def work() -> None:
            self._database.need_space(sum(len(page.body) for page in pages))
            self._reserve(1)
            if turn is not None and await self._state(run) is not None:
                raise refusals.exists(run)
            values: dict[str, Any] = {
                "run": run,
                "pages": [list(page) for page in pages],
                "summary": summary,
                "has_turn": row.turn > 0,
                "head": head,
            }
            turns = await self._turns(turn, {})
            await self._commits.once("create_run", [run], seal=seal, turns=turns, **values)
            self._acknowledge([Entry(run, last, head)])

        await self._do(work, run)

    async def append(
        self,
        lease: Lease,
        after: int,
        pages: Sequence[EventRow],
        summary: bytes | None,
        *,
        copied: bool = False,
        turn: Turn | None = None,
    ) -> int:
        """Append events after sequence `after`; gives the last sequence."""
        done: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._put(QueuedAppend(lease, after, pages, summary, copied, turn, done))
        return await done

    async def write_environment(
        self,
        seen: Environment | None,
        row: Environment,
        resources: Sequence[Resource] | None,
        base: Sequence[Resource] | None,
    ) -> None:
        """Replace an environment's row, and perhaps its resources, now and at its base."""

        async def work() -> None:
            stored = await self._digest(row.key)
            refuse_unseen(seen, await self.environment(row.key), row)
            before = await self.resources(row.key) if resources is not None else ()
            change = replaced(row, resources, before, base)
            values = environment_values(change, stored)
            bases = [] if base is None else [[base_digest(base), change.base]]
            size = sum(len(body) for _, body, _ in values["changed"]) + len(change.base or b"")
            self._database.need_space(len(values["body"]) + size)
            await self._commits.once(
                "write_environment", [], environments=[[row.space, row.name]], turn=values, base=bases
            )

        await self._do(work, "")

    async def write_delivery(self, seen: Delivery | None, row: Delivery) -> None:
        """Replace what is recorded of a webhook of a run."""
        await self._do(lambda: write_delivery(self._database, self._commits.mark(), seen, row), row.run)

    async def archive(self, runs: Sequence[ArchivedRun]) -> None:
        """Keep only the lines of these runs."""

        async def work() -> None:
            self._database.need_space(0)
            self._known.clear()
            values, fresh = await archived_runs.lines(self._database.query, runs)
            self._reserve(len(fresh))
            try:
                await self._commits.once("archive", [one.summary.run for one in runs], archived=values)
            except QueryRefused as refused:
                raise archived_runs.refusal(refused, runs) from None
            self._acknowledge([Entry(*one[:3]) for one in fresh])

        await self._do(work, "")

    async def put_back(self, run: str, pages: Sequence[EventRow]) -> None:
        """Write pages of an archived run again."""

        async def work() -> None:
            await archived_runs.archived(self._database.query, run)
            await archived_runs.continued(self._database.query, run, pages)
            for part in parts(pages, GROUP_BYTES):
                self._database.need_space(sum(len(page.body) for page in part))
                await self._commits.once("put_back", [run], run=run, pages=[list(page) for page in part])

        await self._do(work, run)

    async def unarchive(self, summary: RunSummary, signals: Sequence[Signal]) -> None:
        """The run is whole again."""

        async def work() -> None:
            values = await archived_runs.restored(self._database.query, summary, signals)
            self._database.need_space(sum(len(body) for _, body, _ in values["signals"]))
            await self._commits.once("unarchive", [summary.run], **values)

        await self._do(work, summary.run)

    async def accept_loss(self) -> None:
        """Count the existing events as all that were acknowledged, from now on."""

        async def work() -> None:
            runs = [Entry(*row) for row in await self._database.query("runs")]
            if self._acknowledged is not None:
                await asyncio.to_thread(self._acknowledged.make, runs)
            self._database.keep_repair()

        await self._do(work, "")

    async def acquire(self, run: str, holder: str, expires: float, silent: HeldLease | None) -> Lease:
        """Give the run's lease to this holder, with the next fence."""

        async def work() -> Lease:
            self._known.pop(run, None)
            await self._whole_run(run)
            found = await self._state(run)
            if found is None:
                raise refusals.missing(run)
            refuse_while_held(run, held(found["holder"], found["fence"], found["expires"]), holder, silent)
            seen = {"seen": found["fence"], "from": found["holder"], "at": found["expires"]}
            await self._commits.once("take_lease", [run], run=run, holder=holder, expires=expires, **seen)
            return Lease(run, holder, found["fence"] + 1, expires)

        return await self._do(work, run)

    async def renew(self, lease: Lease, expires: float) -> Lease:
        """Extend the same lease."""

        async def work() -> Lease:
            if not await self._database.query("renew_lease", expires=expires, mark=self._commits.mark(), **_of(lease)):
                raise refusals.lost(lease.run)
            return Lease(lease.run, lease.holder, lease.fence, expires)

        return await self._do(work, lease.run)

    async def release(self, lease: Lease) -> None:
        """Release the run's lease, unless another process holds it already."""
        self._known.pop(lease.run, None)
        await self._do(
            lambda: self._database.query("release_lease", mark=self._commits.mark(), **_of(lease)), lease.run
        )

    async def save_snapshot(self, lease: Lease, snapshot: Snapshot) -> None:
        """Store the snapshot, unless a newer one exists."""

        async def work() -> None:
            self._database.need_space(len(snapshot.body))
            digest = hash_chain.digest_of("snapshot", lease.run, snapshot.seq, snapshot.body)
            values = {"seq": snapshot.seq, "body": snapshot.body, "digest": digest}
            await self._database.query("save_snapshot", **values, **_of(lease))

        await self._do(work, lease.run)

    async def signal(self, run: str, signal: Signal) -> None:
        """Record a signal with the next number."""

        async def work() -> None:
            self._database.need_space(0)
            await self._whole_run(run)
            body = msgspec.json.encode(signal)
            digest = hash_chain.digest_of("signal", run, 0, body)  # its number is given by the database
            await self._database.query("add_signal", run=run, body=body, digest=digest, mark=self._commits.mark())

        await self._do(work, run)

    # --- the one writer ---

    def _reserve(self, count: int) -> None:
        if self._acknowledged is not None:
            if self._mark_failed:
                self._acknowledged.renew()
                self._mark_failed = False
            self._acknowledged.reserve(count)

    def _acknowledge(self, entries: Sequence[Entry]) -> None:
        if self._acknowledged is not None:
            self._acknowledged.put(entries)

    async def _sync(self) -> None:
        """Sync the mark after the group is acknowledged; so a power cut can leave it behind the store by one group."""
        if self._acknowledged is not None and self._acknowledged.unsynced:
            try:
                await asyncio.to_thread(self._acknowledged.sync)
            except StoreError:  # the next append raises it, unless the file can be replaced by then
                self._mark_failed = True

    async def _do(self, work: Callable[[], Awaitable[T]], run: str) -> T:
        done: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._put(QueuedWrite(work, done))
        try:
            return await done
        except QueryRefused as refused:
            raise await self._told(refused, run, 0) from None

    def _put(self, job: QueuedAppend | QueuedWrite) -> None:
        if self._writer is None or self._writer.done():
            raise HolderGone
        self._waiting.put_nowait(job)

    async def _write(self) -> None:
        """Take what waits, again and again; neighbouring appends go together."""
        while True:
            job = await self._waiting.get()
            group: list[QueuedAppend] = []
            size = 0
            while isinstance(job, QueuedAppend):
                group.append(job)
                size += job.size
                if self._waiting.empty() or len(group) == MAX_GROUP or size > GROUP_BYTES:
                    break
                job = self._waiting.get_nowait()
            if group:
                await self._append_all(group)
                await self._sync()
            if job is None:
                return
            if isinstance(job, QueuedWrite):
                await self._settle(job)
                await self._sync()

    async def _settle(self, job: QueuedWrite) -> None:
        try:
            result = await job.work()
        except Exception as error:
            fail(job.done, error)
        else:
            succeed(job.done, result)

    async def _append_all(self, group: list[QueuedAppend]) -> None:
        """One transaction for the group; a refused append leaves it and the others go again, at most once each."""
        while group:
            try:
                await self._append_once(group)
            except QueryRefused as refused:
                append = group.pop(refused.number)
                fail(append.done, await self._told(refused, append.lease.run, append.after))
                continue
            except StoreFull as error:
                if len(group) == 1:
                    fail(group[0].done, error)
                else:
                    # what is too large for the disk must not take with it what would have fitted
                    for append in group:
                        await self._append_all([append])
            except Exception as error:
                for append in group:
                    fail(append.done, error)
            else:
                for append in group:
                    succeed(append.done, append.last)
            return

    async def _append_once(self, group: list[QueuedAppend]) -> None:
        self._database.need_space(sum(append.size for append in group))
        self._reserve(len(group))
        known, self._known = self._known, {}  # what an attempt leaves when it fails is looked up
        numbered: list[dict[str, Any]] = []
        rows: dict[EnvironmentKey, Environment] = {}  # as the appends before leave them
        for append in list(group):
            try:
                turns = await self._turns(append.turn, rows, append)
                numbered.append(await self._chained(len(numbered), append, known) | {"turns": turns})
            except (StoreCorrupt, EnvironmentRefused, LeaseLost) as error:  # of this run only
                group.remove(append)
                fail(append.done, error)
        if not group:
            return
        await self._commits.once("append", [append.lease.run for append in group], appends=numbered)
        self._acknowledge([Entry(*known[append.lease.run][:3]) for append in group if append.pages])
        self._known = known

    async def _turns(
        self, turn: Turn | None, rows: dict[EnvironmentKey, Environment], append: QueuedAppend | None = None
    ) -> list[dict[str, Any]]:
        """What create_run.surql and append.surql take of a turn. Raises EnvironmentRefused, LeaseLost."""
        if turn is None:
            return []
        if append is not None:  # who has lost the run is told that first
            lease, state = append.lease, await self._state(append.lease.run)
            if state is not None and (state["fence"], state["holder"]) != (lease.fence, lease.holder):
                raise refusals.lost(lease.run)
        keys = (turn.key, *(one.key for one in turn.lenders))
        seen = {key: environment_row(rows[key]).digest if key in rows else await self._digest(key) for key in keys}
        found = {key: rows.get(key) or await self.environment(key) for key in keys}
        changes = turned(turn, found.get)
        rows |= {one.environment.key: one.environment for one in changes}
        return [environment_values(one, seen[one.environment.key]) for one in changes]

    async def _chained(self, number: int, append: QueuedAppend, known: dict[str, SurrealRecord]) -> dict[str, Any]:
        """What append.surql takes; `known` gets the record as it will be. The database refuses what may not be made."""
        run = append.lease.run
        found = known.get(run)
        if found is None or found.last != append.after:
            found = await integrity.record(self._database.query, run)
        head, pages = found.head if found else None, append.pages
        if append.copied:
            before = head
            for page in pages:
                hash_chain.verify(run, before, page)
                before = page.chain
        else:
            pages = hash_chain.chained(head, run, pages)
        head = pages[-1].chain if pages else head
        summary = append.summary if append.summary is not None else found.summary if found else b""
        seal = hash_chain.seal(run, append.last, head, summary)
        known[run] = SurrealRecord(run, append.last, head, seal, summary)
        values = {"number": number, "after": append.after, "last": append.last, "pages": [list(page) for page in pages]}
        return values | {"summary": append.summary, "head": head, "seal": seal} | _of(append.lease)


def _of(lease: Lease) -> dict[str, Any]:
    return {"run": lease.run, "fence": lease.fence, "holder": lease.holder}
