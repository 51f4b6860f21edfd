"""Servers: create, change and destroy them, find out what a lost call created, wait until they are ready."""

from __future__ import annotations

from functools import partial

from batchwright.engine import duplicate_server_resolution, effects, reports
from batchwright.engine.handler_context import HandlerContext, carries
from batchwright.engine.handlers.base import Handler
from batchwright.engine.limits import CallClass
from batchwright.engine.port_calls import trouble, turn
from batchwright.engine.shared_resource_removal import SharedResourceRemoval
from batchwright.model.actions import Undo
from batchwright.model.call_outcome import Applied, Created, Gone, Rejected, ServerState, Unknown
from batchwright.model.environment import EnvironmentKey
from batchwright.model.fault import Fault, FaultClass
from batchwright.model.ids import Token
from batchwright.model.plan import Guard, Step
from batchwright.model.run import StepFoldState
from batchwright.operations.server_batch import ServerRequest
from batchwright.providers.base import ChangesServers

LISTING_SECONDS = 10.0  # the oldest listing that is looked at before a create


class ServerHandler(Handler):
    """Calls the provider of each step."""

    def __init__(self, context: HandlerContext) -> None:
        super().__init__(context)
        self._shared = SharedResourceRemoval(context)
        self._environment = EnvironmentKey.of(context.run.plan).name

    async def do(self, command: effects.DoStep) -> reports.CallReport:
        """Send the create call, after destroying the unusable server of an earlier attempt."""
        context, i = self.context, command.step
        step, stale = context.step(i), context.run.records[i].stale
        if step.retired is not None and not step.retired.run:  # borrowed: it is another environment's
            return reports.CallReport(i, command.attempt, Applied(changed=False))
        if step.retired is not None:
            fault = await self._retired(step)
            return reports.CallReport(i, command.attempt, Applied(changed=True) if fault is None else Rejected(fault))
        if step.undo is Undo.RESTORE:
            return reports.CallReport(i, command.attempt, await self._change(step))
        fault = context.check_create(step)
        if fault is None and stale:
            fault = await self._destroy_stale(step.provider, stale)
        if fault is None and duplicate_server_resolution.possible(context.run.plan, context.facts.get(step.provider)):
            fault = await self._taken(step)
        outcome = Rejected(fault) if fault else await self._create(step, i)
        if fault is not None and fault.kind is FaultClass.THROTTLE:  # it is a create that waits for its turn now
            context.heed(step.provider, CallClass.CREATE, outcome)
        return reports.CallReport(i, command.attempt, outcome)

    async def _retired(self, step: Step) -> Fault | None:
        fault = await self.context.destroy(step.provider, step.ref, step.retired)
        return fault or await self._shared.destroyed(step)

    async def _change(self, step: Step) -> Created | Rejected:
        done = await self._changed(step, CallClass.CREATE)
        if isinstance(done, Gone):
            gone = f"server {step.ref} is gone; something other than this run removed it"
            return Rejected(Fault(FaultClass.CONFLICT, gone))
        return Rejected(done) if isinstance(done, Fault) else done

    async def _changed(self, step: Step, calls: CallClass) -> Created | Gone | Fault:
        """Change a server into what is asked for, or back if the calls are those of a rollback."""
        assert step.before is not None
        wanted, before = step.request, step.before.request
        if calls is CallClass.DESTROY:
            wanted, before = before, wanted
        provider = self.context.providers[step.provider]
        assert isinstance(wanted, ServerRequest)
        assert isinstance(before, ServerRequest)
        if not isinstance(provider, ChangesServers):  # another version of it made the plan
            return Fault(FaultClass.INVALID, f"the provider {provider.name} cannot change servers in place")
        change = partial(provider.change, step.ref, wanted.written(), before.written())
        own = partial(carries, step.before.run, step.before.token)
        return await self.context.calls_to(step.provider, step.ref, own, calls).repeat(change, "was not changed")

    async def _destroy_stale(self, provider: str, ref: str) -> Fault | None:
        self.context.limits.lanes[provider].buckets[CallClass.DESTROY].spend()  # its create holds the place
        return await self.context.destroy(provider, ref)

    async def _taken(self, step: Step) -> Fault | None:
        """Why nothing is sent: another run created a server of this name."""
        context = self.context
        put_off = context.limits.lanes[step.provider].buckets[CallClass.CREATE].put_off
        found = await context.poller(step.provider).twins_of(step.request.name, LISTING_SECONDS, put_off)
        return duplicate_server_resolution.taken(step.request.name, found) if found else None

    async def _create(self, step: Step, i: int) -> Created | Rejected | Unknown:
        context = self.context
        request = context.run.request(i)
        assert isinstance(request, ServerRequest)
        provider = context.providers[step.provider]
        token = Token(context.run.id, context.run.token(i), self._environment)
        await context.hold()
        outcome = await context.ask(provider.capabilities.call_timeout, provider.create(request.written(), token))
        context.heed(step.provider, CallClass.CREATE, outcome)
        return outcome

    async def settle(self, command: effects.Settle | effects.DoStep) -> reports.CallReport | None:
        """Repeat the call if the provider takes a token, else look for the label until the settle time has passed."""
        context, i = self.context, command.step
        step = context.step(i)
        until = self._settled_at(step, context.run.records[i])
        if context.facts[step.provider].guard is Guard.TOKEN:
            outcome = await self._resend(step, i)
            if isinstance(outcome, Created):
                return reports.CallReport(i, command.attempt, outcome)
            until = max(until, context.settled_at(step.provider, context.clock.now(), ended=True))  # it may be late
        context.release(i)  # to look takes no permit
        settle = effects.Settle(i, command.attempt)
        context.poller(step.provider).look_for(settle, context.run.token(i), until)
        return None

    def _settled_at(self, step: Step, record: StepFoldState) -> float:
        """When what the create of a step made would show. Nothing is recorded of one that was resent."""
        ended = not record.crashed and self.context.facts[step.provider].guard is not Guard.TOKEN
        return self.context.settled_at(step.provider, record.doubt_at, ended=ended)

    async def _resend(self, step: Step, i: int) -> Created | Rejected | Unknown:
        context = self.context
        if context.admitted(i):
            outcome = await self._create(step, i)
            context.release(i)
            return outcome
        async with turn(context.limits, step.provider, CallClass.CREATE, context.clock):
            return await self._create(step, i)

    def wait(self, command: effects.Await) -> None:
        """Poll a server that was created or is kept."""
        self.context.poller(self.context.step(command.step).provider).wait_for(command)

    async def undo(self, command: effects.UndoStep) -> reports.UndoReport:
        """Destroy all that the step created: its server, an unusable one, and what a lost call may have created.

        A server that it changed is changed back. One that it had begun to retire is destroyed: nothing brings it back.
        """
        step, record = self.context.step(command.step), self.context.run.records[command.step]
        if step.undo is Undo.RESTORE:
            return await self._restore(step, command)
        if step.traits.removes:
            fault = await self._retired(step) if step.retired is not None and step.retired.run else None
            return reports.UndoReport(command.step, command.attempt, fault)
        return reports.UndoReport(command.step, command.attempt, await self._undo(step, record, command.step))

    async def _restore(self, step: Step, command: effects.UndoStep) -> reports.UndoReport:
        done = await self._changed(step, CallClass.DESTROY)
        record = self.context.run.records[command.step]
        if record.doubt:
            done = await self._settled(step, done, self.context.since(record.doubt_at))
        if isinstance(done, Created) and not done.ready:
            done = await self._started(step, self.context.timeout(command.step))
        if isinstance(done, Fault):
            return reports.UndoReport(command.step, command.attempt, done)
        address = done.address if isinstance(done, Created) else ""
        return reports.UndoReport(command.step, command.attempt, None, isinstance(done, Gone), address)

    async def _settled(self, step: Step, done: Created | Gone | Fault, since: float) -> Created | Gone | Fault:
        """The answer once a stop that a dead process sent has had its effect: until then the server may look as if it
        ran on, and nobody would start it again.
        """
        context, provider = self.context, self.context.providers[step.provider]
        until = since + context.facts[step.provider].settle_seconds
        while isinstance(done, Created) and context.clock.now() < until:
            await context.clock.sleep(provider.capabilities.poll_seconds)
            look = await context.looks.look(provider, lambda: provider.describe([step.ref]))
            if isinstance(look, Unknown):
                return trouble(look)
            if look[step.ref].state is not ServerState.READY:
                done = await self._changed(step, CallClass.DESTROY)
        return done

    async def _started(self, step: Step, limit: float) -> Created | Gone | Fault:
        """Wait until the server that was changed back is ready: an undo has no step of its own for that."""
        context, provider = self.context, self.context.providers[step.provider]
        began = context.clock.monotonic()
        while context.clock.monotonic() - began < limit:
            look = await context.looks.look(provider, lambda: provider.describe([step.ref]))
            if isinstance(look, Unknown):
                return trouble(look)
            seen = look[step.ref]
            if seen.state is ServerState.READY:
                return Created(step.ref, ready=True, address=seen.address)
            if seen.state is ServerState.GONE:
                return Gone()
            if seen.state is ServerState.BROKEN:
                return seen.fault or Fault(FaultClass.TRANSIENT, "the server started in a failed state")
            await context.clock.sleep(provider.capabilities.poll_seconds)
        return Fault(FaultClass.TIMEOUT, f"server {step.ref} was not ready in time after it was changed back")

    async def _undo(self, step: Step, record: StepFoldState, i: int) -> Fault | None:
        refs = [ref for ref in (record.ref, record.stale) if ref]
        if record.doubt:
            found = await self._find_doubtful(step, record, i)
            if isinstance(found, Unknown):
                return trouble(found)
            refs += [ref for ref in found if ref not in refs]
        for ref in refs:
            fault = await self.context.destroy(step.provider, ref)
            if fault is not None:
                return fault
        return None

    async def _find_doubtful(self, step: Step, record: StepFoldState, i: int) -> list[str] | Unknown:
        """What a call in doubt made, looked for until the settle time has passed."""
        context = self.context
        provider = context.providers[step.provider]
        until = self._settled_at(step, record)
        while True:
            began = context.clock.now()
            found = await context.find(provider, context.run.token(i))
            if isinstance(found, Unknown):
                return found
            if found or began >= until:
                return [observed.ref for observed in found]
            await context.clock.sleep(provider.capabilities.poll_seconds)
