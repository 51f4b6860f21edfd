"""An environment that people change by whole use cases, plans included, while the processes that do it die anywhere."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from batchwright.app.active_run import ActiveRun
from batchwright.app.adapters import Adapters, SharedWorld
from batchwright.app.environment_destroy import plan_destruction
from batchwright.app.environment_reader import find_home
from batchwright.app.multi_store import Stores
from batchwright.app.plans import plan_loaded
from batchwright.app.runs import Runs, StoredRun
from batchwright.app.settings import Settings
from batchwright.commands.base import Launcher
from batchwright.engine.limits import Limits
from batchwright.errors import EnvironmentBusy, EnvironmentUnsettled, NotAllowed, PlanRefused, RunNotFound
from batchwright.journal.base import Journal
from batchwright.journal.memory import MemoryJournal
from batchwright.journal.replay import load_run
from batchwright.loader import Loaded
from batchwright.model import events as ev
from batchwright.model.actions import Action
from batchwright.model.lifecycle import RUN_ENDED, RunState
from batchwright.model.plan import Plan
from batchwright.model.run import Run
from batchwright.model.run_signal import Signal, SignalKind
from batchwright.model.workflow import Workflow
from batchwright.providers.base import Provider
from batchwright.providers.simulated import Simulated, World
from batchwright.taskservs.base import Runner
from batchwright.taskservs.catalogue import load_catalogue
from batchwright.testing.crash_points import (
    CrashingLauncher,
    CrashingProvider,
    CrashingRunner,
    CrashPoint,
    ProcessDied,
)
from batchwright.testing.virtual_clock import VirtualClock
from tests.crash.environment_end import End, the_end
from tests.crash.watched_ports import Cloud, DyingJournal, WatchedRunner

ROLLED_BACK = (RunState.ROLLED_BACK, RunState.ROLLBACK_INCOMPLETE)
LIVES_MAX = 12
CATALOGUE = load_catalogue()
QUICK: dict[str, Any] = {"seed": 1, "spread": 0.0, "answer_seconds": 0.2, "boot_seconds": 1.0, "install_seconds": 1.0}


class Change(Struct, frozen=True):
    """What somebody does: runs a workflow, or destroys all that the environment of this name has.

    `outside` happens before, `meanwhile` once the run is created. `rollback` says that the run is rolled back once it
    has ended; `gives_up`: as soon as a process of it has died. `ends` are the ends that it may have. `cancel_after`:
    seconds after which it is cancelled, `by_force` or not.
    """

    asked: Workflow | str
    ends: tuple[RunState, ...] = (RunState.COMPLETED,)
    cancel_after: float | None = None
    by_force: bool = False
    rollback: bool = False
    gives_up: bool = False
    settings: Mapping[str, Any] = {}
    outside: Callable[[EnvironmentLives], object] | None = None
    meanwhile: Callable[[EnvironmentLives], object] | None = None
    old: bool = False  # the run was created by a version that knew no environments


class Story(Struct, frozen=True):
    """Changes of one environment; in the first `history` of them no process dies.

    `shared`: servers of a run share a key. `unsteady`: a process that drives does not see a server for so many seconds
    after its first look. `races`: what a run gets done before it is stopped is a matter of time.
    """

    name: str
    changes: tuple[Change, ...]
    history: int = 0
    settings: Mapping[str, Any] = {}
    shared: bool = False
    unsteady: float = 0.0
    races: bool = False


class MemoryWorld(SharedWorld):
    """A world without a file."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self._world = World(None)

    def close(self) -> None:
        """It outlives the process."""


