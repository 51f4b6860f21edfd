"""The worlds that the bench asks about: a finished run, and a run with one planted cause, stopped at 62 per cent.

Both are driven by the real engine over simulated clouds in virtual time, so the same seed gives the same journal.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence
from functools import partial
from itertools import product
from pathlib import Path
from random import Random
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from batchwright.agents.slices.run_source import RunSource
from batchwright.app.adapters import Adapters
from batchwright.app.multi_store import Stores
from batchwright.app.plans import check, plan_loaded
from batchwright.app.settings import Settings
from batchwright.app.system_clock import SystemClock
from batchwright.app.workflow_source import Source
from batchwright.engine.environment_turn import EnvironmentTurn
from batchwright.engine.limits import Lane, Limits
from batchwright.engine.loop import Driver
from batchwright.journal.environment_state import environment_state
from batchwright.journal.memory import MemoryJournal
from batchwright.journal.sqlite import SqliteJournal
from batchwright.model import events as ev
from batchwright.model.call_outcome import Rejected
from batchwright.model.environment import EnvironmentKey
from batchwright.model.fault import FaultClass
from batchwright.model.lifecycle import StepState
from batchwright.model.plan import Plan
from batchwright.model.run import Run
from batchwright.model.run_signal import Signal, SignalKind
from batchwright.model.scalar import Scalar
from batchwright.model.workflow import Operation, Workflow
from batchwright.operations.registry import is_server
from batchwright.operations.server_batch.structs import ServerBatch
from batchwright.providers.simulated import (
    Simulated,
    SimulatedLauncher,
    SimulatedProber,
    SimulatedRunner,
    Simulation,
    World,
)
from batchwright.testing.virtual_clock import EPOCH, VirtualClock, run_virtual
from batchwright.views.run_history import history_of
from bench.agents.workflow_text import LARGER, Block, Definition, with_mistakes

STRESS_FAILURES, STRESS_GROUPS = 293, 178
STOPPED_AT = 0.62  # of the steps have ended
SLOWER = 2.3
TRANSIENT = 0.03  # of calls
DAY = 86_400.0
HOLDER = "ops-1:4242:1"
CAUSES = ("quota", "capacity", "billing", "invalid", "install", "setup")
GROUP_NAMES = ["-".join(one) for one in product("abcdefgh", "ijklmnop", "qrstuvwx")]  # alike in no digit
OVER = (StepState.SUCCEEDED, StepState.FAILED, StepState.SKIPPED)
SimulationValues = dict[str, Scalar]


class Cause(Struct, frozen=True):
    """What was planted: its kind, and the steps that fail by it."""

    kind: str
    steps: tuple[str, ...]
    setting: tuple[str, str]


class AgentWorld(Struct, frozen=True):
    """A state folder with both runs, and the files that they came from."""

    folder: Path
    settings: Settings
    earlier: Run
    current: Run
    earlier_events: Sequence[ev.AnyEvent]
    events: Sequence[ev.AnyEvent]
    definition: Definition
    file: Path
    broken: Path
    mistakes: tuple[str, ...]
    cause: Cause
    slow: str
    like: str  # the server of which two more are wanted
    added: tuple[str, str]  # their names
    sources: dict[str, RunSource] = {}  # that were made already, by run

    @property
    def folder_settings(self) -> Settings:
        """Of an empty state folder, in which the file has not been run."""
        return Settings(self.folder / "empty")

    @property
    def source(self) -> RunSource:
        """What slices of the current run are computed from."""
        if self.current.id not in self.sources:
            self.sources[self.current.id] = self.source_of(self.current, self.events)
        return self.sources[self.current.id]

    @property
    def earlier_source(self) -> RunSource:
        """What slices of the earlier run are computed from."""
        run = self.earlier
        if run.id not in self.sources:
            self.sources[run.id] = RunSource(run, history_of(self.earlier_events), run.updated_at)
        return self.sources[run.id]

    def source_of(self, run: Run, events: Sequence[ev.AnyEvent]) -> RunSource:
        """The same for a run that these events make."""
        told = list(enumerate(events, 1))
        return RunSource(run, history_of(events), run.updated_at, events=told, earlier=self.earlier_source)


WORDS = {
    FaultClass.QUOTA: "the account may have no more servers",
    FaultClass.CAPACITY: "no host has room for this plan now",
    FaultClass.BILLING: "the invoice of last month is overdue",
    FaultClass.INVALID: "this plan is not offered any more",
    FaultClass.PERMANENT: "the package repository refuses the key of the release",
    FaultClass.EXIT: "setup exited with code 4: schema 17 is newer than this release",
}


class WordedPort:
    """A port whose definite refusals have words like a real cloud's, with a request id.

    With `groups` there are so many different ones.
    """

    def __init__(self, inner: Any, seed: str, groups: int) -> None:
        self._inner, self._seed, self._groups = inner, seed, groups
        self._refused = 0

    def __getattr__(self, name: str) -> Any:
        call = getattr(self._inner, name)
        if not asyncio.iscoroutinefunction(call):
            return call

        async def worded(*args: Any, **named: Any) -> Any:
            outcome = await call(*args, **named)
            if not isinstance(outcome, Rejected) or outcome.fault.kind not in WORDS:
                return outcome
            self._refused += 1
            digest = hashlib.sha256(f"{self._seed} {name} {self._refused}".encode()).hexdigest()
            group = f" (rule {GROUP_NAMES[self._refused % self._groups]})" if self._groups else ""
            words = f"{WORDS[outcome.fault.kind]}{group}, request {digest[:12]}"
            return replace(outcome, fault=replace(outcome.fault, message=words))

        return worded


class WriteLog:
    """A journal in memory that keeps what was written, so that a store on disk can be given the same."""

    def __init__(self) -> None:
        self.inner = MemoryJournal()
        self.writes: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = []
        self.name = "filesystem"

    def __getattr__(self, name: str) -> Any:
        call = getattr(self.inner, name)
        if name not in ("create", "append", "acquire", "renew", "release"):
            return call

        async def noted(*args: Any, **named: Any) -> Any:
            given = await call(*args, **named)
            self.writes.append((name, args, named))
            return given

        return noted

    async def write_to(self, store: SqliteJournal) -> None:
        """Make the same writes there; those that were made before are not made again."""
        writes, self.writes = self.writes, []
        for name, args, named in writes:
            await getattr(store, name)(*args, **named)


async def drive(
    log: WriteLog,
    run_id: str,
    plan: Plan,
    simulated: SimulationValues,
    at: float,
    *,
    share: float = 1.0,
    groups: int = 0,
    fails: Sequence[str] = (),
) -> float:
    """Drive a run of this plan; gives the time at its end.

    With a `share` below 1 it is cancelled once so many of its steps have ended, and all that `fails` have failed.
    """
    clock, world = VirtualClock(at - asyncio.get_running_loop().time()), World(None)
    state = await environment_state(log.inner, EnvironmentKey.of(plan))
    created = ev.RunCreated(clock.now(), run_id, plan, "ops", turn=state.turn + 1, after=state.newest)
    run = Run(created)
    await log.create(created, run.summary(log.name), enter=state.enter(run_id, clock.now()))
    lease = await log.acquire(run_id, HOLDER, clock.now())
    providers, runners, launchers, limits = {}, {}, {}, Limits()
    worded = partial(WordedPort, seed=run_id, groups=groups)
    limits.add_lanes_of_types()
    for facts in plan.providers:
        settings = Simulation.from_settings(simulated, facts.name)
        providers[facts.name] = worded(Simulated(facts.name, world, clock, settings))
        runners[facts.name] = worded(SimulatedRunner(world, clock, settings))
        launchers[facts.name] = worded(SimulatedLauncher(world, clock, settings))
        limits.add(facts.name, Lane(50))
    general = Simulation.from_settings(simulated)
    launchers[""] = SimulatedLauncher(world, clock, general)
    state = await environment_state(log.inner, EnvironmentKey.of(plan))
    told: list[bool] = []

    def listen(_: Any) -> None:
        if share == 1 or told:
            return
        failed = all(run.record(step).state is StepState.FAILED for step in fails)
        if failed and run.count(*OVER) >= share * len(run.records):
            told.append(True)
            driver.signal(Signal(SignalKind.CANCEL, clock.now(), "ops"))

    driver = Driver(
        log,  # type: ignore[arg-type]
        lease,
        run,
        providers,
        runners,
        limits,
        clock,
        listener=listen,
        launchers=launchers,
        turn=EnvironmentTurn(run, state.row, state.resources, state.newest),
        prober=SimulatedProber(world, clock, general),
    )
    await driver.drive()
    await log.release(lease)
    return clock.now()


def planted(kind: str, blocks: tuple[Block, ...], count: int, chance: Random) -> Cause:
    """Failures of one kind in one place, in the first half of the file."""
    early = blocks[: max(1, len(blocks) // 2)]
    place = chance.choice(early).place
    there = [block for block in early if block.place == place]
    servers = [(block, name) for block in there for name in block.servers][:count]
    if kind == "install":
        steps = tuple(f"services_{block.tag}/{name}/{block.service}" for block, name in servers)
        return Cause(kind, steps, ("fail_taskserv", _rules((f"{b.service}@{n}" for b, n in servers), "permanent")))
    if kind == "setup":
        steps = tuple(f"setup_{block.tag}/{name}" for block, name in servers)
        return Cause(kind, steps, ("fail_command", _rules(steps, "exit")))
    steps = tuple(f"servers_{block.tag}/{name}" for block, name in servers)
    return Cause(kind, steps, ("fail", _rules((name for _, name in servers), kind)))


def _rules(names: Any, effect: str) -> str:
    return ",".join(f"{name}={effect}" for name in names)


def make_world(folder: Path, operations: int, seed: int) -> AgentWorld:
    """Make both runs, and leave them in the store of a state folder."""
    chance = Random(seed)
    ids = [f"{word}run{chr(ord('a') + seed)}2" for word in ("earlier", "current")]
    folder.mkdir(parents=True, exist_ok=True)
    settings = Settings(folder / "state")
    parallel = {12: 6, 100: 20}.get(operations, 60)
    definition = Definition(operations, "1.1.0", "production", parallel)
    names = [name for block in definition.blocks for name in block.servers]
    definition = replace(definition, larger=frozenset(chance.sample(names, max(1, operations // 24))))
    cause = planted(chance.choice(CAUSES), definition.blocks, {12: 1, 100: 3}.get(operations, 11), chance)
    slow = chance.choice(("upcloud", "aws"))
    file, broken = folder / "shop.ncl", folder / "broken.ncl"
    usual: SimulationValues = {"seed": seed, "transient": TRANSIENT}
    current = _simulated(seed, cause, slow)
    file.write_text(definition.text)
    text, mistakes = with_mistakes(definition.text, definition.blocks, chance)
    broken.write_text(text)

    loaded = check(Source(file), settings)
    assert loaded.workflow is not None, loaded.diagnostics

    async def planned(workflow: Workflow, simulated: SimulationValues) -> Plan:
        clock = SystemClock()
        async with Stores(settings) as stores, Adapters(settings, clock, Limits(), simulated) as around:
            found = await plan_loaded(settings, stores, around, replace(loaded, workflow=workflow), simulated)
        assert found.plan is not None, found.diagnostics
        return found.plan

    async def kept(log: WriteLog, run: str) -> list[ev.AnyEvent]:
        store = SqliteJournal(settings.journal_file)
        await store.open()
        await log.write_to(store)
        made = [event for _, event in await store.read(run, 0, 100_000)]
        await store.aclose()
        return made

    # both are planned for an empty environment, as if the servers of the earlier run had been forgotten
    plans = [
        asyncio.run(planned(former(loaded.workflow, definition), usual)),
        asyncio.run(planned(loaded.workflow, current)),
    ]
    log = WriteLog()

    async def lived() -> None:
        ended_at = await drive(log, ids[0], plans[0], usual, EPOCH)
        await drive(log, ids[1], plans[1], current, ended_at + DAY, share=STOPPED_AT, fails=cause.steps)

    run_virtual(lived())
    told = [asyncio.run(kept(log, run)) for run in ids]
    runs = [Run.replay(events) for events in told]
    like = definition.blocks[0].servers[0]
    stem, _, number = max(name for name in names if name.startswith(like[:-3])).rpartition("-")
    added = f"{stem}-{int(number) + 1:03d}", f"{stem}-{int(number) + 2:03d}"
    return AgentWorld(*(folder, settings, *runs, *told, definition, file, broken, mistakes, cause, slow, like, added))


def former(workflow: Workflow, definition: Definition) -> Workflow:
    """The version before, in which no server was larger."""
    smaller = {larger: plan for plan, larger in LARGER.items()}

    def before(operation: Operation) -> Operation:
        if not isinstance(operation, ServerBatch):
            return operation
        own = tuple(
            replace(one, plan=smaller[one.plan]) if one.name in definition.larger else one
            for one in operation.server_configs
        )
        return replace(operation, server_configs=own)

    return replace(workflow, version="1.0.0", operations=tuple(map(before, workflow.operations)))


def _simulated(seed: int, cause: Cause, slow: str) -> SimulationValues:
    slower: SimulationValues = {f"{slow}.answer_seconds": 0.2 * SLOWER, f"{slow}.boot_seconds": 1.5 * SLOWER}
    return {"seed": seed, "transient": TRANSIENT, cause.setting[0]: cause.setting[1], **slower}


def stressed(world: AgentWorld, seed: int = 1) -> AgentWorld:
    """The same with another current run, which is in no store: hundreds of failures in some 178 groups."""
    plan = world.current.plan
    names = [step.request.name for step in plan.steps if is_server(step)]
    rules = _rules(Random(seed).sample(names, STRESS_FAILURES), "permanent")
    cause, log = Cause("stress", (), ("fail", rules)), WriteLog()

    async def lived() -> list[ev.AnyEvent]:
        simulated, begin = _simulated(seed, cause, world.slow), world.earlier.updated_at + DAY
        await drive(log, world.current.id, plan, simulated, begin, groups=STRESS_GROUPS)
        return [event for _, event in await log.inner.read(world.current.id, 0, 100_000)]

    events = run_virtual(lived())
    return replace(world, current=Run.replay(events), events=events, cause=cause, sources={})
