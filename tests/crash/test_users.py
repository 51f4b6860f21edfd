"""Users who change their minds while processes die: any wish at any time, and the end is still a clean world."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence

import msgspec
import pytest

from batchwright.engine.limits import Lane, Limits
from batchwright.engine.loop import Driver
from batchwright.engine.machine import Machine
from batchwright.engine.rollback_preview import preview_rollback
from batchwright.errors import NotAllowed
from batchwright.journal.lease_holder import LEASE_SECONDS
from batchwright.journal.replay import load_run
from batchwright.model import events as ev
from batchwright.model.lifecycle import RUN_ENDED, RunState
from batchwright.model.run import Run, unsettled
from batchwright.model.run_signal import HoldAnswer, Signal, SignalKind
from batchwright.model.workflow import Retry
from batchwright.providers.simulated import Simulated, SimulatedProber, SimulatedRunner, Simulation
from batchwright.testing.crash_points import (
    CrashingJournal,
    CrashingLauncher,
    CrashingProber,
    CrashingProvider,
    CrashingRunner,
    CrashPoint,
    ProcessDied,
    When,
)
from batchwright.testing.virtual_clock import run_virtual
from tests.crash.lives import Lives
from tests.crash.scenarios import Scenario, Settings, all_scenarios

TOO_LONG = 100_000.0  # virtual seconds after which a run counts as one that hangs
TURNS = 8
LAST_TURNS = 20
CALM: Settings = {  # the troubles end, so that the last wishes can be fulfilled
    **dict.fromkeys(("lost_answers", "late_commits", "transient", "throttle", "read_errors"), 0.0),
    **dict.fromkeys(("broken", "never_ready"), 0.0),
    **dict.fromkeys(("fail", "fail_destroy", "fail_taskserv"), ""),
}


class Users:
    """One run, a process at a time, each with a wish to begin with and others on the way."""

    def __init__(self, scenario: Scenario, seed: int) -> None:
        self.chance = random.Random(seed)
        self.scenario = scenario
        self.people = 0
        self.lives = Lives(scenario)
        self.settings = dict(scenario.settings)
        self.said: list[str] = []

    async def begin(self) -> None:
        """Create the run."""
        await self.lives.create(self.lives.journal)

    async def process(self, wish: str, point: CrashPoint, *, signals: bool) -> Run | None:
        """One process. None when it died or when the wish was refused."""
        lives, clock = self.lives, self.lives.clock
        lives.count += 1
        self.said.append(f"{wish} {point.when}:{point.n}")
        holder = f"elsewhere:{lives.count}:1"
        await clock.sleep(LEASE_SECONDS + 1)
        lease = await lives.journal.acquire("run", holder, clock.now(), silent=await lives.journal.held("run"))
        run = await load_run(lives.journal, "run")
        providers, runners, limits = {}, {}, Limits()
        limits.add_lanes_of_types()
        for facts in run.plan.providers:
            simulation = Simulation.from_settings(self.settings, facts.name)
            provider = Simulated(facts.name, lives.world, clock, simulation)
            providers[facts.name] = CrashingProvider(provider, point)
            runners[facts.name] = CrashingRunner(SimulatedRunner(lives.world, clock, simulation), point)
            limits.add(facts.name, Lane(3))
        journal = CrashingJournal(lives.journal, point)
        launchers = {"": CrashingLauncher(lives.ledger, point)}
        prober = CrashingProber(SimulatedProber(lives.world, clock, Simulation.from_settings(self.settings)), point)
        ports = {"launchers": launchers, "prober": prober, "turn": await lives.turn(run)}
        driver = Driver(journal, lease, run, providers, runners, limits, clock, **ports)
        crowd = asyncio.create_task(self.crowd(driver) if signals else self.let_go_on(driver))
        try:
            async with asyncio.timeout(TOO_LONG):
                done = await driver.drive(lambda machine, now: self.wishes(wish, machine, now))
        except (ProcessDied, NotAllowed):
            return None
        finally:
            crowd.cancel()
            await lives.journal.release(lease)
            assert all(lane.in_flight == 0 for lane in limits.lanes.values()), "a permit was lost"
        return done

    def wishes(self, wish: str, machine: Machine, now: float) -> Sequence[ev.AnyEvent]:
        """What a use case asks of the machine."""
        match wish:
            case "reopen" if machine.ended:
                doubts = [i for i in range(len(machine.run.records)) if unsettled(machine.run, i)]
                return self.lives.answer(doubts, machine, now)
            case "rollback" if machine.run.status is not RunState.ROLLING_BACK:
                if not machine.ended:
                    return machine.request(Signal(SignalKind.FORCE_CANCEL, now, "user"), now)
                return machine.rollback(now, "user")
            case "resume":
                return machine.request(Signal(SignalKind.RESUME, now, "user"), now)
        return []

    async def crowd(self, driver: Driver) -> None:
        """Signals at random times; a paused run is resumed some time later."""
        while True:
            await self.lives.clock.sleep(self.chance.choice([0.05, 0.3, 1.0, 4.0]))
            kind = self.chance.choice([*SignalKind, SignalKind.PAUSE])
            if kind is SignalKind.ANSWER:
                self.answer(driver, yes=self.chance.random() < 0.7)
            elif kind is not SignalKind.FORCE_CANCEL or self.chance.random() < 0.3:
                driver.signal(Signal(kind, self.lives.clock.now(), "crowd"))
            await self.lives.clock.sleep(2.0)
            driver.signal(Signal(SignalKind.RESUME, self.lives.clock.now(), "crowd"))

    async def let_go_on(self, driver: Driver) -> None:
        """Nobody leaves a run paused, or a question unanswered, for ever."""
        while True:
            await self.lives.clock.sleep(50.0)
            driver.signal(Signal(SignalKind.RESUME, self.lives.clock.now(), "user"))
            self.answer(driver, yes=True)

    def answer(self, driver: Driver, *, yes: bool) -> None:
        """Somebody answers every question that is open."""
        self.people += 1
        for step, hold in driver.run.holds.items():
            answer = HoldAnswer(step, hold.ask, hold.hash, yes, f"person {self.people}")
            driver.signal(Signal(SignalKind.ANSWER, self.lives.clock.now(), "crowd", answer))

    async def live(self) -> None:
        """Some turns of chaos, then one last wish in a calm world, until it is fulfilled."""
        await self.begin()
        for _ in range(self.chance.randint(1, TURNS)):
            wish = self.chance.choice(["go", "resume", "reopen", "rollback"])
            n = self.chance.choice([None, self.chance.randint(1, 60)])
            await self.process(wish, CrashPoint(n, self.chance.choice(list(When))), signals=self.chance.random() < 0.7)
        self.settings = {**self.settings, **CALM}
        status = (await load_run(self.lives.journal, "run")).status
        back = status in (RunState.ROLLING_BACK, RunState.ROLLBACK_INCOMPLETE) or self.chance.random() < 0.5
        await self.last_wish("rollback" if back else "reopen")
        await self.check()

    async def last_wish(self, wish: str) -> None:
        """Ask until it is so."""
        for _ in range(LAST_TURNS):
            run = await load_run(self.lives.journal, "run")
            if run.status is RunState.ROLLED_BACK or (run.status is RunState.COMPLETED and wish == "reopen"):
                return
            if Machine(run).ended:
                try:
                    self.wishes(wish, Machine(run), self.lives.clock.now())
                except NotAllowed:
                    return  # nothing to roll back, or everything is done
            done = await self.process(wish, CrashPoint(), signals=False)
            if wish == "rollback" and run.status in RUN_ENDED and done and done.status is RunState.ROLLED_BACK:
                later = [event for _, event in await self.lives.journal.read("run", run.seq)]
                undone = [event.step for event in later if isinstance(event, ev.StepUndone)]
                assert sorted(undone) == sorted(x.step for x in preview_rollback(run) if x.what != "stays")
        raise AssertionError(f"{wish} is never fulfilled")

    async def check(self) -> None:
        """No duplicate, no orphan; after a rollback nothing at all, and nothing left to preview."""
        outcome = await self.lives.end_state()
        assert outcome.status in RUN_ENDED, outcome.status
        assert not outcome.duplicates, outcome.duplicates
        assert not outcome.orphans, outcome.orphans
        if outcome.status is RunState.ROLLED_BACK:
            assert not outcome.names, outcome.names
            run = await load_run(self.lives.journal, "run")
            assert [line for line in preview_rollback(run) if line.what in ("destroy", "remove")] == []


def troubled(chance: random.Random, seed: int) -> Scenario:
    """A reference workflow with troubles of its own and little patience."""
    fresh = [one for one in all_scenarios() if one.earlier is None]  # what changes servers has stories of its own
    template = chance.choice(fresh)
    troubles = {
        "seed": seed,
        "spread": chance.choice([0, 0.5]),
        "read_errors": chance.choice([0, 0, 0.2]),
        "never_ready": chance.choice([0, 0, 0.3]),
        "broken": chance.choice([0, 0, 0.3]),
        "throttle": chance.choice([0, 0, 0.2]),
        "fail_destroy": chance.choice(["", "", "*=transient:7"]),
        "fail_taskserv": chance.choice(["", "", "redis=permanent:1"]),
    }
    retry = Retry(chance.choice([1, 2, 6]), 0.5, 2.0)
    operations = tuple(msgspec.structs.replace(op, retry=retry, timeout=15.0) for op in template.plan.operations)
    plan = msgspec.structs.replace(template.plan, operations=operations, parallel_limit=chance.choice([1, 2, 4]))
    return Scenario(template.name, plan, {**template.settings, **troubles}, template.ends)


def wander(seed: int) -> None:
    """One story; the seed decides everything."""
    scenario = troubled(random.Random(seed), seed)
    users = Users(scenario, seed)
    try:
        run_virtual(users.live())
    except Exception as error:
        error.add_note(f"seed {seed}: {scenario.name}: {', '.join(users.said)}")
        raise


def test_whatever_users_wish_while_processes_die_the_world_ends_clean() -> None:
    for seed in range(150):
        wander(seed)


@pytest.mark.long
def test_whatever_users_wish_while_processes_die_the_world_ends_clean_long() -> None:
    first = random.SystemRandom().randrange(10**9)
    print(f"seeds {first} to {first + 4999}")
    for seed in range(first, first + 5000):
        wander(seed)
