"""A run of a user's plan in a simulated world, with faults injected, and the people who help it when it asks."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

from batchwright.engine.limits import Lane
from batchwright.engine.machine import Machine
from batchwright.errors import BatchwrightError, LeaseLost, NotAllowed, RunNotFound
from batchwright.journal.base import Journal
from batchwright.journal.environment_state import environment_state
from batchwright.journal.replay import load_run
from batchwright.model import events as ev
from batchwright.model.approver import Principal
from batchwright.model.call_outcome import Rejected
from batchwright.model.environment import EnvironmentKey
from batchwright.model.lifecycle import RunState, StepState
from batchwright.model.run import Run, unsettled
from batchwright.model.run_signal import HoldAnswer, Signal, SignalKind
from batchwright.operations.server_batch import ServerRequest
from batchwright.operations.taskserv_batch import TaskservRequest
from batchwright.providers.base import Provider
from batchwright.providers.simulated import Simulated, SimulatedServer, Simulation
from batchwright.rehearsal.crash_restart_run import ASKING, ProcessJournal, SimulatedRun
from batchwright.rehearsal.existing_servers import build_bystanders, build_existing, write_existing
from batchwright.rehearsal.fault_actions import StandingFault, SuspendedProcess
from batchwright.rehearsal.fault_menu import EFFECTS
from batchwright.rehearsal.fault_spec import Experiment, Injection, PortCall
from batchwright.rehearsal.invariants import BrokenInvariant, Invariant
from batchwright.rehearsal.port_interceptor import InjectionPoint
from batchwright.rehearsal.rehearsed import Help, Rehearsed, TraceEntry
from batchwright.rehearsal.saved_start import SavedStart
from batchwright.rehearsal.scenario import Scenario
from batchwright.rehearsal.timed_ports import TimedLedger, TimedRunner
from batchwright.taskservs.base import Runner
from batchwright.testing.crash_points import CrashPoint, ProcessDied
from batchwright.testing.virtual_clock import VirtualClock

ANSWERS_AFTER = 60.0  # seconds until somebody answers a question
RESTS_AFTER = 900.0  # seconds after which a run that waits for nothing but people is left alone
SIGNALS_EVERY = 5.0  # seconds between two looks whether somebody has said something
SIGNALS_SELDOM = 60.0  # where nobody is asked
HELP_MOST = 4  # times that people help a run before it counts as stuck, after which they would run the file again


class RehearsedRun(SimulatedRun):
    """One experiment. `standing` are the faults that last until somebody mends them."""

    def __init__(self, rehearsed: Rehearsed, experiment: Experiment, calls_most: int, *, trace: bool = False) -> None:
        self.rehearsed, self.experiment, self.calls_most = rehearsed, experiment, calls_most
        plan = rehearsed.plan
        super().__init__(Scenario(plan.workflow, plan, rehearsed.settings, rollback=experiment.rollback))
        self.cloud_clock = VirtualClock()
        self.operations = {step.id: step.operation for step in plan.steps}
        self.step_of_server = {s.request.name: s.id for s in plan.steps if isinstance(s.request, ServerRequest)}
        servers = {step.id: step.request.name for step in plan.steps}
        self.step_of_install = {
            (servers[step.server], step.request.name): step.id
            for step in plan.steps
            if isinstance(step.request, TaskservRequest) and step.server in servers
        }
        self.clouds = tuple(sorted({*(facts.name for facts in plan.providers), *rehearsed.capabilities}))
        servers_there = (one for one in rehearsed.resources if one.ref and not one.server)
        self.existing_names = Counter(one.name for one in servers_there)
        self.standing: list[StandingFault] = []
        self.full_writes = 0
        self.fired: list[Injection] = []
        self.help: list[Help] = []
        self._helps = 0
        self.redone: Counter[str] = Counter()  # commands that a person had run again
        self.broken: list[BrokenInvariant] = []
        self.vanished: set[str] = set()  # names of servers that somebody destroyed
        self.trace: list[TraceEntry] | None = [] if trace else None
        self.began = self.ended = 0.0
        self._asks = {one.subject: one for one in experiment.injections if one.verb == "ask"}
        self._suspended: list[tuple[asyncio.Task[bool], InjectionPoint]] = []
        self._suspends = asyncio.Event()
        self._answered: set[tuple[str, int]] = set()
        self._seen: dict[tuple[str, int], float] = {}
        self.has_holds = any(step.hold is not None for step in plan.steps)

    # -- the ports ---------------------------------------------------------------------------------------------------

    def new_ledger(self) -> TimedLedger:
        return TimedLedger(self.clock, {step.id: step.seconds for step in self.rehearsed.plan.steps})

    def runner(self, simulation: Simulation) -> Runner:
        seconds = {step.id: step.seconds for step in self.rehearsed.plan.steps}
        return TimedRunner(super().runner(simulation), self.cloud_clock, self.step_of_install, seconds)

    def provider(self, name: str, simulation: Simulation) -> Provider:
        return Simulated(name, self.world, self.cloud_clock, simulation, self.rehearsed.capabilities.get(name))

    def lane(self, provider: Provider) -> Lane:
        known = provider.capabilities
        return Lane(known.concurrency, known.rate, known.burst, known.destroy_rate, known.destroy_burst)

    def driver_options(self) -> dict[str, Any]:
        if self.has_holds:
            return {"signal_seconds": SIGNALS_EVERY, "rest_seconds": RESTS_AFTER}
        return {"signal_seconds": SIGNALS_SELDOM}

    def settle_seconds(self, provider: str) -> float:
        """How late a create may take effect there."""
        return self.rehearsed.capabilities[provider].settle_seconds

    def visible_seconds(self, provider: str) -> float:
        """How late a listing there may show a new server."""
        return next((one.visible_seconds for one in self.rehearsed.plan.providers if one.name == provider), 0.0)

    @property
    def is_disturbed(self) -> bool:
        """Whether a fault lasts."""
        return bool(self.standing or self.full_writes)

    # -- the world ---------------------------------------------------------------------------------------------------

    def server_of(self, outcome: object) -> SimulatedServer | None:
        """The server that a call created."""
        return self.world.server(getattr(outcome, "ref", ""))

    def name_of(self, ref: str) -> str:
        """The name of a server."""
        server = self.world.server(ref)
        return ref if server is None else server.name

    def is_younger(self, ref: str, seconds: float) -> bool:
        """Whether a server was created so lately that a listing may not show it yet."""
        server = self.world.server(ref)
        return server is not None and self.cloud_clock.now() < server.committed_at + seconds

    def destroy_by_hand(self, ref: str) -> None:
        """Somebody destroys a server in the console."""
        server, now = self.world.server(ref), self.cloud_clock.now()
        if server is not None and server.gone_at is None:
            self.world.destroy(ref, now, max(now, server.committed_at))
            self.vanished.add(server.name)
            self._tell("vanished", server.name)

    def started(self, step: str, *, undo: bool) -> None:
        """Note a start of a program that will not end by itself."""
        (self.ledger.undone if undo else self.ledger.ran)[step] += 1

    async def create(self, journal: Journal) -> None:
        if not self.bystanders:
            now, resources = self.cloud_clock.now(), self.rehearsed.resources
            self.bystanders = build_bystanders(self.world, self.clouds, now)
            if self.rehearsed.environment is not None:
                build_existing(self.world, resources, now)
                key = EnvironmentKey.of(self.scenario.plan)
                await write_existing(self.journal, key, self.rehearsed.environment, resources)
        await super().create(journal)

    # -- what happens on the way -------------------------------------------------------------------------------------

    def traced(self, process: int, call: PortCall) -> None:
        """Keep a call for the timeline."""
        if self.trace is not None and not call.verb.startswith(("signals", "renew", "read", "snapshot")):
            self.trace.append(TraceEntry(self._since(), process, call.verb, call.subject))

    def watched(self, call: PortCall, port: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        """A port that tells the timeline when it has changed the world."""
        if self.trace is None or call.verb not in EFFECTS:
            return port

        async def watched(*args: Any, **more: Any) -> Any:
            outcome = await port(*args, **more)
            if not isinstance(outcome, Rejected):
                self._tell(f"did {call.verb}", call.subject)
            return outcome

        return watched

    def _tell(self, what: str, about: str = "", process: int = 0) -> None:
        if self.trace is not None:
            self.trace.append(TraceEntry(self._since(), process, what, about))

    def _since(self) -> float:
        return round(self.cloud_clock.now() - self.began, 3) if self.began else 0.0

    def answered(self, outcome: object) -> object:
        """The answer of a call as its process gets it."""
        return outcome

    def fire(self, process: int, injection: Injection) -> None:
        """Note that a fault took place."""
        self.fired.append(injection)
        self._tell(f"fault {injection.fault}", injection.subject, process)

    def goes_on(self, start: SavedStart) -> None:
        """Note that this run, which was put into this state, goes on: with the next process, or with the same one."""
        if start.death is not None:
            self.fired.append(start.death)
            self.ended = self.cloud_clock.now()
        else:
            self.count -= 1

    async def has_turn(self) -> bool:
        """Whether it is this run's turn to change the environment."""
        row = await self.journal.environment(EnvironmentKey.of(self.scenario.plan))
        return row is not None and row.tenant == self.run

    async def begin_another(self) -> None:
        """Another run tries to change the environment. Raises EnvironmentRefused, as it must."""
        plan, now = self.scenario.plan, self.clock.now()
        state = await environment_state(self.journal, EnvironmentKey.of(plan))
        created = ev.RunCreated(now, "another", plan, turn=state.turn + 1, after=state.newest)
        await self.journal.create(created, Run(created).summary("memory"), enter=state.enter("another", now))

    def note_second_turn(self) -> None:
        """Two runs change the environment at once."""
        self.broken.append(BrokenInvariant(Invariant.ENVIRONMENT, "", "two runs change it at once"))

    def suspend(self, point: SuspendedProcess, seconds: float) -> None:
        """Let another process take the run over, and this one go on after so many seconds."""
        self._suspends.set()
        assert point.frozen is not None
        asyncio.get_running_loop().call_later(seconds, point.frozen.set)

    def clock_of(self, point: CrashPoint) -> SuspendedClock:
        assert isinstance(point, InjectionPoint)
        return SuspendedClock(self.clock, point)

    # -- one process after another -----------------------------------------------------------------------------------

    async def process(self, point: CrashPoint) -> bool:
        assert isinstance(point, InjectionPoint)
        self.began = self.began or self.cloud_clock.now()
        self._suspends.clear()
        self._tell("starts", process=self.count + 1)
        work = asyncio.ensure_future(self._one(point))
        suspends = asyncio.ensure_future(self._suspends.wait())
        await asyncio.wait([work, suspends], return_when=asyncio.FIRST_COMPLETED)
        if not work.done():
            self._suspended.append((work, point))
            self._tell("suspended", process=self.count)
            return False
        suspends.cancel()
        self.ended = self.cloud_clock.now()
        done = work.result()
        self._tell("ends" if done else "dies", process=self.count)
        return done

    async def _one(self, point: InjectionPoint) -> bool:
        try:
            return await super().process(point)
        except LeaseLost:
            if point.frozen is None:
                raise
            return False
        except BatchwrightError as error:  # the command ends with this error, and the user starts it again
            self._tell("error", error.code, process=self.count)
            return False

    async def settled(self) -> None:
        """Wait for suspended processes, which must have found out that the run is not theirs any more."""
        for work, point in self._suspended:
            with suppress(ProcessDied):
                await work
            self.broken += [BrokenInvariant(Invariant.FENCE, one) for one in point.sent]

    async def _work(self, journal: ProcessJournal, point: CrashPoint) -> bool:
        assert isinstance(point, InjectionPoint)
        if point.goes_on:
            await self._backward(journal, point, await load_run(self.journal, self.run))
            return True
        try:
            run = await load_run(journal, self.run)
        except RunNotFound:
            await self.create(journal)
            run = await load_run(journal, self.run)
        people = asyncio.ensure_future(self._people()) if self.has_holds else None
        try:
            run = await self._forward(journal, point, run)
            if self.scenario.rollback:
                point.forward_ended()
                run = await self._backward(journal, point, run)
        finally:
            if people is not None:
                people.cancel()
        return True

    async def _forward(self, journal: ProcessJournal, point: CrashPoint, run: Run) -> Run:
        if run.status is RunState.ROLLING_BACK and self.scenario.rollback:
            return run
        while not Machine(run).ended:
            run = await self.drive(journal, point)
            if not Machine(run).ended:
                await self._rest(run)
        while run.status in ASKING and self._helps < HELP_MOST:
            doubts = [i for i in range(len(run.records)) if unsettled(run, i)]
            self._needed(run, doubts)
            wish = partial(self.answer, doubts) if doubts else self._reopened
            try:
                run = await self.drive(journal, point, wish)
            except NotAllowed:  # nothing is left to do
                break
            while not Machine(run).ended:
                await self._rest(run)
                run = await self.drive(journal, point)
        return run

    def _needed(self, run: Run, doubts: Sequence[int]) -> None:
        """A person looks, mends what lasts, and resumes the run."""
        failed = [i for i, one in enumerate(run.records) if one.state is StepState.FAILED]
        steps = tuple(run.plan.steps[i].id for i in (doubts or failed))
        faults = [run.records[i].fault for i in failed]
        why = next((str(one.kind) for one in faults if one is not None), "")
        self._helped(Help("doubt" if doubts else "resume", steps, "" if doubts else why))

    def _helped(self, needed: Help) -> None:
        self._helps += 1
        self.standing.clear()
        self._asks.clear()
        if needed not in self.help:
            self.help.append(needed)
        self._tell(f"help {needed.kind}", ", ".join(needed.steps[:3]))

    def answer(self, doubts: list[int], machine: Machine, now: float) -> list[ev.AnyEvent]:
        events = super().answer(doubts, machine, now)
        self.redone.update(step for one in events if isinstance(one, ev.RunReopened) for step in one.redo)
        return events

    def _reopened(self, machine: Machine, now: float) -> Sequence[ev.AnyEvent]:
        return machine.reopen(now, "user")

    async def _backward(self, journal: ProcessJournal, point: CrashPoint, run: Run) -> Run:
        if run.status is RunState.ROLLING_BACK:
            run = await self.drive(journal, point)
        while run.status in (RunState.COMPLETED, RunState.ROLLBACK_INCOMPLETE) and self._helps < HELP_MOST:
            if run.status is RunState.ROLLBACK_INCOMPLETE:
                self._helped(Help("rollback", run.residue))
            try:
                run = await self.drive(journal, point, lambda machine, now: machine.rollback(now, "user"))
            except NotAllowed:  # it created nothing
                break
        return run

    # -- people who are asked ----------------------------------------------------------------------------------------

    async def _rest(self, run: Run) -> None:
        """Nobody answers: wait until the question expires, or until somebody has been found who does."""
        asked = [run.plan.steps[i].id for i in run.asking]
        until = max((run.holds[step].until for step in asked), default=0.0)
        if until:
            await self.clock.sleep(max(1.0, until - self.clock.now()))
        else:
            self._helped(Help("answer", tuple(asked)))
            await self.clock.sleep(ANSWERS_AFTER)

    async def _people(self) -> None:
        while True:
            await self.clock.sleep(ANSWERS_AFTER / 2)
            with suppress(RunNotFound):
                run = await load_run(self.journal, self.run)
                for i in run.asking:
                    await self._asked(run, run.plan.steps[i].id)

    async def _asked(self, run: Run, step: str) -> None:
        hold = run.holds[step]
        now = self.cloud_clock.now()
        seen = self._seen.setdefault((step, hold.ask), now)
        if (step, hold.ask) in self._answered or now < seen + ANSWERS_AFTER:
            return
        fault = self._asks.get(step)
        if fault is not None and fault not in self.fired:
            self.fire(self.count, fault)
        if fault is not None and fault.fault == "expired":
            return
        self._answered.add((step, hold.ask))
        planned = run.plan.steps[run.index[step]].hold
        for n in range(planned.quorum if planned is not None else 1):
            who = Principal(f"person-{n + 1}", f"person-{n + 1}")
            answer = HoldAnswer(step, hold.ask, hold.hash, fault is None, who)
            await self.journal.signal(self.run, Signal(SignalKind.ANSWER, self.clock.now(), who.name, answer))


class SuspendedClock:
    """The clock of a process that may be suspended: no timer of it fires meanwhile."""

    def __init__(self, inner: VirtualClock, point: InjectionPoint) -> None:
        self.now, self.monotonic = inner.now, inner.monotonic
        self._inner, self._point = inner, point

    async def sleep(self, seconds: float) -> None:
        """Sleep, and longer if the process is suspended then."""
        await self._inner.sleep(seconds)
        await self._point.thawed()
