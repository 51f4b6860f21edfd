"""Commands of a run to calls of the launcher port: what surrounds a program, and what it is told of its servers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from functools import partial

from batchwright.commands.base import CommandServer, Launch, Launcher, Tell
from batchwright.engine import effects as cmd
from batchwright.engine.output import OutputBuffer
from batchwright.engine.poller import Send
from batchwright.engine.port_calls import trouble
from batchwright.engine.read_retry import ReadRetry
from batchwright.engine.server_removal import Hold
from batchwright.model.clock import Clock
from batchwright.model.lifecycle import StepState
from batchwright.model.outcome import Applied, Fault, FaultClass, Rejected, Unknown
from batchwright.model.plan import CommandRequest, ServerRequest, Step
from batchwright.model.run import Run
from batchwright.providers.base import Provider

LOOK_SECONDS = 30.0  # until it must be known whether something still runs
REACH_SECONDS = 60.0  # until a provider must have said how its servers are reached
GRACE = 30.0  # seconds beyond its limit for a launcher to end by itself what it began

Ask = Callable[..., Awaitable[object]]


class ProgramSteps:
    """Starts the programs of one run. `ask` makes a call of a port under a limit; what it raises is Unknown.

    `launchers` are by the provider of the server a program runs on, "" for this machine.
    """

    def __init__(
        self,
        run: Run,
        providers: Mapping[str, Provider],
        launchers: Mapping[str, Launcher],
        clock: Clock,
        send: Send,
        ask: Ask,
        looks: ReadRetry,
    ) -> None:
        self._run = run
        self._providers = providers
        self._launchers = launchers
        self._clock = clock
        self._send = send
        self._ask = ask
        self._looks = looks
        self._flying: set[tuple[int, int, bool]] = set()

    def begin(self, command: cmd.Execute | cmd.Destroy) -> bool:
        """Whether this start is not under way already: a command may be carried out twice, a program may not."""
        key = (command.step, command.attempt, isinstance(command, cmd.Destroy))
        if key in self._flying:
            return False
        self._flying.add(key)
        return True

    async def launch(self, command: cmd.Execute | cmd.Destroy, hold: Hold) -> Applied | Rejected | Unknown:
        """Run the step's program or undo, and pass on what it says; `hold` raises when the run is no longer ours."""
        i, attempt, undo = command.step, command.attempt, isinstance(command, cmd.Destroy)
        step, record = self._run.plan.steps[i], self._run.records[i]
        assert isinstance(step.request, CommandRequest)
        voice = OutputBuffer(self._clock, lambda lines: self._send(cmd.Said(i, attempt, lines, undo)))
        surrounds = await self._surrounds(i, voice.hear, undo=undo, again=record.doubt or (undo and attempt > 1))
        try:
            if isinstance(surrounds, Unknown):  # nothing was started
                return Rejected(trouble(surrounds))
            limit = surrounds.seconds + GRACE
            await hold()  # after the looks above, which may take long
            outcome = await self._ask(limit, self._launcher(step).launch(step.request, surrounds))
            assert isinstance(outcome, Applied | Rejected | Unknown)
            return outcome
        finally:
            voice.close()
            self._flying.discard((i, attempt, undo))

    async def settle(self, command: cmd.Settle) -> None:
        """Say what can be seen of a start that nobody heard the end of. How far it got, only its user can tell."""
        i = command.step
        words = "it was in flight when the process that drove the run went"
        surrounds = await self._surrounds(i, lambda _line: None, undo=False, again=True)
        if not isinstance(surrounds, Unknown):
            launcher = self._launcher(self._run.plan.steps[i])
            seen = await self._ask(LOOK_SECONDS, launcher.left_over(surrounds))
            words += f"; {seen}" if isinstance(seen, str) and seen else ""
        self._send(cmd.Settled(i, command.attempt, fault=Fault(FaultClass.IN_DOUBT, words)))

    def _launcher(self, step: Step) -> Launcher:
        return self._launchers[self._run.plan.steps[self._run.index[step.server]].provider if step.server else ""]

    async def _surrounds(self, i: int, tell: Tell, *, undo: bool, again: bool) -> Launch | Unknown:
        run, step = self._run, self._run.plan.steps[i]
        known = await self._servers(i)
        if isinstance(known, Unknown):
            return known
        return Launch(
            run=run.id,
            step=step.id,
            mark=run.token(i),
            undo=undo,
            again=again,
            seconds=run.plan.operations[run.step_operation[i]].timeout,
            on=known.get(step.server),
            servers=tuple(known.values()),
            tell=tell,
        )

    async def _servers(self, i: int) -> dict[str, CommandServer] | Unknown:
        """The servers of all operations that the step's operation depends on, by step, with how they are reached.

        Of a program that runs on a server only that one: it is told of no other.
        """
        run, before, only = self._run, self._before(i), self._run.plan.steps[i].server
        wanted: dict[str, list[tuple[Step, str, str]]] = {}
        for step, record in zip(run.plan.steps, run.records, strict=True):
            meant = step.id == only if only else step.operation in before
            there = record.state is StepState.SUCCEEDED and record.ref
            if meant and there and isinstance(step.request, ServerRequest):
                wanted.setdefault(step.provider, []).append((step, record.ref, record.address))
        found: dict[str, CommandServer] = {}
        for name, rows in wanted.items():
            provider, refs = self._providers[name], [ref for _, ref, _ in rows]
            access = await self._looks.look(provider, partial(provider.access, refs), limit=REACH_SECONDS)
            if isinstance(access, Unknown):
                return access
            for step, ref, address in rows:
                assert isinstance(step.request, ServerRequest)
                request = step.request
                found[step.id] = CommandServer(request.name, address, name, request.zone, access.get(ref))
        return {step.id: found[step.id] for step in run.plan.steps if step.id in found}

    def _before(self, i: int) -> set[str]:
        operations = {op.id: op for op in self._run.plan.operations}
        before: set[str] = set()
        waiting = [self._run.plan.steps[i].operation]
        while waiting:
            fresh = {edge.id for edge in operations[waiting.pop()].dependencies} - before
            before |= fresh
            waiting += fresh
        return before
