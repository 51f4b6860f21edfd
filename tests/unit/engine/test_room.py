"""A disk that is full for a while: nothing that is known is lost, and nothing new is begun until there is room."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batchwright.engine.loop import PAUSE_SECONDS, ROOM_SECONDS, Driver
from batchwright.errors import StoreFull
from batchwright.journal.base import Lease, Snapshot, Turn
from batchwright.journal.memory import MemoryJournal
from batchwright.model import events as ev
from batchwright.model.lifecycle import RunState
from batchwright.model.run_summary import RunSummary
from batchwright.testing.virtual_clock import VirtualClock, run_virtual
from tests.support.examples import share
from tests.unit.engine.stage import Stage, installs, runs, servers, undo


class TightJournal(MemoryJournal):
    """A journal whose disk is full in some windows of time: every write is refused, whole."""

    def __init__(self, clock: VirtualClock) -> None:
        super().__init__()
        self.clock = clock
        self.windows: list[tuple[float, float]] = []
        self.refused: list[str] = []

    def _need_room(self, what: str) -> None:
        now = self.clock.monotonic()
        if any(begin <= now < end for begin, end in self.windows):
            self.refused.append(what)
            raise StoreFull("the disk that holds the journal is full")

    async def append(
        self,
        lease: Lease,
        after: int,
        events: Sequence[ev.AnyEvent],
        summary: RunSummary | None = None,
        *,
        turn: Turn | None = None,
    ) -> int:
        self._need_room("append")
        return await super().append(lease, after, events, summary, turn=turn)

    async def renew(self, lease: Lease, now: float, ttl: float = 15.0) -> Lease:
        self._need_room("renew")
        return await super().renew(lease, now, ttl)

    async def save_snapshot(self, lease: Lease, snapshot: Snapshot) -> None:
        self._need_room("snapshot")
        await super().save_snapshot(lease, snapshot)


def tight(**behaviour: Any) -> tuple[Stage, TightJournal]:
    up = servers("up", "a", "b", "c", timeout=600.0)
    stage = Stage(up, installs("svc", up, "redis", after=["up"]), runs("cmd", after=["up"]), settings=behaviour)
    journal = stage.journal = TightJournal(stage.clock)
    return stage, journal


@settings(max_examples=share(60), deadline=None)
@given(st.lists(st.tuples(st.floats(0.1, 20.0), st.floats(0.0, 300.0)), max_size=3), st.floats(0.1, 8.0))
def test_a_full_disk_loses_no_outcome_and_puts_nothing_in_doubt(
    windows: list[tuple[float, float]], boot: float
) -> None:
    """D7: in the run and in its rollback, whenever and for however long."""

    async def play() -> None:
        stage, journal = tight(boot_seconds=boot)
        for wishes, wanted in ((None, RunState.COMPLETED), (undo, RunState.ROLLED_BACK)):
            now = stage.clock.monotonic()
            journal.windows = [(now + begin, now + begin + length) for begin, length in windows]
            run = await stage.drive(wishes)
            assert run.status is wanted
            assert run.retries == 0
            assert not await stage.events(ev.StepInDoubt)
            await stage.clock.sleep(1_000.0)
        assert [call.about for call in stage.asked("create")] == ["a", "b", "c"]
        assert await stage.names() == {}

    run_virtual(play())


def test_nothing_new_is_begun_and_what_is_waited_for_is_told() -> None:
    """D7: installs wait until the servers are journaled; the screen says why."""

    async def play() -> None:
        stage, journal = tight(boot_seconds=5.0)
        told: list[dict[str, str]] = []

        async def look(driver: Driver) -> None:
            now = stage.clock.monotonic()
            journal.windows = [(now + 2.0, now + 302.0)]
            await stage.clock.sleep(200.0)
            told.append(driver.unheard())
            assert not stage.asked("install")
            await stage.clock.sleep(102.0 + PAUSE_SECONDS)
            told.append(driver.unheard())

        run = await stage.drive(meanwhile=look)
        assert run.status is RunState.COMPLETED
        assert {"append", "renew"} <= set(journal.refused)
        assert told == [{"upcloud": "waits for disk space: the disk that holds the journal is full"}, {}]

    run_virtual(play())


def test_a_disk_that_stays_full_ends_the_drive_in_time() -> None:
    """D7: there is an end; the run can be resumed."""

    async def play() -> None:
        stage, journal = tight(boot_seconds=5.0)
        began = stage.clock.monotonic()
        journal.windows = [(began + 2.0, began + 3 * ROOM_SECONDS)]
        with pytest.raises(StoreFull):
            await stage.drive()
        assert ROOM_SECONDS <= stage.clock.monotonic() - began < ROOM_SECONDS + 60.0
        await stage.clock.sleep(3 * ROOM_SECONDS)
        assert (await stage.drive()).status is RunState.COMPLETED
        assert sum((await stage.names()).values()) == 3

    run_virtual(play())


def test_a_run_is_not_begun_on_a_full_disk() -> None:
    """D7: nothing is in flight yet, so the user learns it at once."""

    async def play() -> None:
        stage, journal = tight()
        driver = await stage.driver()
        journal.windows = [(0.0, 1e12)]
        began = stage.clock.monotonic()
        with pytest.raises(StoreFull):
            await driver.drive()
        assert stage.clock.monotonic() == began
        assert not stage.asked("create")

    run_virtual(play())
