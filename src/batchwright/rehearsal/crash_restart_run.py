"""A run driven by one process after another: each may die at any call, and the next goes on with what is durable."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from batchwright.commands.base import Launcher
from batchwright.engine.environment_turn import EnvironmentTurn
from batchwright.engine.limits import Lane, Limits
from batchwright.engine.loop import Driver
from batchwright.engine.machine import Machine
from batchwright.errors import RunHeld, RunNotFound
from batchwright.journal.base import Journal, Lease
from batchwright.journal.environment_state import environment_problems, environment_state
from batchwright.journal.lease_holder import LEASE_SECONDS
from batchwright.journal.memory import MemoryJournal
from batchwright.journal.replay import load_run
from batchwright.model import events as ev
from batchwright.model.clock import Clock
from batchwright.model.environment import EnvironmentKey, digest
from batchwright.model.lifecycle import RunState
from batchwright.model.remote_place import port_key
from batchwright.model.run import Run, unsettled
from batchwright.model.run_signal import Signal, SignalKind
from batchwright.probes.base import Prober
from batchwright.providers.base import Provider
from batchwright.providers.simulated import Simulated, SimulatedProber, SimulatedRunner, Simulation, World
from batchwright.rehearsal.command_ledger import CommandLedger
from batchwright.rehearsal.end_state import EndState
from batchwright.rehearsal.scenario import EARLIER, Scenario
from batchwright.taskservs.base import Runner
from batchwright.testing.crash_points import (
    CrashingJournal,
    CrashingLauncher,
    CrashingProber,
    CrashingProvider,
    CrashingRunner,
    CrashPoint,
    ProcessDied,
)
from batchwright.testing.virtual_clock import VirtualClock

PROCESSES_MAX = 12
ASKING = (RunState.FAILED, RunState.CANCELLED)
Wishes = Callable[[Machine, float], Sequence[ev.AnyEvent]]
LONG_AFTER = 10_000.0  # seconds after which every late commit has happened


class ProcessJournal(CrashingJournal):
    """The journal as one process has it; `process` is its number."""

    def __init__(self, inner: Journal, point: CrashPoint, process: int) -> None:
        super().__init__(inner, point)
        self.process = process


class SimulatedRun:
    """All that outlives a process: the journal, the world, the time. Several runs may share a world.

    `clock` is that of the machine; `cloud_clock` is that of the clouds, which nobody here can set.
    """

    def __init__(self, scenario: Scenario, run: str = "run", world: World | None = None) -> None:
        self.scenario = scenario
        self.run = run
        self.clock = self.cloud_clock = VirtualClock()
        self.journal: Journal = MemoryJournal()
        self.world = world or World(None)
        self.ledger = self.new_ledger()
        self.count = 0
        self.bystanders: set[str] = set()  # references of servers that are nobody's business here
        self.before = ""  # digest of what the environment had when the run was created

    # -- the ports, as the processes of this run have them ----------------------------------------------------------

    def new_ledger(self) -> CommandLedger:
        """What runs its commands."""
        return CommandLedger(self.clock)

    def provider(self, name: str, simulation: Simulation) -> Provider:
        """A provider of this name."""
        return Simulated(name, self.world, self.cloud_clock, simulation)

    def runner(self, simulation: Simulation) -> Runner:
        """What installs task services on its servers."""
        return SimulatedRunner(self.world, self.cloud_clock, simulation)

    def launcher(self) -> Launcher:
        """What runs its commands, as one process has it."""
        return self.ledger

    def prober(self, simulation: Simulation) -> Prober:
        """What looks at its servers over the network."""
        return SimulatedProber(self.world, self.clock, simulation)

    def clock_of(self, _point: CrashPoint) -> Clock:
        """The clock as one process has it."""
        return self.clock

    def driver_options(self) -> dict[str, Any]:
        """What else a driver of the run is given."""
        return {}

    def lane(self, _provider: Provider) -> Lane:
        """The limits of a provider's account."""
        return Lane(50)

    # -- one process after another ------------------------------------------------------------------------------------

    async def process(self, point: CrashPoint) -> bool:
        """One process: start or go on, as a user would. True when all that was wanted is done."""
        self.count += 1
        journal = ProcessJournal(self.journal, point, self.count)
        try:
            return await self._work(journal, point)
        except ProcessDied:
            return False

    async def _work(self, journal: ProcessJournal, point: CrashPoint) -> bool:
        scenario = self.scenario
        try:
            run = await load_run(journal, self.run)
        except RunNotFound:
            await self.create(journal)
            run = await load_run(journal, self.run)
        if not Machine(run).ended:
            run = await self.drive(journal, point)
        while doubts := [i for i in range(len(run.records)) if run.status in ASKING and unsettled(run, i)]:
            run = await self.drive(journal, point, partial(self.answer, doubts))
        if scenario.rollback and run.status is not RunState.ROLLED_BACK:
            begun = run.status is RunState.ROLLING_BACK
            self._vanish()
            run = await self.drive(
                journal, point, None if begun else lambda machine, now: machine.rollback(now, "user")
            )
        return True

    async def _run_earlier(self) -> None:
        """The run before, undisturbed."""
        if self.scenario.earlier is not None and EARLIER not in await self.journal.runs():
            quiet = self.scenario.earlier.simulation or {}
            before = SimulatedRun(Scenario(EARLIER, self.scenario.earlier, quiet), EARLIER, self.world)
            before.journal, before.clock, before.cloud_clock = self.journal, self.clock, self.cloud_clock
            assert await before.process(CrashPoint())

    def _vanish(self) -> None:
        for server in self.world.servers():
            if server.name in self.scenario.vanishes:
                self.world.destroy(server.ref, self.cloud_clock.now(), self.cloud_clock.now())

    async def create(self, journal: Journal) -> None:
        """Record the run, whose turn in its environment begins, after the run before."""
        await self._run_earlier()
        state = await environment_state(self.journal, EnvironmentKey.of(self.scenario.plan))
        self.before = digest(state.resources)
        now, plan = self.clock.now(), self.scenario.plan
        created = ev.RunCreated(now, self.run, plan, turn=state.turn + 1, after=state.newest)
        await journal.create(created, Run(created).summary("memory"), enter=state.enter(self.run, now))

    async def turn(self, run: Run) -> EnvironmentTurn | None:
        """What a driver of the run needs to know of its environment."""
        state = await environment_state(self.journal, EnvironmentKey.of(run.plan))
        return EnvironmentTurn(run, state.row, state.resources, state.newest)

    def answer(self, doubts: list[int], machine: Machine, now: float) -> list[ev.AnyEvent]:
        """What a user who has looked says: what did its work is taken as done, anything else is run again.

        So is a command that names its answers: only running it tells which one it gives.
        """
        steps = [machine.run.plan.steps[i] for i in doubts]
        done = [step for step in steps if self.ledger.ran[step.id] and not step.request.answers]
        gave = [
            f"{step.operation}.{key}={self.ledger.gave.get(step.id, {}).get(key, 'looked up')}"
            for step in done
            for key in step.request.outputs
        ]
        redo = [step.id for step in steps if step not in done]
        return machine.reopen(now, "user", redo, [step.id for step in done], gave)

    async def _acquire(self, journal: ProcessJournal) -> Lease:
        lease, silent, holder = None, None, f"elsewhere:{journal.process}:1"
        while lease is None:
            try:
                lease = await journal.acquire(self.run, holder, self.clock.now(), silent=silent)
            except RunHeld:
                silent = await journal.held(self.run)
                await self.clock.sleep(LEASE_SECONDS)
        return lease

    async def drive(self, journal: ProcessJournal, point: CrashPoint, wishes: Wishes | None = None) -> Run:
        """Take the lease and drive the run to an end; `wishes` gives the first events."""
        lease = await self._acquire(journal)
        driver = await self.driver(journal, point, lease)
        canceller = asyncio.create_task(self._cancel(driver))
        try:
            return await driver.drive(wishes)
        finally:
            canceller.cancel()
            if not point.dead:
                await journal.release(lease)

    async def driver(self, journal: ProcessJournal, point: CrashPoint, lease: Lease) -> Driver:
        """A driver whose ports die at the point."""
        run = await load_run(journal, self.run)
        settings = self.scenario.settings
        providers, runners, limits = {}, {}, Limits()
        limits.add_lanes_of_types()
        for facts in run.plan.providers:
            simulation = Simulation.from_settings(settings, facts.name)
            provider = self.provider(facts.name, simulation)
            providers[facts.name] = CrashingProvider(provider, point)
            runners[facts.name] = CrashingRunner(self.runner(simulation), point)
            limits.add(facts.name, self.lane(provider))
        places = {"", *(step.request.at for step in run.plan.steps)}  # from a place, the same simulated ports act
        runners = {port_key(name, at): runner for name, runner in runners.items() for at in places}
        names = [port_key(name, at) for name in ("", *providers) for at in places]
        launchers = dict.fromkeys(names, CrashingLauncher(self.launcher(), point))
        prober = CrashingProber(self.prober(Simulation.from_settings(settings)), point)
        ports: dict[str, Any] = {"launchers": launchers, "prober": prober, "turn": await self.turn(run)}
        ports["machine_room"] = _unlimited
        clock = self.clock_of(point)
        return Driver(journal, lease, run, providers, runners, limits, clock, **ports, **self.driver_options())

    async def _cancel(self, driver: Driver) -> None:
        if self.scenario.cancel_after is not None:
            await self.clock.sleep(max(0.0, driver.run.created_at + self.scenario.cancel_after - self.clock.now()))
            driver.signal(Signal(SignalKind.CANCEL, self.clock.now(), "user"))

    async def end_state(self) -> EndState:
        """The end of it, long after."""
        await self.clock.sleep(LONG_AFTER)
        run = await load_run(self.journal, self.run)
        end = EndState(run, self.world, self.ledger, self.cloud_clock.now(), self.bystanders)
        end.environment = await environment_problems(self.journal)
        state = await environment_state(self.journal, EnvironmentKey.of(run.plan))
        if state.row is None or state.row.tenant or state.row.unsettled:
            end.environment.append(f"it is left as {state.row}")
        end.before, end.digest = self.before, digest(state.resources)
        there = Counter(one.name for one in state.resources if not one.server and one.ref and not one.borrowed)
        there -= Counter(self.scenario.vanishes)
        if end.status is not RunState.ROLLBACK_INCOMPLETE and there - end.names:
            end.environment.append(f"it has {there}, and there is {end.names}")
        return end


async def _unlimited(_clock: Clock) -> None:
    """Simulated calls take no descriptors of this machine."""


async def drive_to_end(run: SimulatedRun, *points: CrashPoint) -> tuple[EndState, int]:
    """Die at each of the points, one process each, then go on undisturbed; the end and the number of processes.

    Raises AssertionError if it does not end.
    """
    for point in (*points, *(CrashPoint() for _ in range(PROCESSES_MAX))):
        if await run.process(point):
            break
    else:
        raise AssertionError(f"{run.scenario.name} did not end")
    return await run.end_state(), run.count
