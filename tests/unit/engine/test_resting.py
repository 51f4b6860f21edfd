"""A driver that waits for nothing but people gives its run back, and the next one hears what was answered meanwhile."""

from __future__ import annotations

import asyncio

import pytest

from batchwright.engine.limits import Lane, Limits
from batchwright.engine.loop import Driver
from batchwright.journal.memory import MemoryJournal
from batchwright.journal.replay import load_run
from batchwright.model import events as ev
from batchwright.model.approver import Principal
from batchwright.model.lifecycle import RunState, StepState
from batchwright.model.plan import Hold
from batchwright.model.run import Run
from batchwright.model.run_signal import HoldAnswer, Signal, SignalKind
from batchwright.providers.simulated import Simulated, Simulation, World
from batchwright.testing.virtual_clock import VirtualClock, run_virtual
from tests.unit.engine.stage import QUICK, plan_of, servers
from tests.unit.engine.test_approval_gates import approval

ADA = Principal("0a0a0a0a", "ada")
SETTINGS = Simulation.from_settings({"boot_seconds": 20.0, "spread": 0})


class Life:
    """A run that asks before it creates a server, and its journal."""

    def __init__(self, hold: Hold, beside: int = 0) -> None:
        self.clock, self.journal, self.world = VirtualClock(), MemoryJournal(), World()
        parts = [approval("ok", hold), servers("up", "a", after=["ok"])]
        if beside:
            parts.append(servers("beside", "b"))
        self.plan = plan_of(QUICK, *parts)

    async def create(self) -> None:
        created = ev.RunCreated(self.clock.now(), "run", self.plan)
        await self.journal.create(created, Run(created).summary("memory"))

    async def driver(self, rest_seconds: float | None = 60.0, *, rested: bool = False) -> Driver:
        limits = Limits()
        limits.add("upcloud", Lane(50))
        limits.add("approvals", Lane(50))
        lease = await self.journal.acquire("run", "here:1:1", self.clock.now())
        run = await load_run(self.journal, "run")
        providers = {"upcloud": Simulated("upcloud", self.world, self.clock, SETTINGS)}
        own = self.journal, lease, run, providers, {}, limits, self.clock
        return Driver(*own, rest_seconds=rest_seconds, rested=rested)

    async def answer(self, *, yes: bool = True) -> None:
        hold = (await load_run(self.journal, "run")).holds["ok/ask"]
        answer = HoldAnswer("ok/ask", hold.ask, hold.hash, yes, ADA)
        await self.journal.signal("run", Signal(SignalKind.ANSWER, self.clock.now(), "ada", answer))


def test_it_rests_after_a_while_and_what_was_answered_meanwhile_is_heard() -> None:
    async def main() -> None:
        life = Life(Hold())
        await life.create()
        began = life.clock.now()
        first = await life.driver()
        left = await first.drive()
        assert first.resting
        assert 60.0 <= life.clock.now() - began < 62.0
        assert (left.status, left.record("ok/ask").state) == (RunState.RUNNING, StepState.ASKING)
        summary = await life.journal.summary("run")
        assert (summary.asks, summary.wakes_at) == (1, 0.0)
        await life.answer()
        assert [number > first.signals_read for number, _ in await life.journal.signals("run")] == [True]
        end = await (await life.driver(rested=True)).drive(signals_seen=first.signals_read)
        assert end.status is RunState.COMPLETED
        assert (await life.journal.summary("run")).asks == 0

    run_virtual(main())


def test_it_does_not_rest_while_something_else_goes_on() -> None:
    async def main() -> None:
        life = Life(Hold(), beside=1)
        await life.create()
        began = life.clock.now()
        driver = await life.driver()
        left = await driver.drive()
        assert driver.resting
        assert left.record("beside/b").state is StepState.SUCCEEDED
        assert life.clock.now() - began >= 80.0  # the boot of the other server, and then a while

    run_virtual(main())


def test_a_driver_that_may_not_rest_waits_as_long_as_the_question_is_open() -> None:
    async def main() -> None:
        life = Life(Hold(expires=4_000.0, go_on=True))
        await life.create()
        driver = await life.driver(None)
        task = asyncio.create_task(driver.drive())
        await life.clock.sleep(3_900.0)
        assert not task.done()
        assert (await life.journal.summary("run")).wakes_at == pytest.approx(driver.run.holds["ok/ask"].until)
        assert (await task).status is RunState.COMPLETED

    run_virtual(main())


@pytest.mark.parametrize("rested", [False, True])
def test_a_clock_far_ahead_of_an_open_question_is_told(rested: bool, caplog: pytest.LogCaptureFixture) -> None:
    """SPEC: it cannot be told from a long stop. The process that let the run rest knows that it was one."""

    async def main() -> Run:
        life = Life(Hold(expires=60.0))
        await life.create()
        await (await life.driver(1.0)).drive()
        await life.clock.sleep(5 * 3600.0)
        return await (await life.driver(rested=rested)).drive()

    end = run_virtual(main())
    told = "the clock was 5.0 h ahead" in str(end.record("ok/ask").fault)
    logged = any("ahead of its last event" in line.message for line in caplog.records)
    assert end.status is RunState.FAILED
    assert told is logged is not rested
