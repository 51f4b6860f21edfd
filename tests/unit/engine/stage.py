"""A run on a simulated world in virtual time: driven as often as a test asks, with wishes on the way."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeVar

from msgspec.structs import replace

from batchwright.engine.limits import Lane, Limits
from batchwright.engine.loop import Driver
from batchwright.engine.machine import Machine
from batchwright.journal.base import Journal
from batchwright.journal.memory import MemoryJournal
from batchwright.journal.replay import load_run
from batchwright.model import events as ev
from batchwright.model.actions import Action, Undo
from batchwright.model.plan import Before, Guard, Need, Plan, PlannedOperation, Retired, Step
from batchwright.model.run import Run
from batchwright.model.run_signal import Signal, SignalKind
from batchwright.model.scalar import Scalar
from batchwright.model.workflow import Dependency, DependencyKind, OnFailure, Retry
from batchwright.operations.check import CheckRequest, TcpCheck
from batchwright.operations.command import CommandRequest
from batchwright.operations.server_batch import ServerRequest
from batchwright.operations.taskserv_batch import TaskservRequest
from batchwright.providers.base import Provider
from batchwright.providers.simulated import (
    Simulated,
    SimulatedLauncher,
    SimulatedProber,
    SimulatedRunner,
    Simulation,
    World,
)
from batchwright.providers.simulated.world_records import SimulatedCall, SimulatedServer
from batchwright.taskservs.base import Runner
from batchwright.testing.virtual_clock import VirtualClock

T = TypeVar("T")
Settings = dict[str, Scalar]
Part = tuple[PlannedOperation, list[Step]]

RETRY = Retry(max_attempts=3, initial_delay=1.0, max_delay=8.0)
QUICK: Settings = {"seed": 1, "spread": 0.0, "answer_seconds": 0.2, "boot_seconds": 1.0, "install_seconds": 1.0}
LONG_AFTER = 10_000.0  # seconds after which every late commit and every destroy has happened
TOO_LONG = 200_000.0  # virtual seconds after which a run counts as one that never ends
SIZES = {"upcloud": ("1xCPU-2GB", "de-fra1"), "aws": ("t3.micro", "eu-central-1")}


def needs(*ids: str) -> tuple[Dependency, ...]:
    """Dependencies; `~id` is a soft one."""
    kinds = {True: DependencyKind.SOFT, False: DependencyKind.HARD}
    return tuple(Dependency(one.lstrip("~"), kinds[one.startswith("~")]) for one in ids)


def operation(op: str, provider: str = "upcloud", after: Sequence[str] = (), **rest: Any) -> PlannedOperation:
    """A server batch without its steps; `rest` are fields of PlannedOperation."""
    fields: dict[str, Any] = {
        "lane": provider, "on_failure": OnFailure.CONTINUE, "retry": RETRY, "timeout": 60.0, "type": "server_batch",
    }  # fmt: skip
    return PlannedOperation(id=op, provider=provider, dependencies=needs(*after), **{**fields, **rest})


def servers(op: str, *names: str, provider: str = "upcloud", after: Sequence[str] = (), **rest: Any) -> Part:
    """A server batch."""
    return operation(op, provider, after, **rest), [
        Step(f"{op}/{n}", op, provider, Action.CREATE, Undo.DESTROY, ServerRequest(n, *SIZES[provider])) for n in names
    ]


def keeps(op: str, refs: Mapping[str, str], after: Sequence[str] = ()) -> Part:
    """A server batch that keeps what is there already."""
    return operation(op, "upcloud", after), [
        Step(f"{op}/{name}", op, "upcloud", Action.KEEP, Undo.NOTHING, ServerRequest(name, *SIZES["upcloud"]), ref=ref)
        for name, ref in refs.items()
    ]


def retires(op: str, refs: Mapping[str, str], after: Sequence[str] = ()) -> Part:
    """A server batch that destroys what an earlier run made and the file no longer asks for."""
    return operation(op, "upcloud", after), [
        Step(
            *(f"{op}/{name}", op, "upcloud", Action.RETIRE, Undo.NOTHING, ServerRequest(name, *SIZES["upcloud"])),
            ref=ref,
            retired=Retired(f"server/{name}", "earlier", "token"),
        )
        for name, ref in refs.items()
    ]


def updates(op: str, refs: Mapping[str, str], after: Sequence[str] = (), **fields: Any) -> Part:
    """A server batch that changes what an earlier run made; `fields` are those of the request that differ."""
    steps = []
    for name, ref in refs.items():
        old = ServerRequest(name, *SIZES["upcloud"])
        before, new = Before(old, "earlier", "token"), replace(old, **fields)
        steps.append(
            Step(f"{op}/{name}", op, "upcloud", Action.UPDATE, Undo.RESTORE, new, ref=ref, before=before, seconds=2.0)
        )
    return operation(op, "upcloud", after), steps


def installs(op: str, on: Part, *names: str, after: Sequence[str], undo: Undo = Undo.WITH_SERVER, **rest: Any) -> Part:
    """A task service batch: these, in this order, on each server of another operation."""
    steps = []
    for server in on[1]:
        for i, name in enumerate(names):
            before = (Need(f"{op}/{server.request.name}/{names[i - 1]}"),) if i else ()
            request = TaskservRequest(name, "1", server.provider)
            step = f"{op}/{server.request.name}/{name}"
            steps.append(Step(step, op, server.provider, Action.INSTALL, undo, request, before, server.id))
    return operation(op, on[0].provider, after, lane="taskservs", type="taskserv_batch", **rest), steps


def runs(op: str, *, after: Sequence[str] = (), undo: bool = True, idempotent: bool = False, **rest: Any) -> Part:
    """A command of this machine."""
    request = CommandRequest("make", ("make",), ("make", "clean") if undo else (), idempotent=idempotent)
    step = Step(f"{op}/run", op, "", Action.RUN, Undo.RUN if undo else Undo.NOTHING, request)
    return operation(op, "", after, lane="commands", type="command", **rest), [step]


def checks(op: str, *, after: Sequence[str] = ()) -> Part:
    """A check of a port, from this machine."""
    request = CheckRequest(op, tcp=TcpCheck("db-01", 5432))
    step = Step(f"{op}/check", op, "", Action.CHECK, Undo.NOTHING, request)
    return operation(op, "", after, lane="checks", type="check", retry=Retry(max_attempts=1)), [step]


def plan_of(settings: Settings, *parts: Part, limit: int = 10, rollback_enabled: bool = True) -> Plan:
    """Put operations together; the facts of the providers are those of the simulation."""
    facts = []
    for name in sorted({op.provider for op, _ in parts if op.type == "server_batch"}):
        simulation = Simulation.from_settings(settings, name)
        known = Simulated(name, World(), VirtualClock(), simulation).capabilities
        facts.append(known.facts(name, f"simulated-{name}"))
    steps = tuple(step for _, steps in parts for step in steps)
    operations = tuple(op for op, _ in parts)
    return Plan("w", "1", "memory", limit, rollback_enabled, operations, steps, tuple(facts), simulation=settings)


class Stage:
    """What outlives a process: the journal, the world and the time; `limits` are those of the one process at work."""

    def __init__(
        self, *parts: Part, settings: Settings | None = None, limit: int = 10, plan: Plan | None = None
    ) -> None:
        self.settings = {**QUICK, **(settings or {})}
        self.plan = plan or plan_of(self.settings, *parts, limit=limit)
        self.clock = VirtualClock()
        self.skies = VirtualClock()  # the clouds' own clock, which nobody here can set
        self.journal: Journal = MemoryJournal()
        self.world = World(None)
        self.calls: list[SimulatedCall] = self.world.record_calls()
        self.limits = Limits()
        self.providers: dict[str, Provider] = {}
        self.runners: dict[str, Runner] = {}
        self.limits.add_lanes_of_types()
        self.behave()
        self.drivers = 0

    def behave(self, **settings: str | float) -> None:
        """From now on the clouds behave like this."""
        self.settings.update(settings)
        for name in [facts.name for facts in self.plan.providers]:
            simulation = Simulation.from_settings(self.settings, name)
            provider = Simulated(name, self.world, self.skies, simulation)
            self.providers[name] = provider
            self.runners[name] = SimulatedRunner(self.world, self.skies, simulation)
            known = provider.capabilities
            rates = known.rate, known.burst, known.destroy_rate, known.destroy_burst
            self.limits.add(name, Lane(known.concurrency, *rates))

    async def driver(self, promise: str = "") -> Driver:
        """A new process that takes the run; the first one creates it. `promise` ends its name: see own_holder."""
        if self.drivers == 0:
            created = ev.RunCreated(self.clock.now(), "run", self.plan)
            await self.journal.create(created, Run(created).summary("memory"))
        self.drivers += 1
        lease = await self.journal.acquire("run", f"elsewhere:{self.drivers}:1{promise}", self.clock.now())
        run = await load_run(self.journal, "run")
        simulation = Simulation.from_settings(self.settings)
        return Driver(
            *(self.journal, lease, run, self.providers, self.runners, self.limits, self.clock),
            launchers={"": SimulatedLauncher(self.world, self.skies, simulation)},
            prober=SimulatedProber(self.world, self.skies, simulation),
        )

    async def drive(
        self,
        wishes: Callable[[Machine, float], Sequence[ev.AnyEvent]] | None = None,
        meanwhile: Callable[[Driver], Awaitable[object]] | None = None,
    ) -> Run:
        """Drive to the end; `meanwhile` runs beside it. Every permit has come back afterwards."""
        driver = await self.driver()
        beside = asyncio.ensure_future(meanwhile(driver)) if meanwhile else None
        try:
            async with asyncio.timeout(TOO_LONG):
                run = await driver.drive(wishes)
            if beside is not None:
                await beside
        finally:
            if beside is not None:
                beside.cancel()
            await self.journal.release(driver._lease)
        self.check_permits()
        return run

    def check_permits(self) -> None:
        """Every permit that was taken has been released exactly once."""
        assert {name: lane.in_flight for name, lane in self.limits.lanes.items() if lane.in_flight} == {}

    async def history(self) -> list[ev.AnyEvent]:
        """The journal so far."""
        return [event for _, event in await self.journal.read("run")]

    async def events(self, kind: type[T]) -> list[T]:
        """The journal's events of one kind."""
        return [event for event in await self.history() if isinstance(event, kind)]

    def asked(self, method: str, provider: str = "") -> list[SimulatedCall]:
        """The calls of one method that reached the clouds."""
        return [call for call in self.calls if call.method == method and provider in ("", call.provider)]

    async def names(self) -> Counter[str]:
        """What is really there, long after, by name."""
        await self.clock.sleep(LONG_AFTER)
        return Counter(server.name for server in self.world.servers(self.skies.now()))

    def plant(
        self, ref: str, name: str, run: str = "run", token: str = "", provider: str = "upcloud"
    ) -> SimulatedServer:
        """A server that is there, ready and seen, without anybody having asked for it."""
        now = self.skies.now()
        request = ServerRequest(name, *SIZES[provider])
        account = f"simulated-{provider}"
        server = SimulatedServer(ref, provider, account, run, token, request, "198.18.9.9", now, now, now)
        self.world.plant(server)
        return server


def signal(stage: Stage, kind: SignalKind) -> Signal:
    """A wish of now."""
    return Signal(kind, stage.clock.now(), "user")


def undo(machine: Machine, now: float) -> Sequence[ev.AnyEvent]:
    """The wish to roll back."""
    return machine.rollback(now, "user")


def reopen(machine: Machine, now: float) -> Sequence[ev.AnyEvent]:
    """The wish to go on."""
    return machine.reopen(now, "user")


def states(run: Run) -> dict[str, str]:
    """Every step's state."""
    return {step.id: record.state.value for step, record in zip(run.plan.steps, run.records, strict=True)}


__all__ = ["Guard", "Part", "Stage"]
