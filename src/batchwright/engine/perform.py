"""One command -> calls to a port -> one report. The only file that creates, destroys, installs or removes anything."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping
from typing import Any

from batchwright.engine import commands as cmd
from batchwright.engine.limits import Limits
from batchwright.engine.watch import Fail, Send, Watch
from batchwright.model.clock import Clock
from batchwright.model.ids import Token
from batchwright.model.lifecycle import RunState, StepState
from batchwright.model.outcome import Created, Fault, FaultClass, Gone, Rejected, ServerState, Unknown
from batchwright.model.plan import Guard, ServerRequest, Step, TaskservRequest
from batchwright.model.run import Run, StepRecord
from batchwright.providers.base import Provider
from batchwright.taskservs.base import Runner, Target

SWEEP_TRIES = 8  # listings that may fail in a row before a sweep gives up


class Performer:
    """Carries out the commands of one run. Reports go to `send`; what should never be raised goes to `fail`."""

    def __init__(
        self,
        run: Run,
        providers: Mapping[str, Provider],
        runners: Mapping[str, Runner],
        limits: Limits,
        clock: Clock,
        send: Send,
        fail: Fail,
    ) -> None:
        self._run = run
        self._providers = providers
        self._runners = runners
        self._limits = limits
        self._clock = clock
        self._send = send
        self._fail = fail
        self._watches: dict[str, Watch] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._looks: set[asyncio.Task[None]] = set()
        self._facts = {facts.name: facts for facts in run.plan.providers}

    def perform(self, command: cmd.Command) -> None:
        """Begin to carry it out."""
        match command:
            case cmd.Create():
                self._spawn(self._create(command))
            case cmd.Install():
                self._spawn(self._install(command))
            case cmd.Await():
                self._watch(self._step(command.step).provider).wait_for(command)
            case cmd.Settle():
                self._spawn(self._settle(command))
            case cmd.Destroy():
                self._spawn(self._undo(command))
            case cmd.Sweep():
                self._looks.add(self._spawn(self._sweep(command)))
            case cmd.DestroyStray():
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
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for watch in self._watches.values():
            await watch.aclose()

    def _step(self, i: int) -> Step:
        return self._run.plan.steps[i]

    def _watch(self, provider: str) -> Watch:
        if provider not in self._watches:
            self._watches[provider] = Watch(
                self._providers[provider], self._run.id, self._clock, self._send, self._fail
            )
        return self._watches[provider]

    # -- forward ------------------------------------------------------------------------------------------------

    async def _create(self, command: cmd.Create) -> None:
        step, record = self._step(command.step), self._run.records[command.step]
        if command.look_first:
            self._limits.release(step.provider)
            await self._settle(cmd.Settle(command.step, command.attempt))
            return
        try:
            fault = await self._destroy(step.provider, record.stale, self._run.id) if record.stale else None
            outcome = Rejected(fault) if fault else await self._send_create(step, command.step)
        finally:
            self._limits.release(step.provider)
        self._send(cmd.Answered(command.step, command.attempt, outcome))

    async def _send_create(self, step: Step, i: int) -> Created | Rejected | Unknown:
        assert isinstance(step.request, ServerRequest)
        provider = self._providers[step.provider]
        limit = provider.capabilities.call_timeout
        try:
            async with asyncio.timeout(limit):
                outcome = await provider.create(step.request, Token(self._run.id, self._run.token(i)))
        except TimeoutError:
            return Unknown(f"no answer within {limit:g} s")
        except Exception as error:
            return Unknown(f"{type(error).__name__}: {error}")
        self._heed(step.provider, outcome)
        return outcome

    def _heed(self, lane: str, outcome: object) -> None:
        """Let a throttle answer slow the lane."""
        if isinstance(outcome, Rejected) and outcome.fault.kind is FaultClass.THROTTLE:
            self._limits.lanes[lane].throttled(self._clock.now(), outcome.fault.retry_after)
        else:
            self._limits.lanes[lane].answered()

    async def _settle(self, command: cmd.Settle) -> None:
        """Ask the provider what became of a call: by sending the same again where that is safe, else by its label."""
        step, record = self._step(command.step), self._run.records[command.step]
        facts = self._facts[step.provider]
        if facts.guard is Guard.TOKEN:
            outcome = await self._send_create(step, command.step)
            if isinstance(outcome, Created):
                self._send(cmd.Answered(command.step, command.attempt, outcome))
                return
        token = self._run.token(command.step)
        self._watch(step.provider).look_for(command, token, record.doubt_at + facts.settle_seconds)

    async def _install(self, command: cmd.Install) -> None:
        step = self._step(command.step)
        lane = self._run.lane(command.step)
        limit = self._run.plan.operations[self._run.step_operation[command.step]].timeout
        assert isinstance(step.request, TaskservRequest)
        target = self._target(step)
        try:
            async with asyncio.timeout(limit):
                outcome = await self._runners[target.provider].install(step.request, target)
        except TimeoutError:
            outcome = Unknown(f"not done within {limit:g} s")
        except Exception as error:
            outcome = Unknown(f"{type(error).__name__}: {error}")
        finally:
            self._limits.release(lane)
        self._send(cmd.Answered(command.step, command.attempt, outcome))

    def _target(self, step: Step) -> Target:
        server = self._run.plan.steps[self._run.index[step.server]]
        record = self._run.record(step.server)
        return Target(server.provider, record.ref, server.request.name, record.address)

    # -- backward -----------------------------------------------------------------------------------------------

    async def _undo(self, command: cmd.Destroy) -> None:
        step, record = self._step(command.step), self._run.records[command.step]
        try:
            if isinstance(step.request, ServerRequest):
                fault = await self._undo_server(step, record, command.step)
            else:
                fault = await self._remove(step)
        except Exception as error:
            fault = Fault(FaultClass.TRANSIENT, f"{type(error).__name__}: {error}")
        finally:
            self._limits.release(self._run.lane(command.step))
        self._send(cmd.Undid(command.step, command.attempt, fault))

    async def _undo_server(self, step: Step, record: StepRecord, i: int) -> Fault | None:
        refs = [ref for ref in (record.ref, record.stale) if ref]
        if record.doubt:
            refs += [ref for ref in await self._find_doubtful(step, record, i) if ref not in refs]
        for ref in refs:
            fault = await self._destroy(step.provider, ref, self._run.id)
            if fault is not None:
                return fault
        return None

    async def _find_doubtful(self, step: Step, record: StepRecord, i: int) -> list[str]:
        """What a call in doubt made, looked for until the settle time has passed."""
        provider, until = self._providers[step.provider], record.doubt_at + self._facts[step.provider].settle_seconds
        while True:
            began = self._clock.now()
            found = await provider.find(self._run.id, self._run.token(i))
            if found or began >= until:
                return [observed.ref for observed in found]
            await self._clock.sleep(provider.capabilities.poll_seconds)

    async def _remove(self, step: Step) -> Fault | None:
        target = self._target(step)
        limit = self._run.plan.operations[self._run.operation_index[step.operation]].timeout
        assert isinstance(step.request, TaskservRequest)
        async with asyncio.timeout(limit):
            outcome = await self._runners[target.provider].remove(step.request, target)
        match outcome:
            case Rejected(fault=fault):
                return fault
            case Unknown(reason=reason):
                return Fault(FaultClass.IN_DOUBT, reason)
        return None

    async def _destroy(self, name: str, ref: str, run: str) -> Fault | None:
        """Destroy until gone, after a fresh look that it is this run's. None when it is certainly gone."""
        provider = self._providers[name]
        poll, limit = provider.capabilities.poll_seconds, provider.capabilities.call_timeout
        began = self._clock.now()
        until = began + max(600.0, 2 * provider.capabilities.settle_seconds)
        fault: Fault | None = None
        while self._clock.now() < until:
            async with asyncio.timeout(limit):
                seen = (await provider.describe([ref]))[ref]
            if seen.state is ServerState.GONE:
                return None
            if seen.state is ServerState.NOT_VISIBLE:
                if self._clock.now() - began >= provider.capabilities.settle_seconds:
                    return None
            elif seen.run != run:
                return Fault(FaultClass.CONFLICT, f"{ref} does not carry this run's label, so it is left alone")
            else:
                async with asyncio.timeout(limit):
                    outcome = await provider.destroy(ref)
                self._heed(name, outcome)
                if isinstance(outcome, Gone):
                    return None
                fault = outcome.fault if isinstance(outcome, Rejected) else None
                if fault is not None and fault.kind is not FaultClass.BUSY:
                    return fault
            await self._clock.sleep(poll)
        return fault or Fault(FaultClass.TIMEOUT, f"{ref} was still there after {until - began:.0f} s")

    # -- closing sweep ------------------------------------------------------------------------------------------

    async def _sweep(self, command: cmd.Sweep) -> None:
        provider, run = self._providers[command.lane], self._run
        until = run.doubtful.get(command.lane, 0.0) + self._facts[command.lane].settle_seconds
        failures = 0
        while True:
            began = self._clock.now()
            try:
                async with asyncio.timeout(provider.capabilities.call_timeout):
                    listing = await provider.find(run.id)
            except Exception as error:
                failures += 1
                if failures >= SWEEP_TRIES:
                    fault = Fault(FaultClass.TRANSIENT, f"cannot list: {type(error).__name__}: {error}")
                    self._send(cmd.Swept(command.lane, command.round, fault=fault))
                    return
            else:
                failures = 0
                kept = self._kept()
                strays = tuple(
                    (o.ref, o.name) for o in listing if o.ref not in kept and o.state is not ServerState.GONE
                )
                if strays or command.lane not in run.doubtful or began >= until:
                    self._send(cmd.Swept(command.lane, command.round, strays))
                    return
            await self._clock.sleep(provider.capabilities.poll_seconds * 2 ** min(failures, 5))

    def _kept(self) -> set[str]:
        """What the journal knows and wants to exist; in a rollback only what could not be removed."""
        if self._run.status is RunState.ROLLING_BACK:
            return {r.ref for r in self._run.records if r.ref and r.state is StepState.UNDO_FAILED}
        return {r.ref for r in self._run.records if r.ref}

    async def _destroy_stray(self, command: cmd.DestroyStray) -> None:
        try:
            fault = await self._destroy(command.lane, command.ref, self._run.id)
        except Exception as error:
            fault = Fault(FaultClass.TRANSIENT, f"{type(error).__name__}: {error}")
        self._send(cmd.StrayDestroyed(command.lane, command.ref, fault))
