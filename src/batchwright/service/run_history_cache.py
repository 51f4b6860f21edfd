"""The histories of the runs that are looked at, and their folds as they were after earlier events."""

from __future__ import annotations

import asyncio
import contextlib
import zlib
from collections import OrderedDict
from collections.abc import AsyncIterator
from weakref import WeakValueDictionary

from msgspec import Struct

from batchwright.errors import UsageError
from batchwright.model.clock import Clock
from batchwright.model.lifecycle import RUN_ENDED
from batchwright.model.run import Run
from batchwright.model.run_snapshot import encode_snapshot, restore_run
from batchwright.service.run_feed import RunFeed
from batchwright.views.run_history import RunHistory
from batchwright.views.wait_reasons import Circumstances

STEPS_KEPT = 60_000  # of all histories that are kept in memory
STRIDE, SNAPSHOTS_MOST = 2_000, 8  # events between two snapshots of a fold, and how many of them are kept
PIECE = 1_000  # events read at a time
FOLDS_MOST = 4  # folds of earlier moments that are kept


class RunMoment(Struct, frozen=True):
    """A run as it was after one event, with its history, which may go on. `now` is the time then."""

    history: RunHistory
    run: Run
    now: float
    around: Circumstances


class _Kept:
    """The history of a run, and compressed snapshots of its fold on the way."""

    def __init__(self, history: RunHistory) -> None:
        self.history = history
        self.snapshots: dict[int, bytes] = {}
        self._stride = STRIDE

    def note(self) -> None:
        """Keep a snapshot now and then; of many, every other one is dropped."""
        run = self.history.run
        if run.seq % self._stride:
            return
        self.snapshots[run.seq] = zlib.compress(encode_snapshot(run), 1)
        if len(self.snapshots) > SNAPSHOTS_MOST:
            self._stride *= 2
            self.snapshots = {seq: body for seq, body in self.snapshots.items() if not seq % self._stride}


class RunHistories:
    """Histories by run; those unused for longest make room for others."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._kept: OrderedDict[str, _Kept] = OrderedDict()
        self._folds: OrderedDict[tuple[str, int], Run] = OrderedDict()
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    @contextlib.asynccontextmanager
    async def moment(self, feed: RunFeed, at: int | None = None) -> AsyncIterator[RunMoment]:
        """The run now, or after event `at`. What is given does not change before the end of the block.

        Raises UsageError if the run has no such event.
        """
        own = feed.run.id
        if at is not None and not 1 <= at <= feed.seq:
            raise UsageError(f"run {own} has no event {at} yet", hint=f"It has the events 1 to {feed.seq}.")
        async with self._locks.setdefault(own, asyncio.Lock()):
            kept = await self._caught_up(feed)
            history = kept.history
            if at is None or at == history.seq:
                run, around = history.run, feed.around()
                now = run.updated_at if run.status in RUN_ENDED else max(self._clock.now(), history.at(run.seq))
            else:
                run, around, now = await self._fold(feed, kept, at), Circumstances(), history.at(at)
            yield RunMoment(history, run, now, around)

    async def _caught_up(self, feed: RunFeed) -> _Kept:
        own = feed.run.id
        kept = self._kept.pop(own, None) or _Kept(RunHistory(feed.run.created))
        self._make_room(len(feed.run.records))
        self._kept[own] = kept
        while page := await feed.journal.read(own, kept.history.seq, PIECE):
            for _, event in page:
                kept.history.take(event)
                kept.note()
        return kept

    def _make_room(self, steps: int) -> None:
        there = sum(len(one.history.changes) for one in self._kept.values())
        while self._kept and there + steps > STEPS_KEPT:
            there -= len(self._kept.popitem(last=False)[1].history.changes)

    async def _fold(self, feed: RunFeed, kept: _Kept, seq: int) -> Run:
        key = (feed.run.id, seq)
        run = self._folds.pop(key, None)
        if run is None:
            start = max((one for one in kept.snapshots if one <= seq), default=0)
            created = feed.run.created
            run = restore_run(created, zlib.decompress(kept.snapshots[start])) if start else Run(created)
            while run.seq < seq:
                for _, event in await feed.journal.read(run.id, run.seq, min(PIECE, seq - run.seq)):
                    run.apply(event)
        self._folds[key] = run
        if len(self._folds) > FOLDS_MOST:
            self._folds.popitem(last=False)
        return run
