"""The use cases that change the world: what each does in which state, under a lease, in the right account."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import TypeVar

import msgspec
import pytest

from batchwright.app.active_run import LIVE_STATES
from batchwright.app.adapters import Adapters
from batchwright.app.lease_takeover import renewed
from batchwright.app.multi_store import Stores
from batchwright.app.runs import Runs, StoredRun
from batchwright.app.settings import Settings
from batchwright.engine.limits import Limits
from batchwright.errors import NotAllowed, RunHeld, RunNotFound, TaskservPackageMissing
from batchwright.journal.base import Journal
from batchwright.journal.lease_holder import LEASE_SECONDS, driver_of
from batchwright.journal.memory import MemoryJournal
from batchwright.journal.replay import load_run
from batchwright.model import events as ev
from batchwright.model.lifecycle import RunState
from batchwright.model.plan import Plan
from batchwright.model.run import Run
from batchwright.model.run_signal import Signal, SignalKind
from batchwright.providers.simulated import World
from batchwright.taskservs.base import Runner
from batchwright.testing.virtual_clock import VirtualClock, run_virtual
from tests.unit.engine.stage import QUICK, installs, plan_of, servers

T = TypeVar("T")


class MemoryStores(Stores):
    """Stores that live in memory."""

    async def get(self, name: str, *, behind: bool = False) -> Journal:
        """Without a thread, for which virtual time would not wait."""
        return self._open.setdefault(name, MemoryJournal())

    async def existing(self) -> list[Journal]:
        return list(self._open.values())

    async def readable(self) -> list[Journal]:
        return await self.existing()


class House:
    """One state folder and the processes that use it."""

    def __init__(self, folder: Path) -> None:
        self.settings = Settings(folder)
        self.clock = VirtualClock()
        self.stores = MemoryStores(self.settings)
        self.limits = Limits()
        self.runs = Runs(self.settings, self.stores, self.clock, self.limits)

    async def create(self, plan: Plan) -> str:
        return (await self.runs.create(plan, "somebody")).id

    async def stored(self, word: str) -> StoredRun:
        return StoredRun(*await self.stores.find(word))

    async def resume(self, word: str, by: str) -> Run:
        return await self.runs.resume(await self.stored(word), by).finished()

    async def rollback(self, word: str, by: str) -> Run:
        return await self.runs.rollback(await self.stored(word), by).finished()

    async def ask(self, word: str, kind: SignalKind, by: str, states: Sequence[RunState]) -> bool:
        return await self.runs.ask(await self.stored(word), kind, by, states)

    async def cancel(self, word: str, by: str, *, force: bool) -> Run:
        return await self.runs.cancel(await self.stored(word), by, force=force).finished()

    async def journal(self) -> Journal:
        return await self.stores.get("memory")

    async def run(self, run_id: str) -> Run:
        return await load_run(await self.journal(), run_id)

    async def left_behind(self, run_id: str) -> None:
        """A process starts it and dies with a create in flight."""
        journal, now = await self.journal(), self.clock.now()
        lease = await journal.acquire(run_id, "elsewhere:1:1", now)
        step = (await self.run(run_id)).plan.steps[0].id
        await journal.append(lease, 1, [
            ev.DriverStarted(now, lease.holder, lease.fence), ev.RunStarted(now), ev.StepStarted(now, step, 1, "t"),
        ])  # fmt: skip
        await journal.release(lease)

    def alive(self) -> list[str]:
        world = World(self.settings.world_file)
        names = sorted(server.name for server in world.servers())
        world.close()
        return names


def housed(folder: Path, play: Callable[[House], Awaitable[T]]) -> T:
    async def main() -> T:
        async with asyncio.timeout(100_000):
            return await play(House(folder))

    return run_virtual(main())


def small(**rest: object) -> Plan:
    up = servers("up", "a", "b")
    plan = plan_of(QUICK, up, installs("svc", up, "redis", after=["up"]), limit=1)
    return msgspec.structs.replace(plan, **rest)


def test_a_run_is_created_driven_and_torn_down(tmp_path: Path) -> None:
    async def play(house: House) -> None:
        run_id = await house.create(small())
        assert (await house.run(run_id)).status is RunState.PENDING
        assert (await house.resume("latest", "me")).status is RunState.COMPLETED
        assert house.alive() == ["a", "b"]
        assert (await house.rollback(run_id[:6], "me")).status is RunState.ROLLED_BACK
        assert house.alive() == []
        journal = await house.journal()
        assert driver_of(await journal.held(run_id), house.clock.now()) is None, "the lease was given back"
        assert all(lane.in_flight == 0 for lane in house.limits.lanes.values())

    housed(tmp_path, play)


def test_a_run_whose_process_died_goes_on(tmp_path: Path) -> None:
    async def play(house: House) -> None:
        run_id = await house.create(small())
        await house.left_behind(run_id)
        run = await house.resume(run_id, "me")
        assert (run.status, run.restarts) == (RunState.COMPLETED, 1)
        assert house.alive() == ["a", "b"]

    housed(tmp_path, play)


def test_a_run_whose_process_died_is_cancelled_and_rolled_back(tmp_path: Path) -> None:
    async def play(house: House) -> None:
        run_id = await house.create(small())
        await house.left_behind(run_id)
        run = await house.rollback(run_id, "me")
        assert run.status is RunState.ROLLED_BACK
        assert house.alive() == []

    housed(tmp_path, play)


@pytest.mark.parametrize("force", [False, True])
def test_a_run_that_nobody_drives_is_cancelled_here(tmp_path: Path, force: bool) -> None:
    async def play(house: House) -> None:
        run_id = await house.create(small())
        await house.left_behind(run_id)
        run = await house.cancel(run_id, "me", force=force)
        assert (run.status, bool(run.in_flight)) == (RunState.CANCELLED, force)
        assert (await house.resume(run_id, "me")).status is RunState.COMPLETED
        assert house.alive() == ["a", "b"]

    housed(tmp_path, play)


def test_a_run_that_is_driven_is_asked_through_its_store(tmp_path: Path) -> None:
    async def play(house: House) -> None:
        run_id = await house.create(small())
        driving = asyncio.ensure_future(house.resume(run_id, "me"))
        await house.clock.sleep(0.5)
        assert await house.ask(run_id, SignalKind.PAUSE, "you", (RunState.RUNNING,))
        await house.clock.sleep(30.0)
        assert (await house.run(run_id)).status is RunState.PAUSED
        assert await house.ask(run_id, SignalKind.RESUME, "you", (RunState.PAUSED,))
        await house.clock.sleep(0.5)
        assert await house.ask(run_id, SignalKind.CANCEL, "you", LIVE_STATES)
        assert (await driving).status is RunState.CANCELLED

    housed(tmp_path, play)


def test_a_signal_left_while_providers_are_opened_is_not_lost(tmp_path: Path) -> None:
    async def play(house: House) -> None:
        run_id = await house.create(small())
        journal = await house.journal()
        opening = Adapters.open_for

        async def slowly(self: Adapters, plan: Plan) -> None:
            await journal.signal(run_id, Signal(SignalKind.CANCEL, house.clock.now(), "you"))
            await opening(self, plan)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Adapters, "open_for", slowly)
            run = await house.resume(run_id, "me")
        assert run.status is RunState.CANCELLED
        assert (await house.resume(run_id, "me")).status is RunState.COMPLETED, "it was heard once"

    housed(tmp_path, play)


def test_two_do_not_drive_one_run(tmp_path: Path) -> None:
    """D5: whatever the clock of the second one says; one that has gone silent is replaced after a while."""

    async def play(house: House) -> None:
        run_id = await house.create(small())
        journal = await house.journal()
        lease = await journal.acquire(run_id, "elsewhere:1:1", house.clock.now())
        async with renewed(journal, lease, house.clock):
            for jump in (0.0, 5 * 3600.0, -10 * 3600.0):
                house.clock.epoch += jump
                for verb in (house.resume, house.rollback):
                    with pytest.raises(RunHeld):
                        await verb(run_id, "me")
        assert (await house.run(run_id)).status is RunState.PENDING
        began = house.clock.monotonic()
        assert (await house.resume(run_id, "me")).status is RunState.COMPLETED
        assert house.clock.monotonic() - began >= LEASE_SECONDS, "it was watched for as long as a driver may be silent"

    housed(tmp_path, play)


def test_what_is_refused_leaves_no_trace(tmp_path: Path) -> None:
    async def play(house: House) -> None:
        done = await house.create(small())
        await house.resume(done, "me")
        seq = (await house.run(done)).seq
        with pytest.raises(NotAllowed, match="Completed"):
            await house.resume(done, "me")
        with pytest.raises(NotAllowed, match="nothing to pause"):
            await house.ask(done, SignalKind.PAUSE, "me", (RunState.RUNNING,))
        with pytest.raises(NotAllowed, match="nothing to force cancel"):
            await house.ask(done, SignalKind.FORCE_CANCEL, "me", LIVE_STATES)
        with pytest.raises(RunNotFound):
            await house.resume("zzz", "me")
        assert (await house.run(done)).seq == seq

    housed(tmp_path, play)


def test_a_run_that_is_never_rolled_back_is_not_cancelled_for_it_either(tmp_path: Path) -> None:
    async def play(house: House) -> None:
        run_id = await house.create(small(rollback_enabled=False))
        await house.left_behind(run_id)
        with pytest.raises(NotAllowed, match="rollback_enabled = false"):
            await house.rollback(run_id, "me")
        assert (await house.run(run_id)).status is RunState.RUNNING

    housed(tmp_path, play)


def test_another_account_is_refused(tmp_path: Path) -> None:
    async def play(house: House) -> None:
        facts = tuple(msgspec.structs.replace(one, account="of somebody else") for one in small().providers)
        run_id = await house.create(small(providers=facts))
        with pytest.raises(NotAllowed, match="of somebody else") as refused:
            await house.resume(run_id, "me")
        assert "credentials" in refused.value.hint
        assert (await house.run(run_id)).seq == 1
        assert house.alive() == []

    housed(tmp_path, play)


def test_a_plan_of_other_semantics_is_refused(tmp_path: Path) -> None:
    async def play(house: House) -> None:
        run_id = await house.create(small(semantics=99))
        with pytest.raises(NotAllowed, match="semantics 99"):
            await house.resume(run_id, "me")

    housed(tmp_path, play)


def test_task_services_without_a_runner_are_refused_before_a_server_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(_around: Adapters, _provider: str, _at: str = "") -> Runner:
        raise TaskservPackageMissing("task services need a package that is not installed: pyinfra")

    async def play(house: House) -> None:
        async with Adapters(house.settings, house.clock, house.limits, QUICK) as around:
            await around.open(["upcloud"])
            await around.open_for(small())
            assert list(around.runners) == ["upcloud"]
        monkeypatch.setattr(Adapters, "_new_runner", missing)
        async with Adapters(house.settings, house.clock, house.limits, QUICK) as around:
            with pytest.raises(TaskservPackageMissing, match="pyinfra"):
                await around.open_for(small())

    housed(tmp_path, play)


def test_a_provider_that_fails_to_close_keeps_no_other_open(tmp_path: Path) -> None:
    async def play(house: House) -> None:
        closed: list[str] = []

        async def fails() -> None:
            raise ConnectionError("broken pipe")

        async def closes() -> None:
            closed.append("aws")

        around = Adapters(house.settings, house.clock, house.limits, QUICK)
        await around.open(["upcloud", "aws"])
        around.providers["upcloud"].aclose = fails  # type: ignore[method-assign]
        around.providers["aws"].aclose = closes  # type: ignore[method-assign]
        with pytest.raises(ConnectionError):
            await around.__aexit__(None, None, None)
        assert closed == ["aws"]

    housed(tmp_path, play)


def test_a_rollback_that_was_killed_goes_on_by_either_verb(tmp_path: Path) -> None:
    async def play(house: House) -> None:
        for verb in (house.resume, house.rollback):
            run_id = await house.create(small())
            await house.resume(run_id, "me")
            rolling = asyncio.ensure_future(house.rollback(run_id, "me"))
            await house.clock.sleep(0.3)
            rolling.cancel()
            await asyncio.wait([rolling])
            assert (await house.run(run_id)).status is RunState.ROLLING_BACK
            assert (await verb(run_id, "me")).status is RunState.ROLLED_BACK
            assert house.alive() == []

    housed(tmp_path, play)


def test_a_run_that_is_driven_here_can_be_signalled_and_left(tmp_path: Path) -> None:
    async def play(house: House) -> None:
        run_id = await house.create(small())
        active = house.runs.resume(await house.stored(run_id), "me")
        driving = asyncio.ensure_future(active.finished())
        await house.clock.sleep(0.1)
        assert active.cancel("me")
        assert (await driving).status is RunState.CANCELLED
        again = house.runs.resume(await house.stored(run_id), "me")
        driving = asyncio.ensure_future(again.finished())
        await house.clock.sleep(0.1)
        again.leave()
        assert (await driving).status is RunState.RUNNING
        assert (await house.resume(run_id, "me")).status is RunState.COMPLETED

    housed(tmp_path, play)


def test_updates_hold_every_event_once_however_seldom_they_are_taken(tmp_path: Path) -> None:
    async def play(house: House) -> None:
        for every in (None, 0.2, 1e6):
            stored = await house.runs.create(small(), "me")
            told, views = [], []
            async for update in house.runs.drive(stored).updates(every):
                told += update.numbered
                views.append(update.view)
                await house.clock.sleep(1.0)
            assert told == (await stored.journal.read(stored.id, 0, 1_000))[1:]
            assert [view.driven for view in views] == [True] * (len(views) - 1) + [False]
            assert views[-1].status is RunState.COMPLETED
            await house.rollback(stored.id, "me")

    housed(tmp_path, play)
