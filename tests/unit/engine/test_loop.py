"""The loop: durable before it acts, deaf to nobody, and silent once the run is another's."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from batchwright.engine.loop import BATCH_EVENTS, Driver
from batchwright.errors import LeaseLost, StoreFull
from batchwright.journal.base import Lease, Turn
from batchwright.journal.lease_holder import LEASE_SECONDS, driver_of
from batchwright.journal.memory import MemoryJournal
from batchwright.model import events as ev
from batchwright.model.lifecycle import RunState
from batchwright.model.run_signal import SignalKind
from batchwright.model.run_summary import RunSummary
from batchwright.testing.virtual_clock import run_virtual
from tests.unit.engine.stage import Settings, Stage, installs, reopen, servers, signal, states, undo


class FullDisk(MemoryJournal):
    """Refuses every append from the n-th on, until there is room again."""

    def __init__(self, after: int) -> None:
        super().__init__()
        self.left = after
        self.full = True

    async def append(
        self,
        lease: Lease,
        after: int,
        events: Sequence[ev.AnyEvent],
        summary: RunSummary | None = None,
        *,
        turn: Turn | None = None,
    ) -> int:
        if self.left == 0 and self.full:
            raise StoreFull("the disk is full")
        self.left = max(0, self.left - 1)
        return await super().append(lease, after, events, summary, turn=turn)


@pytest.mark.parametrize("appends", range(8))
def test_a_full_store_stops_the_run_loses_nothing_and_a_resume_completes_it(appends: int) -> None:
    async def play() -> None:
        up = servers("up", "a", "b")
        settings: Settings = {"list_lag": 1.0, "spread": 0.5, "seed": 4}
        stage = Stage(up, installs("svc", up, "redis", after=["up"]), settings=settings, limit=2)
        stage.journal = disk = FullDisk(appends)
        with pytest.raises(StoreFull):
            await stage.drive()
        stage.check_permits()
        disk.full = False
        assert (await stage.drive()).status is RunState.COMPLETED
        assert await stage.names() == {"a": 1, "b": 1}

    run_virtual(play())


def test_an_event_is_durable_before_anything_is_sent() -> None:
    async def play() -> None:
        stage = Stage(servers("up", "a", "b"))
        seen: list[int] = []
        durable = stage.journal.append

        async def slow(lease: Lease, after: int, events: Sequence[ev.AnyEvent], *rest: Any, **more: Any) -> int:
            await stage.clock.sleep(1.0)
            seen.append(len(stage.asked("create")))
            return await durable(lease, after, events, *rest, **more)

        stage.journal.append = slow  # type: ignore[method-assign]
        await stage.drive()
        assert seen[0] == 0, "the intents were not durable yet"
        assert len(stage.asked("create")) == 2

    run_virtual(play())


def test_a_stale_driver_is_refused_and_stops_calling() -> None:
    async def play() -> None:
        stage = Stage(servers("up", "a", "b", "c", "d"), settings={"answer_seconds": 4.0}, limit=1)
        first = await stage.driver()
        driving = asyncio.ensure_future(first.drive())
        await stage.clock.sleep(1.0)
        await stage.journal.release(first._lease)
        second = asyncio.ensure_future(stage.drive())
        with pytest.raises(LeaseLost):
            await driving
        lost = stage.clock.now()
        run = await second
        assert run.status is RunState.COMPLETED
        assert lost - run.created_at < LEASE_SECONDS, "it hears of it when it renews or writes, whatever is first"
        assert await stage.names() == {"a": 1, "b": 1, "c": 1, "d": 1}

    run_virtual(play())


def frozen(stage: Stage, seconds: float) -> None:
    """The process is stopped for so long: its clock jumps."""
    stage.clock.asleep += seconds


@pytest.mark.parametrize(("promise", "seconds"), [("", LEASE_SECONDS), ("~9", 9.0)])
def test_a_process_that_was_frozen_and_lost_its_run_sends_nothing_more(promise: str, seconds: float) -> None:
    async def play() -> None:
        stage = Stage(servers("up", "a", "b"), settings={"destroy_seconds": 60.0})
        await stage.drive()
        driver = await stage.driver(promise)
        driving = asyncio.ensure_future(driver.drive(undo))
        await stage.clock.sleep(2.0)
        frozen(stage, seconds + 1)
        held = await stage.journal.held("run")
        await stage.journal.acquire("run", "another:1:1", stage.clock.now(), silent=held)
        sent = len(stage.asked("destroy"))
        with pytest.raises(LeaseLost):
            await driving
        assert len(stage.asked("destroy")) == sent
        stage.check_permits()

    run_virtual(play())


def test_a_process_that_was_frozen_and_whose_run_nobody_took_goes_on() -> None:
    async def play() -> None:
        stage = Stage(servers("up", "a", "b"), settings={"destroy_seconds": 60.0})

        async def freeze(_: Driver) -> None:
            await stage.clock.sleep(2.0)
            frozen(stage, LEASE_SECONDS + 1)

        await stage.drive()
        assert (await stage.drive(undo, freeze)).status is RunState.ROLLED_BACK

    run_virtual(play())


def test_a_lease_is_renewed_for_as_long_as_it_takes() -> None:
    async def play() -> None:
        stage = Stage(servers("up", "a", timeout=1_000.0), settings={"boot_seconds": LEASE_SECONDS * 20})

        async def look(_: Driver) -> None:
            for _ in range(19):
                await stage.clock.sleep(LEASE_SECONDS)
                assert driver_of(await stage.journal.held("run"), stage.clock.now()) is not None

        assert (await stage.drive(meanwhile=look)).status is RunState.COMPLETED

    run_virtual(play())


def test_a_signal_from_another_process_is_heard_soon() -> None:
    async def play() -> None:
        stage = Stage(servers("up", "a", "b"), settings={"answer_seconds": 10.0}, limit=1)

        async def elsewhere(driver: Driver) -> None:
            await stage.clock.sleep(0.1)
            await stage.journal.signal("run", signal(stage, SignalKind.PAUSE))
            await stage.clock.sleep(0.3)
            assert driver.run.status is RunState.PAUSED
            assert (await stage.journal.summary("run")).status is RunState.PAUSED, "whoever lists it sees it at once"
            await stage.journal.signal("run", signal(stage, SignalKind.CANCEL))

        run = await stage.drive(meanwhile=elsewhere)
        assert (run.status, states(run)) == (RunState.CANCELLED, {"up/a": "succeeded", "up/b": "waiting"})
        assert stage.clock.now() - run.ended_at < 1.0

    run_virtual(play())


def test_a_list_of_runs_is_never_much_older_than_the_run() -> None:
    async def play() -> None:
        settings: Settings = {"spread": 0.0, "aws.boot_seconds": 300.0}
        stage = Stage(servers("up", "a", "b"), servers("aws", "c", provider="aws", timeout=999.0), settings=settings)

        async def elsewhere(_: Driver) -> None:
            await stage.clock.sleep(5.0)
            assert (await stage.journal.summary("run")).succeeded == 2
            appends = len(await stage.history())
            await stage.clock.sleep(200.0)
            assert len(await stage.history()) == appends

        assert (await stage.drive(meanwhile=elsewhere)).status is RunState.COMPLETED

    run_virtual(play())


def test_a_signal_left_while_the_driver_starts_is_heard_and_an_old_one_is_not() -> None:
    async def play() -> None:
        stage = Stage(servers("up", "a", "b"), limit=1)
        driver = await stage.driver()
        await stage.journal.signal("run", signal(stage, SignalKind.CANCEL))
        assert (await driver.drive(signals_seen=0)).status is RunState.CANCELLED
        await stage.journal.release(driver._lease)
        assert (await stage.drive(reopen)).status is RunState.COMPLETED, "the cancel was for the driver before"

    run_virtual(play())


def test_many_skips_are_written_in_batches() -> None:
    async def play() -> None:
        many = [f"s{i}" for i in range(3 * BATCH_EVENTS)]
        stage = Stage(servers("up", "a"), servers("top", *many, after=["up"]), settings={"fail": "a"})
        sizes: list[int] = []
        durable = stage.journal.append

        async def sized(lease: Lease, after: int, events: Sequence[ev.AnyEvent], *rest: Any, **more: Any) -> int:
            sizes.append(len(events))
            return await durable(lease, after, events, *rest, **more)

        stage.journal.append = sized  # type: ignore[method-assign]
        run = await stage.drive()
        assert run.reason == f"1 failed, {len(many)} skipped"
        assert max(sizes) <= 2 * BATCH_EVENTS

    run_virtual(play())


def test_an_adapter_that_breaks_its_contract_stops_the_run_loudly() -> None:
    async def play() -> None:
        stage = Stage(servers("up", "a"))

        async def nonsense(refs: Sequence[str]) -> dict[str, Any]:
            raise SystemError("the adapter is broken")

        def explode(*_: Any) -> Any:
            raise ZeroDivisionError

        stage.providers["upcloud"].describe = nonsense  # type: ignore[method-assign]
        driver = await stage.driver()
        driver._performer._context.heed = explode  # type: ignore[method-assign]
        with pytest.raises(ZeroDivisionError):
            await driver.drive()
        stage.check_permits()

    run_virtual(play())


def test_whoever_cancels_the_drive_leaves_a_run_that_goes_on() -> None:
    async def play() -> None:
        stage = Stage(servers("up", "a", "b"), settings={"answer_seconds": 4.0, "list_lag": 1.0})
        driver = await stage.driver()
        driving = asyncio.ensure_future(driver.drive())
        await stage.clock.sleep(2.0)
        driving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await driving
        await stage.journal.release(driver._lease)
        stage.check_permits()
        assert len(asyncio.all_tasks()) == 1, "nothing runs on"
        assert (await stage.drive()).status is RunState.COMPLETED
        assert await stage.names() == {"a": 1, "b": 1}

    run_virtual(play())


def test_a_driver_of_a_run_that_waits_does_not_spin() -> None:
    async def play() -> None:
        stage = Stage(servers("up", "a", timeout=5_000.0), settings={"boot_seconds": 1_000.0})
        cycles = 0
        driver = await stage.driver()
        inner = driver._cycle

        async def counted(begin: Sequence[ev.AnyEvent]) -> bool:
            nonlocal cycles
            cycles += 1
            return await inner(begin)

        driver._cycle = counted  # type: ignore[method-assign]
        assert (await driver.drive()).status is RunState.COMPLETED
        assert cycles < 20

    run_virtual(play())
