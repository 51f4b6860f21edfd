"""Runs as they were: each event gives the same fold and history as a journal that ends there."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import pytest
from tests.unit.views.story import DOWN, T0, Story, fleet

from batchwright.app import run_reader
from batchwright.app.run_reader import read_events
from batchwright.errors import UsageError
from batchwright.model import events as ev
from batchwright.model.run import Run
from batchwright.model.run_snapshot import encode_snapshot
from batchwright.service import run_history_cache
from batchwright.service.run_history_cache import RunHistories
from batchwright.testing.virtual_clock import VirtualClock
from batchwright.views.wait_reasons import Circumstances


class Told:
    """A journal of one run, which counts the events that it reads."""

    def __init__(self, story: Story) -> None:
        self.events = story.history
        self.read_so_far = 0

    async def read(self, _run: str, after: int = 0, limit: int = 10_000) -> list[tuple[int, ev.AnyEvent]]:
        found = list(enumerate(self.events, 1))[after : after + limit]
        self.read_so_far += len(found)
        return found


def told() -> Story:
    story = fleet(parallel_limit=9).begin()
    for n in range(12):
        story.start("web/a", at=2 * n).retry("web/a", at=2 * n + 1, until=2 * n + 2, fault=DOWN, counted=False)
    return story.start("web/a", at=30).succeed("web/a", at=31).start("web/b", at=32)


def feed_of(story: Story, journal: Told) -> Any:
    return SimpleNamespace(run=story.run, seq=story.run.seq, journal=journal, around=Circumstances)


@contextmanager
def small() -> Iterator[None]:
    with patch.multiple(run_history_cache, STRIDE=4, SNAPSHOTS_MOST=3, FOLDS_MOST=2, PIECE=5):
        yield


def test_every_moment_is_the_fold_of_the_events_until_then() -> None:
    story = told()
    journal = Told(story)
    histories = RunHistories(VirtualClock())

    async def main() -> None:
        feed = feed_of(story, journal)
        for seq in [*range(1, story.run.seq + 1), *range(story.run.seq, 0, -3)]:
            async with histories.moment(feed, seq) as seen:
                until = Run.replay(story.history[:seq])
                assert encode_snapshot(seen.run) == encode_snapshot(until)
                if seq < story.run.seq:
                    assert seen.now == story.history[seq - 1].at
        for seq in (0, story.run.seq + 1):
            with pytest.raises(UsageError, match="has no event"):
                async with histories.moment(feed, seq):
                    pass

    with small():
        asyncio.run(main())


def test_a_moment_far_from_the_beginning_is_not_folded_from_there() -> None:
    story = told()
    journal = Told(story)
    histories = RunHistories(VirtualClock())

    async def main() -> None:
        feed = feed_of(story, journal)
        async with histories.moment(feed):
            assert journal.read_so_far == story.run.seq - 1  # once
        async with histories.moment(feed):
            assert journal.read_so_far == story.run.seq - 1  # and never again
        async with histories.moment(feed, story.run.seq - 1):
            assert journal.read_so_far < story.run.seq + 15
        story.succeed("web/b", at=40)
        feed.seq = story.run.seq
        async with histories.moment(feed) as seen:
            assert seen.run.seq == story.run.seq
            assert seen.history.at(seen.run.seq) == T0 + 40

    with small():
        asyncio.run(main())


def test_histories_that_are_not_looked_at_make_room() -> None:
    stories = [told(), told()]
    stories[1].run.id = "other"
    histories = RunHistories(VirtualClock())

    async def main() -> None:
        for _ in range(2):
            for story in stories:
                journal = Told(story)
                async with histories.moment(feed_of(story, journal)):
                    assert journal.read_so_far == story.run.seq - 1

    with patch.object(run_history_cache, "STEPS_KEPT", len(stories[0].run.records)):
        asyncio.run(main())


def test_events_far_apart_are_read_in_pieces() -> None:
    story = told()
    journal = Told(story)
    wanted = [2, 3, 9, 20, story.run.seq]
    with patch.multiple(run_reader, NEAR=2, PIECE=5):
        found = asyncio.run(read_events(journal, "run", wanted))  # type: ignore[arg-type]
    assert found == [(seq, story.history[seq - 1]) for seq in wanted]
    assert journal.read_so_far == len(wanted)
