"""One command -> calls to a port -> one report. The only file that creates, destroys, installs or removes anything."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from functools import partial
from typing import Any, TypeVar

from batchwright.commands.base import Launcher
from batchwright.engine import effects as cmd
from batchwright.engine.limits import CallClass, Limits, calls_of
from batchwright.engine.output import OutputBuffer
from batchwright.engine.poller import Fail, Poller, Send
from batchwright.engine.port_calls import answer, trouble, turn
from batchwright.engine.program_steps import ProgramSteps
from batchwright.engine.read_retry import ReadRetry
from batchwright.engine.server_removal import Hold, destroy
from batchwright.model.clock import Clock
from batchwright.model.ids import Token
from batchwright.model.lifecycle import RunState, StepState
from batchwright.model.outcome import (
    Applied,
    Created,
    Fault,
    FaultClass,
    Observed,
    Rejected,
    ServerState,
    Throttled,
    Unknown,
)  # fmt: skip
from batchwright.model.plan import CommandRequest, Guard, ServerRequest, Step, TaskservRequest
from batchwright.model.run import Run, StepRecord
from batchwright.providers.base import Provider
from batchwright.taskservs.base import Runner, Target, TaskservJob

STRAYS_AT_ONCE = 8  # destroyed at the same time
GRACE = 15.0  # seconds beyond its limit for a runner to end by itself what it began on a server
ROLLBACKS = (RunState.ROLLING_BACK, RunState.ROLLED_BACK, RunState.ROLLBACK_INCOMPLETE)

T = TypeVar("T")
Apply = Callable[[TaskservRequest, Target, TaskservJob], Coroutine[Any, Any, Applied | Rejected | Unknown]]


class Performer:
    """Carries out the commands of one run. Reports go to `send`; what should never be raised goes to `fail`.

    `hold` is awaited just before every call that changes something, and raises when the run is no longer ours.
    """

    def __init__(
        self,
        run: Run,
        providers: Mapping[str, Provider],
        runners: Mapping[str, Runner],
        limits: Limits,
        clock: Clock,
        send: Send,
        fail: Fail,
        hold: Hold,
        launchers: Mapping[str, Launcher] = {},
    ) -> None:
        self._run = run
        self._providers = providers
        self._runners = runners
        self._limits = limits
        self._clock = clock
        self._send = send
        self._fail = fail
        self._hold = hold
        self._closing = False
        self._admitted: dict[int, CallClass] = {}
        self._strays = asyncio.Semaphore(STRAYS_AT_ONCE)
        self._watches: dict[str, Poller] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._looks: set[asyncio.Task[None]] = set()
        self.looks = ReadRetry(clock, lambda: self._closing)
        self._launches = ProgramSteps(run, providers, launchers, clock, send, self._ask, self.looks)
        self._facts = {facts.name: facts for facts in run.plan.providers}

    def admit(self, command: cmd.Command) -> None:
        """Take the permit that the command needs, if any. It comes back once: after the call, or on close."""
        if isinstance(command, cmd.CALLS) and command.step not in self._admitted:
            calls = CallClass.DESTROY if isinstance(command, cmd.Destroy) else CallClass.CREATE
            self._admitted[command.step] = calls
            self._limits.take(self._run.lane(command.step), calls)

    def _release(self, step: int) -> None:
        if step in self._admitted:
            self._limits.release(self._run.lane(step), self._admitted.pop(step))

    def perform(self, command: cmd.Command) -> None:
        """Begin to carry it out."""
        match command:
            case cmd.Create(look_first=True):
                self._spawn(self._settle(command))
            case cmd.Create():
                self._spawn(self._create(command))
            case cmd.Install():
                self._spawn(self._install(command))
            case cmd.Execute():
                self._spawn(self._execute(command))
            case cmd.Await():
                self._watch(self._step(command.step).provider).wait_for(command)
            case cmd.Settle():
                self._spawn(self._settle(command))
            case cmd.Destroy():
                self._spawn(self._undo(command))
            case cmd.Sweep():
                self._looks.add(self._spawn(self._sweep(command)))
            case cmd.DestroyOrphan():
                self._spawn(self._destroy_stray(command))

    @property
    def calls(self) -> int:
        """How many calls that may change something are under way; a sweep only looks."""
        return len(self._tasks - self._looks)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._looks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._fail(error)

    async def aclose(self) -> None:
        """Leave everything as it is; what was in flight is in doubt for the next driver."""
        self._closing = True
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for watch in self._watches.values():
            await watch.aclose()
        for step in tuple(self._admitted):  # commands that were never begun
            self._release(step)

    def _step(self, i: int) -> Step:
        return self._run.plan.steps[i]

    def _watch(self, provider: str) -> Poller:
        if provider not in self._watches:
            self._watches[provider] = Poller(
                self._providers[provider], self._run.id, self._clock, self.looks, self._send, self._fail
            )
        return self._watches[provider]

    async def _ask(self, limit: float, call: Coroutine[Any, Any, T]) -> T | Unknown:
        """What a port answers, if it does."""
        return await answer(limit, call, lambda: self._closing)

    def _heed(self, lane: str, calls: CallClass, outcome: object) -> None:
        """Let a throttle answer slow the lane's calls of this class."""
        bucket = self._limits.lanes[lane].buckets[calls]
        if isinstance(outcome, Throttled):
            bucket.throttled(self._clock.monotonic(), outcome.retry_after)
        elif isinstance(outcome, Rejected) and outcome.fault.kind is FaultClass.THROTTLE:
            bucket.throttled(self._clock.monotonic(), outcome.fault.retry_after)
        elif not isinstance(outcome, Unknown):
            bucket.answered(self._clock.monotonic())

    # -- forward ------------------------------------------------------------------------------------------------

    async def _create(self, command: cmd.Create) -> None:
        step, record = self._step(command.step), self._run.records[command.step]
        fault = await self._destroy_stale(step.provider, record.stale) if record.stale else None
        outcome = Rejected(fault) if fault else await self._send_create(step, command.step)
        if fault is not None and fault.kind is FaultClass.THROTTLE:  # it is a create that waits for its turn now
            self._heed(step.provider, CallClass.CREATE, outcome)
        self._release(command.step)
        self._send(cmd.Answered(command.step, command.attempt, outcome))

    async def _destroy_stale(self, provider: str, ref: str) -> Fault | None:
        self._limits.lanes[provider].buckets[CallClass.DESTROY].spend()  # its create holds the place
        return await self._destroy(provider, ref)

    async def _send_create(self, step: Step, i: int) -> Created | Rejected | Unknown:
        assert isinstance(step.request, ServerRequest)
        provider, token = self._providers[step.provider], Token(self._run.id, self._run.token(i))
        await self._hold()
        outcome = await self._ask(provider.capabilities.call_timeout, provider.create(step.request, token))
        self._heed(step.provider, CallClass.CREATE, outcome)
        return outcome

    async def _settle(self, command: cmd.Settle | cmd.Create) -> None:
        """Ask the provider what became of a call: by sending the same again where that is safe, else by its label."""
        step, record = self._step(command.step), self._run.records[command.step]
        if isinstance(command, cmd.Settle) and isinstance(step.request, CommandRequest):
            await self._launches.settle(command)
            return
        facts, since = self._facts[step.provider], self._since(record.doubt_at)
        if facts.guard is Guard.TOKEN:
            outcome = await self._resend(step, command.step)
            if isinstance(outcome, Created):
                self._send(cmd.Answered(command.step, command.attempt, outcome))
                return
            since = max(since, self._clock.now())  # this call may be the one that takes effect late
        self._release(command.step)  # to look takes no permit
        until = since + facts.settle_seconds
        settle = cmd.Settle(command.step, command.attempt)
        self._watch(step.provider).look_for(settle, self._run.token(command.step), until)

    def _since(self, doubt_at: float) -> float:
        """When a settle time begins: of what another process left in doubt, this one has seen nothing pass."""
        return max(doubt_at, self._run.driven_at)

    async def _resend(self, step: Step, i: int) -> Created | Rejected | Unknown:
        if i in self._admitted:
            outcome = await self._send_create(step, i)
            self._release(i)
            return outcome
        async with turn(self._limits, step.provider, CallClass.CREATE, self._clock):
            return await self._send_create(step, i)

    async def _install(self, command: cmd.Install) -> None:
        outcome = await self._apply(command, lambda runner: runner.install, undo=False)
        self._release(command.step)
        self._send(cmd.Answered(command.step, command.attempt, outcome))

    async def _execute(self, command: cmd.Execute) -> None:
        if not self._launches.begin(command):
            return
        outcome = await self._launches.launch(command, self._hold)
        self._release(command.step)
        self._send(cmd.Answered(command.step, command.attempt, outcome))

    async def _apply(
        self, command: cmd.Install | cmd.Destroy, verb: Callable[[Runner], Apply], *, undo: bool
    ) -> Applied | Rejected | Unknown:
        """Install or remove a task service, and pass on what that says.

        A cloud that does not say where its server is slows its own calls, and not those of the task services.
        """
        i, attempt, calls = command.step, command.attempt, CallClass.DESTROY if undo else CallClass.CREATE
        request = self._step(i).request
        assert isinstance(request, TaskservRequest)
        limit = self._run.plan.operations[self._run.step_operation[i]].timeout
        voice = OutputBuffer(self._clock, lambda lines: self._send(cmd.Said(i, attempt, lines, undo)))
        target = await self._reached(self._step(i).server, calls)
        leader: Target | Unknown | None = None
        if request.cluster is not None and request.cluster.leader != self._step(i).server:
            leader = await self._reached(request.cluster.leader, calls)
        if isinstance(target, Unknown):  # nothing was sent to the server
            return Rejected(trouble(target))
        if isinstance(leader, Unknown):
            return Rejected(trouble(leader))
        job = TaskservJob(self._run.token(i), limit, leader, voice.hear)
        await self._hold()  # after the looks above, which may take long
        try:
            outcome = await self._ask(limit + GRACE, verb(self._runners[target.provider])(request, target, job))
        finally:
            voice.close()
        self._heed(self._run.lane(i), calls, outcome)
        return outcome

    async def _reached(self, step: str, calls: CallClass) -> Target | Unknown:
        """The server that a step made, and how it is reached, as far as its provider says."""
        server, record = self._step(self._run.index[step]), self._run.record(step)
        provider = self._providers[server.provider]
        access = await self.looks.look(
            provider, lambda: provider.access([record.ref]), heed=lambda look: self._heed(server.provider, calls, look)
        )
        if isinstance(access, Unknown):
            return access
        return Target(server.provider, record.ref, server.request.name, record.address, access.get(record.ref))

    # -- backward -----------------------------------------------------------------------------------------------

    async def _undo(self, command: cmd.Destroy) -> None:
        step, record = self._step(command.step), self._run.records[command.step]
        if isinstance(step.request, ServerRequest):
            fault = await self._undo_server(step, record, command.step)
        elif not isinstance(step.request, CommandRequest) or self._launches.begin(command):
            fault = await self._remove(command)
        else:
            return
        self._release(command.step)
        self._send(cmd.Undid(command.step, command.attempt, fault))

    async def _undo_server(self, step: Step, record: StepRecord, i: int) -> Fault | None:
        refs = [ref for ref in (record.ref, record.stale) if ref]
        if record.doubt:
            found = await self._find_doubtful(step, record, i)
            if isinstance(found, Unknown):
                return trouble(found)
            refs += [ref for ref in found if ref not in refs]
        for ref in refs:
            fault = await self._destroy(step.provider, ref)
            if fault is not None:
                return fault
        return None

    async def _find_doubtful(self, step: Step, record: StepRecord, i: int) -> list[str] | Unknown:
        """What a call in doubt made, looked for until the settle time has passed."""
        provider = self._providers[step.provider]
        until = self._since(record.doubt_at) + self._facts[step.provider].settle_seconds
        while True:
            began = self._clock.now()
            found = await self._find(provider, self._run.token(i))
            if isinstance(found, Unknown):
                return found
            if found or began >= until:
                return [observed.ref for observed in found]
            await self._clock.sleep(provider.capabilities.poll_seconds)

    async def _find(self, provider: Provider, token: str | None = None) -> list[Observed] | Unknown:
        """What carries the run's label. The answer shows what was there when the look that gave it began, or later."""
        find, calls = partial(provider.find, self._run.id, token), calls_of(self._run)
        return await self.looks.look(provider, find, heed=lambda look: self._heed(provider.name, calls, look))

    async def _remove(self, command: cmd.Destroy) -> Fault | None:
        if isinstance(self._step(command.step).request, CommandRequest):
            outcome = await self._launches.launch(command, self._hold)
        else:
            outcome = await self._apply(command, lambda runner: runner.remove, undo=True)
        match outcome:
            case Rejected(fault=fault):
                return fault
            case Unknown(reason=reason):
                return Fault(FaultClass.IN_DOUBT, reason)
        return None

    async def _destroy(self, name: str, ref: str) -> Fault | None:
        """Destroy until gone, after a fresh look that this run made it. None when it is certainly gone."""
        sent = 0

        async def hold() -> None:
            nonlocal sent
            if sent:  # the permit is for the first call; the further steps towards its end cannot wait, but count
                self._limits.lanes[name].buckets[CallClass.DESTROY].spend()
            sent += 1
            await self._hold()

        return await destroy(
            self._providers[name],
            ref,
            self._run.made,
            self._clock,
            self.looks,
            lambda: self._closing,
            hold,
            lambda outcome: self._heed(name, CallClass.DESTROY, outcome),
        )

    # -- closing sweep ------------------------------------------------------------------------------------------

    async def _sweep(self, command: cmd.Sweep) -> None:
        provider, run = self._providers[command.lane], self._run
        until = self._since(run.doubtful.get(command.lane, 0.0)) + self._facts[command.lane].settle_seconds
        while True:
            began = self._clock.now()
            listing = await self._find(provider)
            if isinstance(listing, Unknown):
                fault = Fault(FaultClass.TRANSIENT, f"cannot list: {listing.reason}")
                self._send(cmd.Swept(command.lane, command.round, fault=fault))
                return
            strays = self._orphans(command.lane, listing)
            if strays or command.lane not in run.doubtful or began >= until:
                shared = frozenset(o.ref for o in listing if o.needed_by is not None and o.needed_by != o.token)
                self._send(cmd.Swept(command.lane, command.round, strays, shared=shared))
                return
            await self._clock.sleep(provider.capabilities.poll_seconds)

    def _orphans(self, lane: str, listing: list[Observed]) -> tuple[tuple[str, str], ...]:
        """What the journal does not want to exist; in and after a rollback it wants only what could not be removed.

        What servers need (a group, a key, a disk) may be listed before them: the journal says whether they are kept.
        """
        run, back = self._run, self._run.status in ROLLBACKS
        kept = {
            i: record.ref
            for i, record in enumerate(run.records)
            if record.ref and run.lane(i) == lane and (not back or record.state is StepState.UNDO_FAILED)
        }
        refs, keys = set(kept.values()), [*kept.values(), *map(run.token, kept)]
        return tuple(
            (o.ref, o.name)
            for o in listing
            if o.state is not ServerState.GONE
            and o.ref not in refs
            and (o.needed_by is None or not any(key.startswith(o.needed_by) for key in keys))
        )

    async def _destroy_stray(self, command: cmd.DestroyOrphan) -> None:
        async with self._strays:
            async with turn(self._limits, command.lane, CallClass.DESTROY, self._clock):
                fault = await self._destroy(command.lane, command.ref)
            if fault is not None:  # the sweep's next round tries again
                await self._clock.sleep(self._providers[command.lane].capabilities.poll_seconds)
        self._send(cmd.OrphanDestroyed(command.lane, command.ref, fault))
