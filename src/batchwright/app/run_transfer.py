"""Moves one run from one store to another."""

from __future__ import annotations

from msgspec.structs import replace

from batchwright.app.lease_takeover import take
from batchwright.errors import (
    EventUnreadable,
    IllegalTransition,
    LeaseLost,
    RunArchived,
    RunHeld,
    RunNotFound,
    SequenceConflict,
    StoreCorrupt,
    StoreTooLarge,
)
from batchwright.journal.base import ArchivedRun, Journal, Lease
from batchwright.journal.lease_holder import FOR_EVER, LEASE_SECONDS, is_moved, moved_to
from batchwright.model.clock import Clock
from batchwright.model.environment import copy_of
from batchwright.model.events import RunCreated
from batchwright.model.run import Run
from batchwright.model.run_summary import RunSummary

PIECE = 2_000  # events that are held at a time

LEFT = (
    *(RunArchived, RunHeld, LeaseLost, SequenceConflict),
    *(EventUnreadable, IllegalTransition, StoreCorrupt, StoreTooLarge),
)
# the errors with which a run stays where it is, and the others go on


async def move_line(source: Journal, target: Journal, row: RunSummary) -> None:
    """Move what the source has of a run whose events are in an archive. May be repeated, as a RunMigration may."""
    head = await source.head(row.run)
    await _copy_deliveries(source, target, row.run)
    for journal, store in ((target, copy_of(source.name)), (source, target.name), (target, target.name)):
        await journal.archive([ArchivedRun(replace(row, store=store), head)])


async def _copy_signals(source: Journal, target: Journal, run: str) -> None:
    """What the target does not have yet: a run knows by their numbers which answers of people it has heard."""
    there = len(await target.signals(run))
    for _, signal in (await source.signals(run))[there:]:
        await target.signal(run, signal)


async def _copy_deliveries(source: Journal, target: Journal, run: str) -> None:
    there = {row.webhook: row for row in await target.deliveries(run)}
    for row in await source.deliveries(run):
        await target.write_delivery(there.get(row.webhook), row.changed(sender=""))


class RunMigration:
    """Moves one run from source to target. No process can drive it meanwhile, and it never appears twice or in part.

    The copy is marked as belonging to no store until it is complete and compared. Then the source records that the run
    is in the target, and keeps its lease for good; then the target records it too. If the process is killed at any
    point, the run is still whole in the source, and the same command continues the move.
    """

    def __init__(self, source: Journal, target: Journal, clock: Clock, row: RunSummary) -> None:
        self._source, self._target, self._clock, self._row = source, target, clock, row
        self._run = row.run
        self._renewed = 0.0
        self._leases: list[tuple[Journal, Lease]] = []

    async def make(self) -> int:
        """Move the run; gives its number of events. Raises RunHeld for a run that is driven."""
        try:
            await self._take(self._source, self._target)
            await self._begin_copy()
            await self._take(self._target, self._source)
            await self._copy()
            run = await self._compare()
            await self._hand_over(run)
        except BaseException:
            for journal, lease in self._leases:
                await journal.release(lease)
            raise
        return run.seq

    async def _take(self, journal: Journal, other: Journal) -> None:
        holder = moved_to(other.name)
        left = await journal.held(self._run)
        if journal is self._target and left is not None and is_moved(left.holder):
            holder = left.holder  # it lived here before it went elsewhere: what was left is taken up again
        lease = await take(journal, self._run, self._clock, holder=holder)
        self._leases.append((journal, lease))

    async def _keep(self) -> None:
        if self._clock.monotonic() - self._renewed > LEASE_SECONDS / 3:
            self._renewed = self._clock.monotonic()
            self._leases = [(journal, await journal.renew(lease, self._clock.now())) for journal, lease in self._leases]

    async def _begin_copy(self) -> None:
        try:
            await self._target.summary(self._run)
        except RunNotFound:
            [(_, created)] = await self._source.read(self._run, 0, 1)
            if not isinstance(created, RunCreated):
                raise EventUnreadable(f"the journal of run {self._run} does not begin with run_created") from None
            [page] = await self._source.pages(self._run, 0, 1)
            await self._target.create(created, replace(self._row, store=copy_of(self._source.name)), page)

    async def _copy(self) -> None:
        """What the target does not have yet, page by page, so that the chain stays what it was."""
        (_, lease), at = self._leases[1], 0
        while there := await self._target.read(self._run, at, PIECE):
            if there != (await self._source.read(self._run, at, PIECE))[: len(there)]:
                raise StoreCorrupt(f"the store {self._target.name} has a different run {self._run}")
            at = there[-1][0]
            await self._keep()
        while pages := await self._source.pages(self._run, at, PIECE):
            if pages[0].first != at + 1:
                raise StoreCorrupt(f"in the store {self._target.name}, run {self._run} ends in the middle of an append")
            at = await self._target.copy(lease, pages)
            await self._keep()
        await _copy_deliveries(self._source, self._target, self._run)
        await _copy_signals(self._source, self._target, self._run)
        snapshot = await self._source.snapshot(self._run)
        if snapshot is not None:
            await self._target.save_snapshot(lease, snapshot)

    async def _compare(self) -> Run:
        """Every event of the one with that of the other; gives their fold. Raises StoreCorrupt."""
        run: Run | None = None
        while True:
            at = run.seq if run else 0
            original, copied = [await one.read(self._run, at, PIECE) for one in (self._source, self._target)]
            if original != copied:
                raise StoreCorrupt(f"the copy of run {self._run} differs after event {at}")
            if not copied:
                assert run is not None
                return run
            for _, event in copied:
                if run is None:
                    assert isinstance(event, RunCreated)
                    run = Run(event)
                else:
                    run.apply(event)
            await self._keep()

    async def _hand_over(self, run: Run) -> None:
        (_, here), (_, there) = self._leases
        summary = run.summary(self._target.name)
        await self._source.append(here, run.seq, [], summary)
        await self._source.renew(here, self._clock.now(), FOR_EVER)
        self._leases = self._leases[1:]
        await self._target.append(there, run.seq, [], summary)
        if await self._target.summary(self._run) != summary:
            raise StoreCorrupt(f"the summary of run {self._run} differs from what was written")
        await self._target.release(there)
