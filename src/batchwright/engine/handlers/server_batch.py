"""Servers: create them with a token, find out what a lost call created, wait until they are ready, destroy them."""

from __future__ import annotations

from batchwright.engine import effects, reports
from batchwright.engine.handlers.base import Handler
from batchwright.engine.limits import CallClass
from batchwright.engine.port_calls import trouble, turn
from batchwright.model.call_outcome import Applied, Created, Rejected, Unknown
from batchwright.model.fault import Fault, FaultClass
from batchwright.model.ids import Token
from batchwright.model.plan import Guard, Step
from batchwright.model.run import StepFoldState
from batchwright.operations.server_batch import ServerRequest


class ServerHandler(Handler):
    """Calls the provider of each step."""

    async def do(self, command: effects.DoStep) -> reports.CallReport:
        """Send the create call, after destroying the unusable server of an earlier attempt."""
        calls, i = self.calls, command.step
        step, stale = calls.step(i), calls.run.records[i].stale
        if step.retired is not None:
            gone = await calls.destroy(step.provider, step.ref, step.retired)
            return reports.CallReport(i, command.attempt, Applied(changed=True) if gone is None else Rejected(gone))
        fault = await self._destroy_stale(step.provider, stale) if stale else None
        outcome = Rejected(fault) if fault else await self._create(step, i)
        if fault is not None and fault.kind is FaultClass.THROTTLE:  # it is a create that waits for its turn now
            calls.heed(step.provider, CallClass.CREATE, outcome)
        return reports.CallReport(i, command.attempt, outcome)

    async def _destroy_stale(self, provider: str, ref: str) -> Fault | None:
        self.calls.limits.lanes[provider].buckets[CallClass.DESTROY].spend()  # its create holds the place
        return await self.calls.destroy(provider, ref)

    async def _create(self, step: Step, i: int) -> Created | Rejected | Unknown:
        assert isinstance(step.request, ServerRequest)
        calls = self.calls
        provider, token = calls.providers[step.provider], Token(calls.run.id, calls.run.token(i))
        await calls.hold()
        outcome = await calls.ask(provider.capabilities.call_timeout, provider.create(step.request, token))
        calls.heed(step.provider, CallClass.CREATE, outcome)
        return outcome

    async def settle(self, command: effects.Settle | effects.DoStep) -> reports.CallReport | None:
        """Repeat the call if the provider takes a token, else look for the label until the settle time has passed."""
        calls, i = self.calls, command.step
        step = calls.step(i)
        facts, since = calls.facts[step.provider], calls.since(calls.run.records[i].doubt_at)
        if facts.guard is Guard.TOKEN:
            outcome = await self._resend(step, i)
            if isinstance(outcome, Created):
                return reports.CallReport(i, command.attempt, outcome)
            since = max(since, calls.clock.now())  # this call may be the one that takes effect late
        calls.release(i)  # to look takes no permit
        settle = effects.Settle(i, command.attempt)
        calls.poller(step.provider).look_for(settle, calls.run.token(i), since + facts.settle_seconds)
        return None

    async def _resend(self, step: Step, i: int) -> Created | Rejected | Unknown:
        calls = self.calls
        if calls.admitted(i):
            outcome = await self._create(step, i)
            calls.release(i)
            return outcome
        async with turn(calls.limits, step.provider, CallClass.CREATE, calls.clock):
            return await self._create(step, i)

    def wait(self, command: effects.Await) -> None:
        """Poll a server that was created or is kept."""
        self.calls.poller(self.calls.step(command.step).provider).wait_for(command)

    async def undo(self, command: effects.UndoStep) -> reports.UndoReport:
        """Destroy all that the step created: its server, an unusable one, and what a lost call may have created."""
        step, record = self.calls.step(command.step), self.calls.run.records[command.step]
        return reports.UndoReport(command.step, command.attempt, await self._undo(step, record, command.step))

    async def _undo(self, step: Step, record: StepFoldState, i: int) -> Fault | None:
        refs = [ref for ref in (record.ref, record.stale) if ref]
        if record.doubt:
            found = await self._find_doubtful(step, record, i)
            if isinstance(found, Unknown):
                return trouble(found)
            refs += [ref for ref in found if ref not in refs]
        for ref in refs:
            fault = await self.calls.destroy(step.provider, ref)
            if fault is not None:
                return fault
        return None

    async def _find_doubtful(self, step: Step, record: StepFoldState, i: int) -> list[str] | Unknown:
        """What a call in doubt made, looked for until the settle time has passed."""
        calls = self.calls
        provider = calls.providers[step.provider]
        until = calls.since(record.doubt_at) + calls.facts[step.provider].settle_seconds
        while True:
            began = calls.clock.now()
            found = await calls.find(provider, calls.run.token(i))
            if isinstance(found, Unknown):
                return found
            if found or began >= until:
                return [observed.ref for observed in found]
            await calls.clock.sleep(provider.capabilities.poll_seconds)