class EnvironmentLives:
    """All that outlives a process: the store, the world, the time; and what processes must never do."""

    def __init__(self, story: Story, folder: Path) -> None:
        self.story, self.settings, self.clock = story, Settings(folder), VirtualClock()
        self.journal: Journal = MemoryJournal()
        self.shared_world = MemoryWorld(self.settings)
        self.world.calls = []
        self.keys: set[tuple[str, str]] = set()  # what servers share, by provider and run
        self.bystanders: set[str] = set()  # references of what is nobody's business here
        self.adopted: set[str] = set()  # labels of foreign runs whose servers were taken over
        self.by_hand: set[str] = set()  # references of what somebody destroyed in the console
        self.settled: set[str] = set()  # runs that were resumed since the next one was refused
        self.faults: list[str] = []
        self.happened: set[str] = set()
        self.refused: set[int] = set()  # changes of which there is no plan
        self.count = 0

    @property
    def world(self) -> World:
        return self.shared_world.get()

    async def live(self, point: CrashPoint, changes: Sequence[int]) -> bool:
        """One process, which does what is left of these changes. True when all is done."""
        self.count += 1
        process = Process(self, point)
        try:
            for n in changes:
                await self._change(process, n)
        except ProcessDied:
            return False
        return True

    def happens(self, outside: Callable[[EnvironmentLives], object] | None, when: str) -> None:
        """Once, whatever dies."""
        if outside is not None and when not in self.happened:
            outside(self)
            self.happened.add(when)

    async def _change(self, process: Process, n: int) -> None:
        change, own = self.story.changes[n], run_of(n)
        self.happens(change.outside, f"before {own}")
        if n in self.refused:
            return
        try:
            run = await process.ended(change, own)
        except PlanRefused:
            if not self.story.races:
                raise
            self.refused.add(n)
            return
        assert run.status in (*change.ends, *ROLLED_BACK), run.status
        if change.rollback and run.status not in ROLLED_BACK:
            with suppress(*(NotAllowed,) * self.story.races):  # it did nothing
                run = await process.runs.rollback(StoredRun(process.journal, own), "ada").finished()
                assert run.status is RunState.ROLLED_BACK or self.story.races, run.status

    async def all_runs(self) -> list[Run]:
        return [await load_run(self.journal, one) for one in sorted(await self.journal.runs())]

    async def histories(self) -> dict[str, list[ev.AnyEvent]]:
        return {one: [event for _, event in await self.journal.read(one)] for one in await self.journal.runs()}

    async def used(self) -> set[str]:
        """Servers that a step has found clear."""
        every = await self.histories()
        return {e.ref for events in every.values() for e in events if isinstance(e, ev.StepSucceeded) and e.ref}

    async def borrowers(self, ref: str) -> list[str]:
        """Environments that use a server of another one, or whose run is about to."""
        found = []
        for row in await self.journal.environments():
            own = {one.ref: one.borrowed for one in await self.journal.resources(row.key)}
            steps = (await load_run(self.journal, row.tenant)).plan.steps if row.tenant else ()
            begins = any(step.action is Action.KEEP and step.ref == ref for step in steps)
            if own.get(ref, begins):
                found.append(row.name)
        return found

    def destroy_by_hand(self, name: str) -> None:
        """Somebody does it in the console."""
        now = self.clock.now()
        for one in self.world.servers():
            if one.name == name:
                self.by_hand.add(one.ref)
                self.world.destroy(one.ref, now, now)


def run_of(change: int) -> str:
    """The id of the run of this change."""
    return f"change{'abcdefghij'[change] * 6}"


