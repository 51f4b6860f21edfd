"""Programs: run them on this machine or on servers, with their environment and what they may know about servers."""

from __future__ import annotations

from functools import partial

from msgspec.structs import replace

from batchwright.commands.base import CommandServer, Launch, Launcher, Tell
from batchwright.engine import effects, reports
from batchwright.engine.handler_context import HandlerContext
from batchwright.engine.handlers.base import Handler
from batchwright.engine.port_calls import trouble, unmade
from batchwright.model.call_outcome import Applied, Rejected, Unknown
from batchwright.model.fault import Fault, FaultClass
from batchwright.model.lifecycle import StepState
from batchwright.model.plan import Step
from batchwright.model.remote_place import port_key
from batchwright.model.run import StepFoldState
from batchwright.operations.command import CommandRequest
from batchwright.operations.server_batch import ServerRequest

LOOK_SECONDS = 30.0  # until it must be known whether something still runs
REACH_SECONDS = 60.0  # until a provider must have said how its servers are reached
GRACE = 30.0  # seconds beyond its limit for a launcher to end by itself what it began


class CommandHandler(Handler):
    """Calls the launcher of this machine, or that of the provider whose server runs the program."""

    def __init__(self, context: HandlerContext) -> None:
        super().__init__(context)
        self._flying: set[tuple[int, int, bool]] = set()

    async def do(self, command: effects.DoStep) -> reports.CallReport | None:
        """Run the program, after ending what an earlier start of it left running."""
        outcome = await self._launch(command)
        return None if outcome is None else reports.CallReport(command.step, command.attempt, outcome)

    async def undo(self, command: effects.UndoStep) -> reports.UndoReport | None:
        """Run the undo program of the command."""
        outcome = await self._launch(command)
        return None if outcome is None else await self.context.undone(command, unmade(outcome))

    async def _launch(self, command: effects.DoStep | effects.UndoStep) -> Applied | Rejected | Unknown | None:
        """Run the step's program or undo. None if this start is under way already: it must not run twice."""
        context, i, attempt = self.context, command.step, command.attempt
        undo = isinstance(command, effects.UndoStep) or context.step(i).retired is not None
        if (i, attempt, undo) in self._flying:
            return None
        self._flying.add((i, attempt, undo))
        request, record = self._request(i), context.run.records[i]
        output = context.output(command)
        try:
            again = record.doubt or (undo and attempt > 1) or (context.step(i).traits.removes and record.attempt > 0)
            outcome = await self.run(i, request, context.timeout(i), output.hear, undo=undo, again=again)
            if isinstance(outcome, Unknown) and not undo and not request.idempotent:
                return await self._done(i, request) or outcome
            return outcome
        finally:
            output.close()
            self._flying.discard((i, attempt, undo))

    def _request(self, i: int) -> CommandRequest:
        request = self.context.run.request(i)
        assert isinstance(request, CommandRequest)
        return request.written(self.context.own_values(i))

    async def run(
        self,
        i: int,
        request: CommandRequest,
        seconds: float,
        tell: Tell,
        *,
        undo: bool = False,
        again: bool = False,
        mark: str = "",
        only_unless: bool = False,
    ) -> Applied | Rejected | Unknown:
        """Run a program of a step to its end, or to that of its time; `again`: an earlier start may still run.

        The request has its values already. `mark` marks its processes; default: the step's token.
        """
        surrounds = await self._surrounds(i, seconds, tell, undo=undo, again=again, mark=mark)
        if isinstance(surrounds, Unknown):  # nothing was started
            return Rejected(trouble(surrounds))
        await self.context.hold()  # after the looks above, which may take long
        step = self.context.step(i)
        launch = replace(surrounds, only_unless=only_unless)
        launched = self._launcher(step).launch(self._located(step, request), launch)
        return await self.context.ask(launch.seconds + GRACE, launched)

    async def settle(self, command: effects.Settle | effects.DoStep) -> reports.SettleReport | reports.CallReport:
        """Report what can be seen of a start whose end was not reported.

        Its `unless` may say that it is done. Otherwise only the user can tell how far it got.
        """
        i = command.step
        words = "it was in flight when the process that drove the run ended"
        surrounds = await self._surrounds(i, self.context.timeout(i), lambda _line: None, undo=False, again=True)
        if not isinstance(surrounds, Unknown):
            seen = await self.context.ask(LOOK_SECONDS, self._launcher(self.context.step(i)).left_over(surrounds))
            words += f"; {seen}" if isinstance(seen, str) and seen else ""
            done = await self._done(i, self._request(i)) if seen == "" else None
            if done is not None:
                return reports.CallReport(i, command.attempt, done)
        return reports.SettleReport(i, command.attempt, fault=Fault(FaultClass.IN_DOUBT, words))

    async def _done(self, i: int, request: CommandRequest) -> Applied | None:
        """The outcome of a start in doubt, if the step's `unless` says that nothing is left to do."""
        if not request.unless:
            return None
        outcome = await self.run(i, request, self.context.timeout(i), lambda _line: None, only_unless=True)
        return outcome if isinstance(outcome, Applied) else None

    def _located(self, step: Step, request: CommandRequest) -> CommandRequest:
        """The request with the absolute folder of a program on this machine; a plan has none, and a place its own."""
        inputs = self.context.run.created.inputs
        if inputs is None or step.server or request.at:
            return request
        return replace(request, directory=inputs.directory(request.directory))

    def _launcher(self, step: Step) -> Launcher:
        run = self.context.run
        provider = run.steps[run.index[step.server]].provider if step.server else ""
        return self.context.launchers[port_key(provider, step.request.at)]

    async def _surrounds(
        self, i: int, seconds: float, tell: Tell, *, undo: bool, again: bool, mark: str = ""
    ) -> Launch | Unknown:
        run, step = self.context.run, self.context.step(i)
        known = await self._servers(i)
        if isinstance(known, Unknown):
            return known
        return Launch(
            run=run.id,
            step=step.id,
            mark=mark or run.token(i),
            undo=undo,
            again=again,
            seconds=seconds,
            on=known.get(step.server),
            servers=tuple(known.values()),
            tell=tell,
        )

    async def _servers(self, i: int) -> dict[str, CommandServer] | Unknown:
        """The servers of all operations that the step's operation depends on, by step, with how they are reached.

        How this machine reaches them is of no use to a program on a server: there only the way to that one is asked.
        """
        run, before, only = self.context.run, self._before(i), self.context.step(i).server
        wanted: dict[str, list[tuple[Step, StepFoldState]]] = {}
        for step, record in zip(run.steps, run.records, strict=True):
            meant = step.id == only or step.operation in before
            there = record.state is StepState.SUCCEEDED and record.ref
            if meant and there and isinstance(step.request, ServerRequest):
                wanted.setdefault(step.provider, []).append((step, record))
        found: dict[str, CommandServer] = {}
        for name, rows in wanted.items():
            provider = self.context.providers[name]
            refs = [record.ref for step, record in rows if only in ("", step.id)]
            asked = partial(provider.access, refs)
            access = await self.context.looks.look(provider, asked, limit=REACH_SECONDS) if refs else {}
            if isinstance(access, Unknown):
                return access
            for step, record in rows:
                assert isinstance(step.request, ServerRequest)
                request = step.request
                way = self.context.access(step, record, access)
                found[step.id] = CommandServer(request.name, record.address, name, request.zone, way)
        return {step.id: found[step.id] for step in run.plan.steps if step.id in found}

    def _before(self, i: int) -> set[str]:
        operations = {op.id: op for op in self.context.run.plan.operations}
        before: set[str] = set()
        waiting = [self.context.step(i).operation]
        while waiting:
            fresh = {edge.id for edge in operations[waiting.pop()].dependencies} - before
            before |= fresh
            waiting += fresh
        return before
