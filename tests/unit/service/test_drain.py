"""Draining: calls in flight end and are journaled, nothing new begins, and the next driver does the rest."""

from __future__ import annotations

import asyncio

from batchwright.engine.limits import Lane, Limits
from batchwright.engine.loop import Driver
from batchwright.journal.memory import MemoryJournal
from batchwright.journal.replay import load_run
from batchwright.model import events as ev
from batchwright.model.lifecycle import RunState, StepState
from batchwright.model.run import Run
from batchwright.providers.simulated import Simulated, Simulation, World
from batchwright.testing.plans import plan_of, servers, workflow
from batchwright.testing.virtual_clock import VirtualClock, run_virtual

COUNT = 12


def settings() -> Simulation:
    return Simulation.from_settings({"answer_seconds": 2.0, "boot_seconds": 50.0, "spread": 0})


async def driver_of(journal: MemoryJournal, world: World, clock: VirtualClock, limits: Limits) -> Driver:
    lease = await journal.acquire("run", "here:1:1", clock.now())
    run = await load_run(journal, "run")
    providers = {"elsewhere": Simulated("elsewhere", world, clock, settings())}
    return Driver(journal, lease, run, providers, {}, limits, clock)


async def begin() -> tuple[MemoryJournal, World, VirtualClock, Limits]:
    names = [f"s{i}" for i in range(COUNT)]
    plan = plan_of(workflow(servers("up", *names, provider="elsewhere"), parallel_limit=4), {})
    clock, journal, limits = VirtualClock(), MemoryJournal(), Limits()
    created = ev.RunCreated(clock.now(), "run", plan)
    await journal.create(created, Run(created).summary("memory"))
    limits.add("elsewhere", Lane(50))
    return journal, World(), clock, limits


def test_calls_in_flight_end_and_nothing_new_begins() -> None:
    async def main() -> tuple[Run, float, int, Run]:
        journal, world, clock, limits = await begin()
        first = await driver_of(journal, world, clock, limits)
        task = asyncio.create_task(first.drive())
        await clock.sleep(1.0)
        before = clock.now()
        first.drain()
        await task
        took = clock.now() - before
        left = await load_run(journal, "run")
        second = await driver_of(journal, world, clock, limits)
        return left, took, limits.lanes["elsewhere"].in_flight, await second.drive()

    left, took, in_flight, end = run_virtual(main())
    assert left.count(StepState.CREATED) == 4  # answered, journaled, not waited for
    assert left.count(StepState.STARTED) == 0
    assert left.count(StepState.WAITING) == COUNT - 4
    assert took < 2.0  # virtual: the rest of the answers, not the boot
    assert in_flight == 0
    assert (end.status, end.count(StepState.SUCCEEDED)) == (RunState.COMPLETED, COUNT)


def test_a_driver_that_is_drained_before_it_begins_does_nothing() -> None:
    async def main() -> tuple[Run, list[str]]:
        journal, world, clock, limits = await begin()
        driver = await driver_of(journal, world, clock, limits)
        driver.drain()
        run = await driver.drive()
        return run, [type(event).__name__ for _, event in await journal.read("run")]

    run, events = run_virtual(main())
    assert run.status is RunState.PENDING
    assert events == ["RunCreated", "DriverStarted"]