class Process:
    """One process: use cases over ports that die with it."""

    def __init__(self, lives: EnvironmentLives, point: CrashPoint) -> None:
        self.lives, self.point = lives, point
        self.stores = OneStore(lives, point)
        self.journal = self.stores.journal
        self.runs = DyingRuns(self)
        self.drives = False

    async def ended(self, change: Change, own: str) -> Run:
        """The run of this change, created if it is not there, gone on with if it has not ended."""
        try:
            run = await load_run(self.journal, own)
        except RunNotFound:
            return await self._begun(change, own)
        if run.status in RUN_ENDED and not run.holds_environment:
            return run
        await self._refuses_others(run)
        self.lives.happens(change.meanwhile, own)
        return await (self._given_up(own) if change.gives_up else self._resumed(own))

    async def _resumed(self, run: str) -> Run:
        self.drives = True
        return await self.runs.resume(StoredRun(self.journal, run), "ada").finished()

    async def _given_up(self, run: str) -> Run:
        self.drives = True
        return await self.runs.rollback(StoredRun(self.journal, run), "ada").finished()

    async def _refuses_others(self, run: Run) -> None:
        """I1: whatever its state, nobody comes between."""
        other = run_of(9)
        with suppress(EnvironmentBusy):
            await Runs(self.lives.settings, OneStore(self.lives, CrashPoint()), self.lives.clock).create(
                run.plan, "eve", run=other
            )
        assert other not in await self.lives.journal.runs(), "I1"

    async def _begun(self, change: Change, own: str) -> Run:
        settings = {**QUICK, **self.lives.story.settings, **change.settings}
        self.drives = False
        try:
            async with self.runs.adapters(settings) as around:
                plan = await self._planned(change, around, settings)
            create = self._created_before(plan, own) if change.old else self.runs.create(plan, "ada", run=own)
            stored = await create
        except EnvironmentUnsettled as refused:
            self.lives.settled.add(refused.run)
            await self._resumed(refused.run)
            return await self._begun(change, own)
        self.drives = True
        self.lives.happens(change.meanwhile, own)
        active = self.runs.drive(stored)
        canceller = asyncio.create_task(self._cancel(active, change))
        try:
            return await active.finished()
        finally:
            canceller.cancel()

    async def _cancel(self, active: ActiveRun, change: Change) -> None:
        if change.cancel_after is not None:
            await self.lives.clock.sleep(change.cancel_after)
            kind = SignalKind.FORCE_CANCEL if change.by_force else SignalKind.CANCEL
            active.signal(Signal(kind, self.lives.clock.now(), "ada"))

    async def _created_before(self, plan: Plan, own: str) -> StoredRun:
        """As a version did that knew no environments."""
        created = ev.RunCreated(self.lives.clock.now(), own, _without_environment(plan), "ada")
        run = Run(created)
        await self.journal.create(created, _without_environment(run.summary("memory")))
        return StoredRun(self.journal, own, run)

    async def _planned(self, change: Change, around: Adapters, settings: Mapping[str, Any]) -> Plan:
        if isinstance(change.asked, str):
            home = await find_home(self.stores, change.asked, simulated=True)
            found = await plan_destruction(self.lives.settings, around, home)
            assert found.plan is not None
            found = replace(found, plan=replace(found.plan, simulation=dict(settings)))
        else:
            loaded = Loaded(change.asked, catalogue=CATALOGUE)
            found = await plan_loaded(self.lives.settings, self.stores, around, loaded, dict(settings))
        if found.plan is None:
            refused = found.refusal()
            refused.add_note(str(found.diagnostics))
            raise refused
        return found.plan


def _without_environment(one: Any) -> Any:
    return replace(one, environment="", **({"base": "", "semantics": 1} if isinstance(one, Plan) else {}))


class OneStore(Stores):
    """The store, as a process has it that may die."""

    def __init__(self, lives: EnvironmentLives, point: CrashPoint) -> None:
        super().__init__(lives.settings)
        self.journal = DyingJournal(lives.journal, point, f"elsewhere:{lives.count}:1")

    async def get(self, name: str, *, behind: bool = False) -> Journal:
        return self.journal

    def existing_names(self) -> list[str]:
        return [self.journal.name]


class DyingRuns(Runs):
    """The use cases, over ports that die."""

    def __init__(self, process: Process) -> None:
        lives = process.lives
        self.process = process
        super().__init__(lives.settings, process.stores, lives.clock, Limits(), lives.shared_world)

    def adapters(self, simulation: Any, settings: Settings | None = None) -> Adapters:
        lives = self.process.lives
        return DyingAdapters(self.process, lives.settings, lives.clock, self._limits, simulation, lives.shared_world)


class DyingAdapters(Adapters):
    """Opens ports that die with their process."""

    def __init__(self, process: Process, *rest: Any) -> None:
        super().__init__(*rest)
        self._process = process

    def _connect(self, name: str) -> Provider:
        cloud = super()._connect(name)
        assert isinstance(cloud, Simulated)
        return CrashingProvider(Cloud(cloud, self._process), self._process.point)

    def _new_runner(self, name: str, at: str = "") -> Runner:
        return CrashingRunner(WatchedRunner(super()._new_runner(name, at), self._process.lives), self._process.point)

    def _pretend(self, simulation: Any) -> Launcher:
        return CrashingLauncher(super()._pretend(simulation), self._process.point)


async def live_through(lives: EnvironmentLives, *points: CrashPoint) -> End:
    """The history undisturbed, then the changes: a process dies at each of the points, and the next one goes on."""
    every = range(len(lives.story.changes))
    history = lives.story.history
    assert lives.count or await lives.live(CrashPoint(), every[:history])
    for one in (*points, *(CrashPoint() for _ in range(LIVES_MAX))):
        if await lives.live(one, every[history:]):
            return await the_end(lives)
    raise AssertionError(f"{lives.story.name} did not end")
