"""A process that is frozen for longer than its lease, anywhere, and thaws while its successor works or has finished.

Frozen means: what was sent arrives, but no answer is heard and no timer fires until it thaws.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from batchwright.engine.limits import Lane, Limits
from batchwright.engine.loop import Driver
from batchwright.errors import LeaseLost, RunHeld
from batchwright.journal.lease_holder import LEASE_SECONDS, LeaseObserver
from batchwright.journal.replay import load_run
from batchwright.model.lifecycle import RunState
from batchwright.model.run import Run
from batchwright.providers.simulated import Simulated, SimulatedRunner, Simulation
from batchwright.testing.virtual_clock import run_virtual
from tests.crash.lives import Lives
from tests.crash.scenarios import Scenario, all_scenarios
from tests.crash.test_explore import check, reference

NAMES = ("mixed-hostile", "replaced-servers", "rollback-with-removal", "automatic-rollback", "update-rollback-hostile")
SCENARIOS = {scenario.name: scenario for scenario in all_scenarios() if scenario.name in NAMES}
CHANGES = ("create", "change", "destroy", "install", "remove")
ASLEEP = (LEASE_SECONDS + 1.0, LEASE_SECONDS + 6.0, 400.0)  # its successor begins, is at work, has finished
TOO_LONG = 100_000.0


class Frost:
    """Freezes its process at the n-th answer until `thaw`. `sent` are the changes that it asked for, and when."""

    def __init__(self, n: int) -> None:
        self.n = n
        self.answers = 0
        self.frozen = asyncio.Event()
        self.thaw = asyncio.Event()
        self.sent: list[str] = []

    async def gate(self, call: Awaitable[Any]) -> Any:
        """An answer, heard as soon as the process runs again."""
        answer = await call
        self.answers += 1
        if self.answers == self.n:
            self.frozen.set()
        if self.frozen.is_set():
            await self.thaw.wait()
        return answer


class Frozen:
    """Any port or clock in a process that freezes."""

    def __init__(self, inner: Any, frost: Frost) -> None:
        self._inner, self._frost = inner, frost

    def __getattr__(self, name: str) -> Any:
        real = getattr(self._inner, name)
        if not asyncio.iscoroutinefunction(real):
            return real

        async def call(*args: Any, **more: Any) -> Any:
            if name in CHANGES:
                self._frost.sent.append(name)
            return await self._frost.gate(real(*args, **more))

        return call


class House:
    """The run, its world, and processes that may freeze."""

    def __init__(self, scenario: Scenario) -> None:
        self.scenario = scenario
        self.lives = Lives(scenario)

    async def begin(self) -> None:
        await self.lives.create(self.lives.journal)

    async def drive(self, holder: str, frost: Frost | None = None) -> Run:
        """One process, as far as the scenario wants it."""
        lease, journal, clock = None, self.lives.journal, self.lives.clock
        sightings = LeaseObserver(clock.monotonic)
        while lease is None:
            try:
                silent = sightings.silent("run", await journal.held("run"))
                lease = await journal.acquire("run", f"{holder}:1:1", clock.now(), silent=silent)
            except RunHeld:
                await clock.sleep(LEASE_SECONDS / 2)
        wrap: Callable[[Any], Any] = (lambda inner: Frozen(inner, frost)) if frost else (lambda inner: inner)
        clock = wrap(self.lives.clock)
        run = await load_run(self.lives.journal, "run")
        providers, runners, limits = {}, {}, Limits()
        limits.add_lanes_of_types()
        for facts in run.plan.providers:
            simulation = Simulation.from_settings(self.scenario.settings, facts.name)
            providers[facts.name] = wrap(Simulated(facts.name, self.lives.world, self.lives.clock, simulation))
            runners[facts.name] = wrap(SimulatedRunner(self.lives.world, self.lives.clock, simulation))
            limits.add(facts.name, Lane(50))
        driver = Driver(
            wrap(self.lives.journal), lease, run, providers, runners, limits, clock, turn=await self.lives.turn(run)
        )
        back = self.scenario.rollback and run.status is RunState.COMPLETED
        run = await driver.drive((lambda machine, now: machine.rollback(now, "user")) if back else None)
        await self.lives.journal.release(lease)
        if self.scenario.rollback and run.status is RunState.COMPLETED:
            return await self.drive(holder, frost)
        return run


async def play(scenario: Scenario, n: int, asleep: float) -> tuple[bool, Any]:
    """Freeze at answer n, for `asleep` seconds; gives whether it came to that, and the outcome."""
    house, frost = House(scenario), Frost(n)
    async with asyncio.timeout(TOO_LONG):
        await house.begin()
        first = asyncio.ensure_future(house.drive("first", frost))
        froze = asyncio.ensure_future(frost.frozen.wait())
        await asyncio.wait([first, froze], return_when=asyncio.FIRST_COMPLETED)
        if not frost.frozen.is_set():
            froze.cancel()
            await first
            return False, await house.lives.end_state()
        second = asyncio.ensure_future(house.drive("second"))
        await house.lives.clock.sleep(asleep)
        sent = len(frost.sent)
        frost.thaw.set()
        await asyncio.wait([first])
        await second
        if not first.cancelled() and first.exception() is not None:
            assert isinstance(first.exception(), LeaseLost), first.exception()
        assert len(frost.sent) == sent, f"it sent {frost.sent[sent:]} after it had lost the run"
    return True, await house.lives.end_state()


@pytest.mark.parametrize("name", NAMES)
def test_a_frozen_process_does_no_harm_when_it_thaws(name: str) -> None:
    scenario = SCENARIOS[name]
    wanted, _ = reference(scenario)
    n, frozen = 0, True
    while frozen:
        n += 1
        asleep = ASLEEP[n % len(ASLEEP)]
        frozen, outcome = run_virtual(play(scenario, n, asleep))
        check(scenario, wanted, outcome, f"frozen at answer {n} for {asleep:g} s")
    assert n > 20
