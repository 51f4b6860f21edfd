"""The use case of `batchwright gc`: repeat the closing sweep of a run at any later time."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from msgspec import Struct

from batchwright.app.adapters import Adapters, SharedWorld
from batchwright.app.lease_takeover import renewed, take
from batchwright.app.multi_store import Stores
from batchwright.app.settings import Settings
from batchwright.engine import effects, reports
from batchwright.engine.closing_sweep import ROUNDS_MAX, ClosingSweep
from batchwright.engine.limits import Limits
from batchwright.engine.performer import Performer
from batchwright.engine.read_retry import OUTAGE_SECONDS
from batchwright.errors import NotAllowed, ProviderUnavailable
from batchwright.journal.base import Journal, Lease
from batchwright.journal.replay import load_run
from batchwright.model.clock import Clock
from batchwright.model.fault import Fault
from batchwright.model.lifecycle import RUN_ENDED
from batchwright.model.run import Run
from batchwright.providers.base import Provider


class Orphan(Struct, frozen=True):
    """Something that carries the run's label, and that the run's journal does not know or has recorded as gone."""

    provider: str
    ref: str
    name: str


class GcResult(Struct, frozen=True):
    """The orphans that a sweep found, and how many it removed if it was asked to; `left` could not be removed."""

    run: str
    status: str
    looked_at: tuple[str, ...]
    strays: tuple[Orphan, ...]
    removed: int = 0
    left: tuple[tuple[Orphan, Fault], ...] = ()


async def sweep_orphans(
    settings: Settings, stores: Stores, clock: Clock, word: str, world: SharedWorld | None = None, *, remove: bool
) -> GcResult:
    """Search every account in which the run created something.

    Raises NotAllowed, RunHeld, ProviderUnavailable, StoreError.
    """
    journal, run_id = await stores.find(word, destroys=remove)
    lease = await take(journal, run_id, clock)
    try:
        run = await load_run(journal, run_id)
        if run.status not in RUN_ENDED:
            raise NotAllowed(
                f"run {run_id} is {run.status}: its journal may not list everything it creates yet",
                hint=f"Let it end first: batchwright resume {run_id}",
            )
        limits = Limits()
        around = Adapters(settings, clock, limits, run.plan.simulation, world, patience=OUTAGE_SECONDS)
        async with around, renewed(journal, lease, clock):
            await around.open_for(run.plan)
            broom = _Broom(run, around.providers, limits, clock, journal, lease)
            return await broom.sweep(remove=remove)
    finally:
        await journal.release(lease)


class _Broom:
    """The engine's own sweep and its own way to destroy, one command after the other."""

    def __init__(
        self,
        run: Run,
        providers: Mapping[str, Provider],
        limits: Limits,
        clock: Clock,
        journal: Journal,
        lease: Lease,
    ) -> None:
        self._run, self._clock, self._journal, self._lease = run, clock, journal, lease
        self._reports: asyncio.Queue[reports.Report | BaseException] = asyncio.Queue()
        put = self._reports.put_nowait
        self._performer = Performer(run, providers, {}, limits, clock, put, put, self._hold)

    async def _hold(self) -> None:
        self._lease = await self._journal.renew(self._lease, self._clock.now())

    async def sweep(self, *, remove: bool) -> GcResult:
        """Round after round until nothing is found, or nothing but what cannot be removed."""
        lanes, first, left = (
            tuple(ClosingSweep(self._run).lanes),
            dict[str, Orphan](),
            dict[str, tuple[Orphan, Fault]](),
        )
        try:
            for lane in lanes:
                for number in range(ROUNDS_MAX):
                    found = [stray for stray in await self._look(lane, number) if stray.ref not in left]
                    first |= {stray.ref: stray for stray in found}
                    if not found or not remove:
                        break
                    left |= await self._destroy(found)
        finally:
            await self._performer.aclose()
        removed = len(first) - len(left) if remove else 0
        return GcResult(self._run.id, self._run.status, lanes, tuple(first.values()), removed, tuple(left.values()))

    async def _look(self, lane: str, number: int) -> list[Orphan]:
        self._performer.perform(effects.Sweep(lane, number))
        report = await self._next()
        assert isinstance(report, reports.SweepReport)
        if report.fault is not None:
            raise ProviderUnavailable(
                f"{lane}: {report.fault.message}", hint="The result is not known; try again in a moment."
            )
        return [Orphan(lane, ref, name) for ref, name in report.strays]

    async def _destroy(self, strays: list[Orphan]) -> dict[str, tuple[Orphan, Fault]]:
        for stray in strays:
            self._performer.perform(effects.DestroyOrphan(stray.provider, stray.ref))
        of, left = {stray.ref: stray for stray in strays}, {}
        for _ in strays:
            report = await self._next()
            assert isinstance(report, reports.OrphanReport)
            if report.fault is not None:
                left[report.ref] = of[report.ref], report.fault
        return left

    async def _next(self) -> reports.Report:
        report = await self._reports.get()
        if isinstance(report, BaseException):
            raise report
        return report
