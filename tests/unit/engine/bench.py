"""A performer over a run that events put where a test wants it, with ports whose answers a test can prescribe."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from batchwright.engine import effects, reports
from batchwright.engine.limits import Lane, Limits
from batchwright.engine.performer import Performer
from batchwright.errors import LeaseLost
from batchwright.model import events as ev
from batchwright.model.lifecycle import RunState
from batchwright.model.plan import Plan
from batchwright.model.run import Run
from batchwright.operations.server_batch import ServerRequest
from batchwright.providers.simulated import Simulation, World
from batchwright.providers.simulated.world_records import SimulatedServer
from batchwright.testing.virtual_clock import VirtualClock, run_virtual
from tests.unit.engine.scripted import ScriptedProvider, ScriptedRunner
from tests.unit.engine.stage import QUICK, Settings, installs, plan_of, servers

TOO_LONG = 100_000.0


class Bench:
    """A performer over a run that events put where a test wants it."""

    def __init__(self, plan: Plan, settings: Settings) -> None:
        self.clock, self.world = VirtualClock(), World(None)
        simulation = Simulation.from_settings({**QUICK, **settings})
        self.provider = ScriptedProvider("upcloud", self.world, self.clock, simulation)
        self.runner = ScriptedRunner(self.world, self.clock, simulation)
        self.run = Run(ev.RunCreated(self.clock.now(), "run", plan))
        self.limits = Limits()
        self.limits.add("upcloud", Lane(5))
        self.limits.add("taskservs", Lane(5))
        self.said: list[reports.Report] = []
        self.errors: list[BaseException] = []
        self.ours = True
        self.took = 0.0
        self.performer = Performer(
            self.run, {"upcloud": self.provider}, {"upcloud": self.runner}, self.limits, self.clock, self.said.append,
            self.errors.append, self.hold,
        )  # fmt: skip

    async def hold(self) -> None:
        if not self.ours:
            raise LeaseLost("another process took the run over")

    def happen(self, *events: ev.AnyEvent) -> None:
        for event in events:
            self.run.apply(event)

    def start(self, step: str = "up/a", attempt: int = 1) -> None:
        self.happen(ev.StepStarted(self.clock.now(), step, attempt, self.run.token(self.run.step(step))))

    def plant(self, ref: str, run: str = "run", token: str = "", visible: float = 0.0) -> SimulatedServer:
        now, request = self.clock.now(), ServerRequest("a", "1xCPU-2GB", "de-fra1")
        server = SimulatedServer(
            ref, "upcloud", "simulated-upcloud", run, token, request, "addr", now, now + visible, now
        )
        server.token = token or self.run.token(0)
        self.world.plant(server)
        return server

    async def perform(self, command: effects.Command) -> list[reports.Report]:
        """Carry one out as the driver does, until it is reported or has failed."""
        before, failures = len(self.said), len(self.errors)
        self.performer.admit(command)
        self.performer.perform(command)
        async with asyncio.timeout(TOO_LONG):
            while len(self.said) == before and len(self.errors) == failures:
                await self.clock.sleep(0.1)
        await asyncio.sleep(0)
        assert all(lane.in_flight == 0 for lane in self.limits.lanes.values()), "the permit has come back"
        return self.said[before:]

    async def undo(self, step: str = "up/a") -> reports.UndoReport:
        """Undo a step of a run that is rolled back."""
        (report,) = await self.perform(effects.UndoStep(self.run.step(step), 1))
        assert isinstance(report, reports.UndoReport)
        return report


Play = Callable[[Bench], Awaitable[None]]


def staged(play: Play, **settings: Any) -> Bench:
    """Play it on one server with one task service."""

    async def main() -> Bench:
        up = servers("up", "a", "b")
        bench = Bench(plan_of({**QUICK, **settings}, up, installs("svc", up, "redis", after=["up"])), settings)
        bench.happen(ev.RunStarted(bench.clock.now()))
        await play(bench)
        bench.took = bench.clock.now() - bench.run.created_at
        await bench.performer.aclose()
        return bench

    return run_virtual(main())


def made(bench: Bench, ref: str = "s1", step: str = "up/a") -> SimulatedServer:
    """A step that made a server, in a run that is being rolled back."""
    now, token = bench.clock.now(), bench.run.token(bench.run.step(step))
    server = bench.plant(ref, token=token)
    bench.start(step)
    bench.happen(ev.StepSucceeded(now, step, ref, "addr"))
    return server


def rolling_back(bench: Bench, *undoing: str) -> None:
    now = bench.clock.now()
    bench.happen(ev.RunEnded(now, RunState.FAILED), ev.RollbackStarted(now))
    bench.happen(*(ev.UndoStarted(now, step, 1) for step in undoing))


def in_doubt(bench: Bench) -> None:
    bench.start()
    bench.happen(ev.StepInDoubt(bench.clock.now(), "up/a", 1, "reset"))
