"""Task services: install and remove them on servers that other steps created. A call in doubt is repeated."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from msgspec.structs import replace

from batchwright.engine import effects, reports
from batchwright.engine.handlers.base import Handler
from batchwright.engine.limits import CallClass
from batchwright.engine.port_calls import trouble, unmade
from batchwright.model.actions import Undo
from batchwright.model.call_outcome import Applied, Rejected, Unknown
from batchwright.model.plan import Request
from batchwright.model.remote_place import port_key
from batchwright.operations.taskserv_batch import TaskservRequest
from batchwright.taskservs.base import Runner, Target, TaskservCall

GRACE = 15.0  # seconds beyond its limit for a runner to end by itself what it began on a server

Apply = Callable[[TaskservRequest, Target, TaskservCall], Coroutine[Any, Any, Applied | Rejected | Unknown]]


def _install(runner: Runner) -> Apply:
    return runner.install


def _remove(runner: Runner) -> Apply:
    return runner.remove


class TaskservHandler(Handler):
    """Calls the runner of the provider that has the step's server."""

    async def do(self, command: effects.DoStep) -> reports.CallReport:
        """Install and start the task service, then run its checks; or remove it, if the step retires it."""
        step = self.context.step(command.step)
        verb = _remove if step.retired is not None else _install
        outcome = await self._apply(command, self.context.run.request(command.step), verb, CallClass.CREATE)
        return reports.CallReport(command.step, command.attempt, outcome)

    def wait(self, command: effects.Await) -> reports.ServerReport:
        """A task service that is kept is ready once its server is, on which this step waits."""
        return reports.ServerReport(command.step, command.attempt, command.ref)

    async def undo(self, command: effects.UndoStep) -> reports.UndoReport:
        """Remove the task service from its server, which stays, or install what was there before."""
        step, verb = self.context.step(command.step), _remove
        request = self.context.run.request(command.step)
        if step.undo is Undo.RESTORE:
            assert step.before is not None
            assert isinstance(step.before.request, TaskservRequest)
            assert isinstance(request, TaskservRequest)
            request, verb = replace(step.before.request, cluster=request.cluster), _install
        fault = unmade(await self._apply(command, request, verb, CallClass.DESTROY))
        return await self.context.undone(command, fault)

    async def _apply(
        self,
        command: effects.DoStep | effects.UndoStep,
        request: Request,
        verb: Callable[[Runner], Apply],
        kind: CallClass,
    ) -> Applied | Rejected | Unknown:
        """Install or remove, and pass on what that says.

        A cloud that does not say where its server is slows its own calls, and not those of the task services.
        """
        context, i = self.context, command.step
        step, limit = context.step(i), context.timeout(i)
        assert isinstance(request, TaskservRequest)
        cluster = request.cluster
        target = await self._reached(step.server, kind)
        leader: Target | Unknown | None = None
        if cluster is not None and cluster.leader != step.server:
            leader = await self._reached(cluster.leader, kind)
        if isinstance(target, Unknown):  # nothing was sent to the server
            return Rejected(trouble(target))
        if isinstance(leader, Unknown):
            return Rejected(trouble(leader))
        output = context.output(command)
        inputs = context.run.created.inputs
        folder = inputs.folder if inputs is not None else ""
        runner = context.runners[port_key(target.provider, request.at)]
        job = TaskservCall(context.run.token(i), limit, leader, output.hear, folder)
        await context.hold()  # after the looks above, which may take long
        try:
            outcome = await context.ask(limit + GRACE, verb(runner)(request, target, job))
        finally:
            output.close()
        context.heed(context.run.lane(i), kind, outcome)
        return outcome

    async def _reached(self, step: str, kind: CallClass) -> Target | Unknown:
        """The server that a step made, and how it is reached, as far as its provider says."""
        context = self.context
        server, record = context.step(context.run.index[step]), context.run.record(step)
        provider = context.providers[server.provider]
        access = await context.looks.look(
            provider, lambda: provider.access([record.ref]), heed=lambda look: context.heed(server.provider, kind, look)
        )
        if isinstance(access, Unknown):
            return access
        return Target(
            server.provider, record.ref, server.request.name, record.address, context.access(server, record, access)
        )
