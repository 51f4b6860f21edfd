"""The feeds of the runs that have readers. A feed that has been unused for long is dropped for a new one."""

from __future__ import annotations

import asyncio
from collections.abc import Container, Mapping
from weakref import WeakValueDictionary

from batchwright.app.multi_store import Stores
from batchwright.journal.base import Journal
from batchwright.journal.lease_holder import LeaseObserver
from batchwright.journal.replay import load_run
from batchwright.model.clock import Clock
from batchwright.model.events import RunCreated
from batchwright.model.run import Run
from batchwright.service.run_feed import Driven, EventEncoder, RunFeed

STEPS_KEPT = 200_000  # of all the runs that are kept in memory for the next look


class RunFeeds:
    """Feeds by run. `driven` are the runs that this process drives, `resting` those that only wait for people."""

    def __init__(
        self,
        stores: Stores,
        clock: Clock,
        frames: EventEncoder,
        driven: Mapping[str, Driven],
        sightings: LeaseObserver,
        resting: Container[str],
    ) -> None:
        self._resting = resting
        self._stores = stores
        self._clock = clock
        self._frames = frames
        self._driven = driven
        self._sightings = sightings
        self._feeds: dict[str, RunFeed] = {}
        self._loading: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def find(self, word: str, *, destroys: bool = False) -> RunFeed:
        """The run that the word means, up to date; `Stores.find` says what is raised."""
        feed = self._feeds.get(word)
        if feed is None:
            journal, run_id = await self._stores.find(word, destroys=destroys)
            async with self._loading.setdefault(run_id, asyncio.Lock()):
                feed = self._feeds.get(run_id)
                if feed is None:
                    feed = self._keep(journal, await load_run(journal, run_id))
        self._feeds.pop(feed.run.id, None)
        self._feeds[feed.run.id] = feed  # the last used stand last
        await feed.refresh()
        return feed

    def add(self, journal: Journal, created: RunCreated) -> None:
        """Keep the feed of a run that has just been recorded, so that it need not be read back."""
        self._keep(journal, Run(created))

    def _keep(self, journal: Journal, run: Run) -> RunFeed:
        feed = RunFeed(journal, run, self._clock, self._frames, self._driven.get, self._sightings, self._resting)
        self._make_room(len(run.records))
        self._feeds[run.id] = feed
        return feed

    def _make_room(self, steps: int) -> None:
        kept = sum(len(feed.run.records) for feed in self._feeds.values())
        for run_id, feed in list(self._feeds.items()):
            if kept + steps <= STEPS_KEPT:
                return
            if not feed.readers:
                kept -= len(feed.run.records)
                del self._feeds[run_id]

    def hint(self, run_id: str) -> None:
        """Note that the driver in this process has written something, or has ended."""
        feed = self._feeds.get(run_id)
        if feed is not None:
            feed.hint()

    @property
    def readers(self) -> int:
        """How many readers all runs have now."""
        return sum(feed.readers for feed in self._feeds.values())

    def close(self) -> None:
        """End the streams of all readers of all runs."""
        for feed in self._feeds.values():
            feed.close()
