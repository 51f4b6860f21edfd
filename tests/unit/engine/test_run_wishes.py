"""Pause, resume and cancel of a run on a simulated world."""

from __future__ import annotations

import pytest

from batchwright.engine import loop
from batchwright.engine.loop import Driver
from batchwright.journal.base import Lease, Snapshot
from batchwright.model import events as ev
from batchwright.model.lifecycle import RunState
from batchwright.model.run_signal import SignalKind
from batchwright.testing.virtual_clock import run_virtual
from tests.unit.engine.stage import Stage, installs, reopen, servers, signal, states, undo

S = SignalKind


def test_a_pause_lets_flight_end_and_starts_nothing_until_the_resume() -> None:
    async def play() -> None:
        stage = Stage(servers("up", *"abcd"), limit=2)

        async def user(driver: Driver) -> None:
            await stage.clock.sleep(0.5)
            driver.signal(signal(stage, S.PAUSE))
            await stage.clock.sleep(500.0)
            assert states(driver.run) == {
                "up/a": "succeeded", "up/b": "succeeded", "up/c": "waiting", "up/d": "waiting",
            }  # fmt: skip
            assert driver.run.status is RunState.PAUSED
            driver.signal(signal(stage, S.RESUME))

        run = await stage.drive(meanwhile=user)
        assert run.status is RunState.COMPLETED
        started = [event.at - run.created_at for event in await stage.events(ev.StepStarted)]
        assert [at > 500.0 for at in started] == [False, False, True, True]
        assert await stage.names() == dict.fromkeys("abcd", 1)

    run_virtual(play())


def test_a_graceful_cancel_waits_for_what_is_in_flight() -> None:
    async def play() -> None:
        stage = Stage(servers("up", *"abcd"), limit=2)

        async def user(driver: Driver) -> None:
            await stage.clock.sleep(0.5)
            driver.signal(signal(stage, S.CANCEL))

        run = await stage.drive(meanwhile=user)
        assert run.status is RunState.CANCELLED
        assert list(states(run).values()) == ["succeeded", "succeeded", "waiting", "waiting"]
        assert (await stage.drive(reopen)).status is RunState.COMPLETED
        assert await stage.names() == dict.fromkeys("abcd", 1)

    run_virtual(play())


def forced(late: float) -> Stage:
    """A run whose user does not wait; the calls in flight take effect `late` seconds later, unheard."""
    up = servers("up", "a", "b")
    return Stage(
        up, installs("svc", up, "redis", after=["up"]),
        settings={"answer_seconds": 2.0, "late_commits": 1.0, "late_min": late, "late_max": late, "list_lag": 1.0},
    )  # fmt: skip


async def force_cancel(stage: Stage) -> None:
    async def user(driver: Driver) -> None:
        await stage.clock.sleep(0.5)
        driver.signal(signal(stage, S.FORCE_CANCEL))

    run = await stage.drive(meanwhile=user)
    assert run.status is RunState.CANCELLED
    assert run.ended_at - run.created_at < 1.0, "nobody waited"
    assert [run.record(f"up/{name}").doubt for name in "ab"] == [True, True]


def test_what_a_forced_cancel_left_in_doubt_is_found_by_the_resume() -> None:
    async def play() -> None:
        stage = forced(5.0)
        await force_cancel(stage)
        run = await stage.drive(reopen)
        assert run.status is RunState.COMPLETED
        assert len(stage.asked("create")) == 2, "nothing was sent twice"
        assert await stage.names() == {"a": 1, "b": 1}

    run_virtual(play())


def test_what_a_forced_cancel_left_in_doubt_is_removed_by_the_rollback() -> None:
    async def play() -> None:
        stage = forced(5.0)
        await force_cancel(stage)
        assert (await stage.drive(undo)).status is RunState.ROLLED_BACK
        assert not await stage.names()

    run_virtual(play())


def test_a_forced_cancel_of_a_run_whose_process_died_sends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "SNAPSHOT_EVENTS", 10)

    async def play() -> None:
        up = servers("up", "a")
        stage = Stage(up, installs("svc", up, "redis", after=["up"]), settings={"install_seconds": 50.0})
        dying = await stage.driver()
        await stage.journal.append(dying._lease, 1, [
            ev.RunStarted(stage.clock.now()), ev.StepStarted(stage.clock.now(), "up/a", 1, dying.run.token(0)),
            ev.StepSucceeded(stage.clock.now(), "up/a", "upcloud-000001"),
            ev.StepStarted(stage.clock.now(), "svc/a/redis", 1, dying.run.token(1)),
        ])  # fmt: skip
        await stage.journal.release(dying._lease)
        saved = stage.journal.save_snapshot

        async def slowly(lease: Lease, snapshot: Snapshot) -> None:
            await stage.clock.sleep(1.0)
            await saved(lease, snapshot)

        stage.journal.save_snapshot = slowly  # type: ignore[method-assign]
        run = await stage.drive(lambda machine, now: machine.request(signal(stage, S.FORCE_CANCEL), now))
        assert run.status is RunState.CANCELLED
        assert stage.calls == []

    run_virtual(play())
