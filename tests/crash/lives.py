"""A run lived through several processes: each may die at any call, the next goes on with what is durable."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from typing import Any

from batchwright.app.environment_state import environment_problems, environment_state
from batchwright.engine.environment_turn import EnvironmentTurn
from batchwright.engine.limits import Lane, Limits
from batchwright.engine.loop import Driver
from batchwright.engine.machine import Machine
from batchwright.errors import RunHeld, RunNotFound
from batchwright.journal.base import Journal
from batchwright.journal.lease_holder import LEASE_SECONDS
from batchwright.journal.memory import MemoryJournal
from batchwright.journal.replay import load_run
from batchwright.model import events as ev
from batchwright.model.call_outcome import Created, Rejected, ServerState, Unknown
from batchwright.model.environment import EnvironmentKey, digest
from batchwright.model.fault import Fault, FaultClass
from batchwright.model.ids import Token
from batchwright.model.lifecycle import RunState
from batchwright.model.run import Run, unsettled
from batchwright.model.run_signal import Signal, SignalKind
from batchwright.operations.server_batch import ServerRequest
from batchwright.providers.base import Provider
from batchwright.providers.simulated import Simulated, SimulatedProber, SimulatedRunner, Simulation, World
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
from tests.crash.programs import Ledger
from tests.crash.scenarios import EARLIER, SIZES, Scenario

LIVES_MAX = 12
ASKING = (RunState.FAILED, RunState.CANCELLED)
Wishes = Callable[[Machine, float], Sequence[ev.AnyEvent]]
LONG_AFTER = 10_000.0  # seconds after which every late commit has happened


class Lying:
    """A provider that says of some servers that their first zone has no room, and creates them there all the same."""

    def __init__(self, inner: Provider, names: Collection[str]) -> None:
        self._inner, self._names = inner, names

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    async def create(self, request: ServerRequest, token: Token) -> Created | Rejected | Unknown:
        outcome = await self._inner.create(request, token)
        if (request.zone, request.name in self._names) == (SIZES["upcloud"][1], True):
            return Rejected(Fault(FaultClass.CAPACITY, "the zone has no room, it says"))
        return outcome


class Outcome:
    """How it ended: the run, and what is really there."""

    def __init__(self, run: Run, world: World, ledger: Ledger, now: float) -> None:
        self.ran, self.undone, self.words = ledger.ran, ledger.undone, ledger.words
        self.values = run.values
        self.outputs = {step.operation: one.outputs for step, one in zip(run.plan.steps, run.records, strict=True)}
        self.addresses = tuple(record.address for record in run.records if record.address)
        self.environment: list[str] = []  # what is wrong with the environment
        self.before = self.digest = ""  # of what the environment had when the run was created, and has
        self.status = run.status
        alive = [s for s in world.servers(now) if s.true_state(now) is not ServerState.GONE]
        self.names = Counter(server.name for server in alive)
        self.duplicates = [name for name, count in self.names.items() if count > 1]
        known = {record.ref for record in run.records if record.ref}
        self.orphans = [server.ref for server in alive if server.ref not in known]
        self.first_boot = {server.name: server.request.user_data for server in alive}
        self.servers = {server.name: (server.request.plan, server.request.labels) for server in alive}
        self.refs = {server.name: server.ref for server in alive}
        self.installed = {server.name: dict(sorted(world.installed_on(server.ref).items())) for server in alive}
        self.steps = {step.id: record.state for step, record in zip(run.plan.steps, run.records, strict=True)}


class Lives:
    """Everything that outlives a process: the journal, the world, the time. Several may share a world."""

    def __init__(self, scenario: Scenario, run: str = "run", world: World | None = None) -> None:
        self.scenario = scenario
        self.run = run
        self.clock = self.skies = VirtualClock()  # the skies are the clouds' own, which nobody here can set
        self.journal: Journal = MemoryJournal()
        self.world = world or World(None)
        self.ledger = Ledger(self.clock)
        self.count = 0
        self.before = ""  # digest of what the environment had when the run was created

    async def live(self, point: CrashPoint) -> bool:
        """One process: start or go on, as a user would. True when all that was wanted is done."""
        self.count += 1
        journal = CrashingJournal(self.journal, point)
        try:
            return await self._work(journal, point)
        except ProcessDied:
            return False

    async def _work(self, journal: CrashingJournal, point: CrashPoint) -> bool:
        scenario = self.scenario
        try:
            run = await load_run(journal, self.run)
        except RunNotFound:
            await self.create(journal)
            run = await load_run(journal, self.run)
        if not Machine(run).ended:
            run = await self._drive(journal, point)
        while doubts := [i for i in range(len(run.records)) if run.status in ASKING and unsettled(run, i)]:
            run = await self._drive(journal, point, lambda machine, now, of=doubts: self.answer(machine, now, of))
        if scenario.rollback and run.status is not RunState.ROLLED_BACK:
            begun = run.status is RunState.ROLLING_BACK
            self._vanish()
            run = await self._drive(
                journal, point, None if begun else lambda machine, now: machine.rollback(now, "user")
            )
        return True

    async def _live_earlier(self) -> None:
        """The run before, undisturbed."""
        if self.scenario.earlier is not None and EARLIER not in await self.journal.runs():
            quiet = self.scenario.earlier.simulation or {}
            before = Lives(Scenario(EARLIER, self.scenario.earlier, quiet, RunState.COMPLETED), EARLIER, self.world)
            before.journal, before.clock, before.skies = self.journal, self.clock, self.skies
            assert await before.live(CrashPoint())

    def _vanish(self) -> None:
        for server in self.world.servers():
            if server.name in self.scenario.vanishes:
                self.world.destroy(server.ref, self.skies.now(), self.skies.now())

    async def create(self, journal: Journal) -> None:
        """Record the run, whose turn in its environment begins, after the run before."""
        await self._live_earlier()
        state = await environment_state(self.journal, EnvironmentKey.of(self.scenario.plan))
        self.before = digest(state.resources)
        now, plan = self.clock.now(), self.scenario.plan
        created = ev.RunCreated(now, self.run, plan, turn=state.turn + 1, after=state.newest)
        await journal.create(created, Run(created).summary("memory"), enter=state.enter(self.run, now))

    async def turn(self, run: Run) -> EnvironmentTurn | None:
        """What a driver of the run needs to know of its environment."""
        state = await environment_state(self.journal, EnvironmentKey.of(run.plan))
        return EnvironmentTurn(run, state.row, state.resources, state.newest)

    def answer(self, machine: Machine, now: float, doubts: list[int]) -> list[ev.AnyEvent]:
        """What a user who has looked says: what did its work is taken as done, anything else is run again."""
        steps = [machine.run.plan.steps[i].id for i in doubts]
        done = [step for step in steps if self.ledger.ran[step]]
        gave = [
            f"{key}={self.ledger.gave.get(step, {}).get(key, 'looked up')}"
            for step in done
            for key in machine.run.plan.steps[machine.run.step(step)].request.outputs
        ]
        return machine.reopen(now, "user", [step for step in steps if step not in done], done, gave)

    async def _drive(self, journal: CrashingJournal, point: CrashPoint, wishes: Wishes | None = None) -> Run:
        lease, silent = None, None
        while lease is None:
            try:
                lease = await journal.acquire(self.run, f"elsewhere:{self.count}:1", self.clock.now(), silent=silent)
            except RunHeld:
                silent = await journal.held(self.run)
                await self.clock.sleep(LEASE_SECONDS)
        run = await load_run(journal, self.run)
        providers, runners, limits = {}, {}, Limits()
        limits.add_lanes_of_types()
        for facts in run.plan.providers:
            simulation = Simulation.from_settings(self.scenario.settings, facts.name)
            provider = self.reached(Simulated(facts.name, self.world, self.skies, simulation))
            providers[facts.name] = CrashingProvider(provider, point)
            runners[facts.name] = CrashingRunner(SimulatedRunner(self.world, self.skies, simulation), point)
            limits.add(facts.name, Lane(50))
        launchers = {"": CrashingLauncher(self.ledger, point)}
        prober = CrashingProber(
            SimulatedProber(self.world, self.clock, Simulation.from_settings(self.scenario.settings)), point
        )
        ports = {"launchers": launchers, "prober": prober, "turn": await self.turn(run)}
        driver = Driver(journal, lease, run, providers, runners, limits, self.clock, **ports)
        canceller = asyncio.create_task(self._cancel(driver))
        try:
            return await driver.drive(wishes)
        finally:
            canceller.cancel()
            if not point.dead:
                await journal.release(lease)

    def reached(self, provider: Provider) -> Provider:
        """The provider as this store's processes reach it."""
        return Lying(provider, self.scenario.lies) if self.scenario.lies else provider  # type: ignore[return-value]

    async def _cancel(self, driver: Driver) -> None:
        if self.scenario.cancel_after is not None:
            await self.clock.sleep(max(0.0, driver.run.created_at + self.scenario.cancel_after - self.clock.now()))
            driver.signal(Signal(SignalKind.CANCEL, self.clock.now(), "user"))

    async def outcome(self) -> Outcome:
        """The end of it, long after."""
        await self.clock.sleep(LONG_AFTER)
        run = await load_run(self.journal, self.run)
        outcome = Outcome(run, self.world, self.ledger, self.skies.now())
        outcome.environment = await environment_problems(self.journal)
        state = await environment_state(self.journal, EnvironmentKey.of(run.plan))
        if state.row is None or state.row.tenant or state.row.unsettled:
            outcome.environment.append(f"it is left as {state.row}")
        outcome.before, outcome.digest = self.before, digest(state.resources)
        there = Counter(one.name for one in state.resources if not one.server and one.ref and not one.borrowed)
        there -= Counter(self.scenario.vanishes)
        if outcome.status is not RunState.ROLLBACK_INCOMPLETE and there - outcome.names:
            outcome.environment.append(f"it has {there}, and there is {outcome.names}")
        return outcome


async def live_through(scenario: Scenario, *points: CrashPoint, lives: Lives | None = None) -> tuple[Outcome, int]:
    """Die at each of the points, one process each, then live undisturbed; gives the end and the number of processes."""
    lives = lives or Lives(scenario)
    for point in (*points, *(CrashPoint() for _ in range(LIVES_MAX))):
        if await lives.live(point):
            break
    else:
        raise AssertionError(f"{scenario.name} did not end")
    return await lives.outcome(), lives.count
