"""Wall clocks that jump: within a process nothing notices, and between two drivers nothing waits longer or forgets."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batchwright.engine.loop import Driver
from batchwright.engine.monotonic_clocks import RunClock, SteadyClock
from batchwright.model import events as ev
from batchwright.model.lifecycle import RunState
from batchwright.testing.virtual_clock import VirtualClock, run_virtual
from tests.support.examples import share
from tests.unit.engine.stage import Stage, installs, servers, undo

HOURS = 5 * 3600.0
JUMPS = st.lists(st.tuples(st.floats(0.0, 30.0), st.floats(-HOURS, HOURS)), max_size=20)


@given(JUMPS)
def test_a_steady_clock_counts_what_passes_and_nothing_else(jumps: list[tuple[float, float]]) -> None:
    """D5: the wall clock is read once."""
    machine = {"wall": 1_000.0, "passed": 7.0}
    clock = SteadyClock(lambda: machine["wall"], lambda: machine["passed"])
    began, total = clock.now(), 0.0
    for passed, jump in jumps:
        machine["wall"] += passed + jump
        machine["passed"] += passed
        total += passed
        assert clock.now() == pytest.approx(began + total)
        assert clock.monotonic() == machine["passed"]


@given(st.floats(-HOURS, HOURS), st.floats(0.0, 100.0))
def test_a_runs_time_never_goes_back(ahead: float, passed: float) -> None:
    """D5: whatever the next driver's clock says; what was due `passed` seconds after the last event still is."""

    async def play() -> None:
        clock = VirtualClock()
        last = clock.now() + ahead
        own = RunClock(clock, last)
        assert own.now() >= max(last, clock.now()) - 1e-6
        await clock.sleep(passed)
        assert own.now() == pytest.approx(max(last, clock.now() - passed) + passed)

    run_virtual(play())


@settings(max_examples=share(40), deadline=None)
@given(st.lists(st.floats(-HOURS, HOURS), min_size=1, max_size=3), st.floats(0.5, 6.0), st.integers(0, 1_000))
def test_drivers_whose_clocks_differ_by_hours_do_what_one_would_have_done(
    jumps: list[float], life: float, seed: int
) -> None:
    """D5: each driver dies after a while, and the next one finds another wall clock. Nothing is made twice, lost or
    given up, and nothing waits for the clock."""

    async def play() -> None:
        up = servers("up", "a", "b", "c", timeout=60.0)
        behaviour = {"seed": seed, "lost_answers": 0.3, "transient": 0.2, "list_lag": 3.0, "late_commits": 0.2}
        stage = Stage(up, installs("svc", up, "redis", after=["up"]), settings=behaviour)  # type: ignore[arg-type]
        began = stage.clock.monotonic()
        for jump in jumps:
            driver = await stage.driver()
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(life):
                    await _until_cancelled(driver)
            await stage.journal.release(driver._lease)
            stage.clock.epoch += jump
        run = await stage.drive()
        assert run.status in (RunState.COMPLETED, RunState.FAILED)
        stage.clock.epoch -= HOURS
        back = await stage.drive(undo)
        assert back.status is RunState.ROLLED_BACK, back.residue
        assert stage.clock.monotonic() - began < 1_500.0, "nothing waited for a wall clock"
        at = [event.at for event in await stage.history()]
        assert at == sorted(at)
        assert await stage.names() == {}

    run_virtual(play())


async def _until_cancelled(driver: Driver) -> None:
    await driver.drive()
    await asyncio.sleep(1e6)  # it was done before its time was up


@pytest.mark.parametrize("jump", [-HOURS, HOURS])
def test_a_retry_that_waits_is_due_after_its_own_delay(jump: float) -> None:
    """D5: set back by hours while it waits, in the same process and over a restart."""

    async def play() -> None:
        for restart in (False, True):
            stage = Stage(servers("up", "a"), settings={"fail": "a=transient:1"})
            began = stage.clock.monotonic()
            driver = await stage.driver()
            driving = asyncio.ensure_future(driver.drive())
            while not await stage.events(ev.StepRetrying):
                await stage.clock.sleep(0.05)
            if restart:
                driving.cancel()
                await asyncio.gather(driving, return_exceptions=True)
                await stage.journal.release(driver._lease)
                stage.clock.epoch += jump
                driving = asyncio.ensure_future((await stage.driver()).drive())
            assert (await driving).status is RunState.COMPLETED
            assert stage.clock.monotonic() - began < 60.0

    run_virtual(play())
