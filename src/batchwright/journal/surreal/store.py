"""What the journal does to the database. One task writes: all appends that wait share one commit and one fsync.

A server's answer can be lost. Each write that must be made once leaves a mark of its own in the run's record, so that
looking at the record tells whether it was made; nothing is repeated blindly.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, NamedTuple, TypeVar

import msgspec

from batchwright.errors import RunHeld, StoreCorrupt, StoreError, StoreFull, StoreNewer, StoreUnavailable
from batchwright.journal import refusals
from batchwright.journal.base import Lease, Snapshot
from batchwright.journal.lease import drives, refuse_while_held
from batchwright.journal.pages import PAGE_EVENTS, Page
from batchwright.journal.surreal import segments
from batchwright.journal.surreal.answers import AnswerLost, Database, Refused
from batchwright.journal.surreal.wire import HolderGone
from batchwright.model.summary import RunSummary, Signal

FORMAT = 1
MAX_GROUP = 1_000
PAGES_AT_ONCE = 512
GROUP_BYTES = 4 * 1024 * 1024  # a group ends beyond this, so that a server takes it in one message
TRIES = 5  # of a write whose answer is lost each time

T = TypeVar("T")


class _Append(NamedTuple):
    """An append that waits; `values` is what append.surql takes."""

    values: dict[str, Any]
    done: asyncio.Future[int]


class _Other(NamedTuple):
    """Any other write."""

    work: Callable[[], Awaitable[Any]]
    done: asyncio.Future[Any]


class Store:
    """The runs in one open database."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._waiting: asyncio.Queue[_Append | _Other | None] = asyncio.Queue()
        self._writer: asyncio.Task[None] | None = None
        self._marks = 0
        self._session = secrets.token_hex(8)

    async def open(self) -> None:
        """Open the database and see that the store is one we know. Raises StoreNewer, StoreCorrupt."""
        await self._database.open()
        try:
            await self._identify()
        except BaseException:
            await self._database.aclose()
            raise
        self._writer = asyncio.create_task(self._write())

    async def aclose(self) -> None:
        """Finish what was begun, then let go of the files."""
        writer, self._writer = self._writer, None
        if writer is not None:
            self._waiting.put_nowait(None)
            await asyncio.wait([writer])
        await self._database.aclose()

    async def _identify(self) -> None:
        found = await self._database.query("identify")
        if not found:
            await self._database.prove()
            await self._database.query("begin_store", version=FORMAT, mark=self._mark())
        elif not isinstance(found[0], int):
            raise StoreCorrupt(f"{self._database.place} is a SurrealDB database, but not a Batchwright store")
        elif found[0] > FORMAT:
            raise StoreNewer(
                f"{self._database.place} has format {found[0]}; this Batchwright knows formats up to {FORMAT}"
            )

    # --- writes ---

    async def create(self, run: str, pages: Sequence[Page], summary: bytes) -> None:
        """A run with its first event."""

        async def work() -> None:
            self._database.need_space(sum(len(page.body) for page in pages))
            await self._once("create_run", [run], run=run, pages=[list(page) for page in pages], summary=summary)

        await self._do(work, run)

    async def append(self, lease: Lease, after: int, pages: Sequence[Page], summary: bytes | None) -> int:
        """Events after sequence `after`; gives the last sequence."""
        values = {
            "run": lease.run,
            "fence": lease.fence,
            "holder": lease.holder,
            "after": after,
            "last": pages[-1].last if pages else after,
            "pages": [list(page) for page in pages],
            "summary": summary,
        }
        done: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._put(_Append(values, done))
        return await done

    async def acquire(self, run: str, holder: str, now: float, ttl: float) -> Lease:
        """The run for this holder, with the next fence."""

        async def work() -> Lease:
            found = await self._state(run)
            if found is None:
                raise refusals.missing(run)
            refuse_while_held(run, found["holder"], found["expires"], holder, now)
            seen = {"seen": found["fence"], "from": found["holder"]}
            await self._once("take_lease", [run], run=run, holder=holder, expires=now + ttl, **seen)
            return Lease(run, holder, found["fence"] + 1, now + ttl)

        return await self._do(work, run)

    async def renew(self, lease: Lease, expires: float) -> Lease:
        """The same lease until later."""

        async def work() -> Lease:
            if not await self._database.query("renew_lease", expires=expires, mark=self._mark(), **_of(lease)):
                raise refusals.lost(lease.run)
            return Lease(lease.run, lease.holder, lease.fence, expires)

        return await self._do(work, lease.run)

    async def release(self, lease: Lease) -> None:
        """Nobody drives the run, unless somebody else does already."""
        await self._do(lambda: self._database.query("release_lease", mark=self._mark(), **_of(lease)), lease.run)

    async def save_snapshot(self, lease: Lease, snapshot: Snapshot) -> None:
        """The snapshot, unless a newer one is there."""

        async def work() -> None:
            self._database.need_space(len(snapshot.body))
            await self._database.query("save_snapshot", seq=snapshot.seq, body=snapshot.body, **_of(lease))

        await self._do(work, lease.run)

    async def signal(self, run: str, signal: Signal) -> None:
        """A request with the next number."""

        async def work() -> None:
            self._database.need_space(0)
            await self._database.query("add_signal", run=run, body=msgspec.json.encode(signal), mark=self._mark())

        await self._do(work, run)

    # --- reads ---

    async def pages(self, run: str, after: int, limit: int) -> list[Page]:
        """Pages that hold up to `limit` events after `after`, or fewer; none only when there are no more events."""
        until = after + limit + PAGE_EVENTS  # a page is known by its last event
        try:
            rows = await self._database.query("read_pages", run=run, after=after, until=until, pages=PAGES_AT_ONCE)
        except Refused as refused:
            raise _told(refused, run, 0) from None
        return [Page(*row) for row in rows]

    async def summaries(self) -> list[RunSummary]:
        """One per run, newest first."""
        found = [self._summary(body) for body in await self._database.query("summaries")]
        return sorted(found, key=lambda summary: (-summary.created_at, summary.run))

    async def summary(self, run: str) -> RunSummary:
        """Of one run."""
        found = await self._database.query("summary", run=run)
        if not found:
            raise refusals.missing(run)
        return self._summary(found[0])

    async def snapshot(self, run: str) -> Snapshot | None:
        """The newest, if there is one."""
        found = await self._database.query("snapshot", run=run)
        return Snapshot(*found[0]) if found else None

    async def holder(self, run: str, now: float) -> str | None:
        """Who drives the run right now."""
        found = await self._state(run)
        return found["holder"] if found is not None and drives(found["holder"], found["expires"], now) else None

    async def signals(self, run: str, after: int) -> list[tuple[int, Signal]]:
        """Requests after number `after`."""
        rows = await self._database.query("signals", run=run, after=after)
        return [(number, self._decoded(body, Signal)) for number, body in rows]

    async def _state(self, run: str) -> dict[str, Any] | None:
        found = await self._database.query("state_of_run", run=run)
        return found[0] if found else None

    def _summary(self, body: bytes) -> RunSummary:
        return self._decoded(body, RunSummary)

    def _decoded(self, body: bytes, kind: type[T]) -> T:
        try:
            return msgspec.json.decode(body, type=kind)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise StoreCorrupt(f"what {self._database.place} keeps about a run is damaged: {error}") from error

    # --- the one writer ---

    async def _do(self, work: Callable[[], Awaitable[T]], run: str) -> T:
        done: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._put(_Other(work, done))
        try:
            return await done
        except Refused as refused:
            raise _told(refused, run, 0) from None

    def _put(self, job: _Append | _Other) -> None:
        if self._writer is None or self._writer.done():
            raise HolderGone
        self._waiting.put_nowait(job)

    async def _write(self) -> None:
        """Take what waits, again and again; neighbouring appends go together."""
        while True:
            job = await self._waiting.get()
            group: list[_Append] = []
            size = 0
            while isinstance(job, _Append):
                group.append(job)
                size += _size(job)
                if self._waiting.empty() or len(group) == MAX_GROUP or size > GROUP_BYTES:
                    break
                job = self._waiting.get_nowait()
            if group:
                await self._append_all(group)
            if job is None:
                return
            if isinstance(job, _Other):
                await self._settle(job)

    async def _settle(self, job: _Other) -> None:
        try:
            result = await job.work()
        except Exception as error:
            _fail(job.done, error)
        else:
            _succeed(job.done, result)

    async def _append_all(self, group: list[_Append]) -> None:
        """One transaction for the group; a refused append leaves it and the others go again, at most once each."""
        while group:
            try:
                await self._append_once(group)
            except Refused as refused:
                append = group.pop(refused.number)
                _fail(append.done, _told(refused, append.values["run"], append.values["after"]))
                continue
            except StoreFull as error:
                if len(group) == 1:
                    _fail(group[0].done, error)
                else:
                    # what is too large for the disk must not take with it what would have fitted
                    for append in group:
                        await self._append_all([append])
            except Exception as error:
                for append in group:
                    _fail(append.done, error)
            else:
                for append in group:
                    _succeed(append.done, append.values["last"])
            return

    async def _append_once(self, group: list[_Append]) -> None:
        self._database.need_space(sum(map(_size, group)))
        numbered = [{"number": number, **append.values} for number, append in enumerate(group)]
        await self._once("append", [append.values["run"] for append in group], appends=numbered)

    async def _once(self, name: str, runs: Sequence[str], **values: Any) -> None:
        """A write that must not be made twice. `runs` are those that it marks, all or none."""
        mark, lost = self._mark(), False
        for _ in range(TRIES):
            try:
                await self._database.query(name, mark=mark, **values)
                return
            except AnswerLost:
                lost = True
            except Refused:
                if lost and await self._was_made(runs, mark):  # it arrived after we had looked
                    return
                raise
            if await self._was_made(runs, mark):
                return
        raise StoreUnavailable(
            f"{self._database.place} took a request {TRIES} times and the connection broke before each answer",
            hint="What was recorded is safe. When the connection is good again: batchwright resume RUN",
        )

    async def _was_made(self, runs: Sequence[str], mark: str) -> bool:
        return bool(await self._database.query("marked", runs=runs, mark=mark))

    def _mark(self) -> str:
        """A text of its own for each commit, by which a damaged log is told from one that was cut off in the last."""
        self._marks += 1
        return segments.mark(self._session, self._marks)


def _told(refused: Refused, run: str, after: int) -> StoreError:
    if refused.word == "missing":
        return refusals.missing(run)
    if refused.word == "exists":
        return refusals.exists(run)
    if refused.word == "taken":
        return RunHeld(f"run {run} was taken by another process at this moment")
    if refused.word == "lost":
        return refusals.lost(run)
    if refused.word == "moved_on":
        return refusals.moved_on(run, int(refused.detail), after)
    return StoreUnavailable(f"the store refused: {refused}")


def _succeed(done: asyncio.Future[Any], result: Any) -> None:
    if not done.done():
        done.set_result(result)


def _fail(done: asyncio.Future[Any], error: Exception) -> None:
    if not done.done():
        done.set_exception(error)


def _size(append: _Append) -> int:
    return sum(len(page[3]) for page in append.values["pages"])


def _of(lease: Lease) -> dict[str, Any]:
    return {"run": lease.run, "fence": lease.fence, "holder": lease.holder}
