"""What the handlers of one run share: its ports, called within its limits and only while this process drives it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Mapping
from functools import partial
from typing import Any, TypeVar

from msgspec.structs import replace

from batchwright.commands.base import Launcher
from batchwright.engine import effects, reports
from batchwright.engine.limits import CallClass, Limits, calls_of
from batchwright.engine.output_buffer import OutputBuffer
from batchwright.engine.poller import Fail, Poller, Send
from batchwright.engine.port_calls import answer
from batchwright.engine.read_retry import ReadRetry
from batchwright.engine.server_convergence import Hold, ServerConvergence
from batchwright.model.call_outcome import Observed, Rejected, ServerState, Throttled, Unknown
from batchwright.model.clock import Clock
from batchwright.model.fault import Fault, FaultClass
from batchwright.model.plan import ProviderFacts, Retired, Step
from batchwright.model.run import Run, StepFoldState
from batchwright.model.ssh_access import SshAccess
from batchwright.model.templates import Values
from batchwright.operations.server_login import login_of
from batchwright.probes.base import Prober
from batchwright.providers.base import Provider
from batchwright.taskservs.base import Runner

T = TypeVar("T")
CreateCheck = Callable[[Step], Fault | None]  # why a server must not be created now
KeyFile = Callable[[str], str]


def no_key_file(public: str) -> str:
    """For runs whose servers all let in their run's own key. Raises LookupError."""
    raise LookupError(public)


class HandlerContext:
    """What the handlers of one run share.

    Reports go to `send`, unexpected errors to `fail`. `hold` is awaited just before every call that changes something,
    and raises if this process no longer drives the run. `launchers` are by the provider of the server that runs a
    program, "" for this machine. `check_create` is asked just before a server is created. `key_file` gives the file
    with which a public key logs in. `prober` looks at what answers over the network.
    """

    def __init__(
        self,
        run: Run,
        providers: Mapping[str, Provider],
        runners: Mapping[str, Runner],
        launchers: Mapping[str, Launcher],
        limits: Limits,
        clock: Clock,
        send: Send,
        fail: Fail,
        hold: Hold,
        check_create: CreateCheck = lambda _: None,
        key_file: KeyFile = no_key_file,
        prober: Prober | None = None,
    ) -> None:
        self.run = run
        self.providers = providers
        self.runners = runners
        self.launchers = launchers
        self.limits = limits
        self.clock = clock
        self.send = send
        self.hold = hold
        self.check_create = check_create
        self.prober = prober
        self._key_file = key_file
        self.looks = ReadRetry(clock)
        self.facts = {facts.name: _settled(facts, providers.get(facts.name)) for facts in run.plan.providers}
        self._fail = fail
        self._admitted: dict[int, tuple[str, CallClass]] = {}  # the lane, and the class of the call
        self._pollers: dict[str, Poller] = {}

    def step(self, i: int) -> Step:
        """A step of the plan, at the place where its server is created."""
        return self.run.steps[i]

    def own_values(self, i: int) -> Values:
        """What the references to the server that a step works on stand for; none for what runs on this machine."""
        server = self.step(i).server
        if not server:
            return {}
        record = self.run.record(server)
        return {"server.name": self.step(self.run.index[server]).request.name, "server.address": record.address}

    def timeout(self, i: int) -> float:
        """Seconds that a step may take."""
        return self.run.plan.operations[self.run.step_operation[i]].timeout

    def since(self, doubt_at: float) -> float:
        """When a settle time begins; for a call of another process, now, since this one has seen nothing of it."""
        return max(doubt_at, self.run.driven_at)

    def settled_at(self, lane: str, doubt_at: float, *, ended: bool) -> float:
        """When a call in doubt has certainly taken effect, if it ever does. `ended`: whoever sent it saw its end."""
        seconds = self.facts[lane].settle_seconds
        if ended:  # a call whose caller died may go on for longer than others
            seconds -= self.providers[lane].capabilities.outlives_seconds
        return self.since(doubt_at) + seconds

    # -- permits ------------------------------------------------------------------------------------------------

    def admit(self, command: effects.DoStep | effects.UndoStep) -> None:
        """Take the permit that the command needs. It is returned once: after the call, or on close."""
        if command.step not in self._admitted:
            calls = CallClass.DESTROY if isinstance(command, effects.UndoStep) else CallClass.CREATE
            admitted = self._admitted[command.step] = self.run.lane(command.step), calls
            self.limits.take(*admitted)

    def admitted(self, step: int) -> bool:
        """Whether the step holds a permit."""
        return step in self._admitted

    def release(self, step: int) -> None:
        """Return a step's permit, if it holds one."""
        if step in self._admitted:
            self.limits.release(*self._admitted.pop(step))

    def heed(self, lane: str, calls: CallClass, outcome: object) -> None:
        """Let a throttle answer slow the lane's calls of this class."""
        bucket = self.limits.lanes[lane].buckets[calls]
        if isinstance(outcome, Throttled):
            bucket.throttled(self.clock.monotonic(), outcome.retry_after)
        elif isinstance(outcome, Rejected) and outcome.fault.kind is FaultClass.THROTTLE:
            bucket.throttled(self.clock.monotonic(), outcome.fault.retry_after)
        elif not isinstance(outcome, Unknown):
            bucket.answered(self.clock.monotonic())

    def access(self, server: Step, record: StepFoldState, told: Mapping[str, SshAccess]) -> SshAccess | None:
        """How to log in to the server of a step: what its provider told, by reference, with what runs recorded."""
        access = told.get(record.ref)
        return None if access is None else login_of(server, record).applied_to(access, self._key_file)

    # -- calls --------------------------------------------------------------------------------------------------

    def ask(self, limit: float, call: Coroutine[Any, Any, T]) -> Awaitable[T | Unknown]:
        """The answer of a port, or Unknown."""
        return answer(limit, call)

    def output(self, command: effects.DoStep | effects.UndoStep) -> OutputBuffer:
        """The buffer for a call's output lines. Close it when the call has ended."""
        i, attempt, undo = command.step, command.attempt, isinstance(command, effects.UndoStep)
        return OutputBuffer(self.clock, lambda lines: self.send(reports.OutputReport(i, attempt, lines, undo)))

    def poller(self, provider: str) -> Poller:
        """The poller that reads a provider for all steps of the run."""
        if provider not in self._pollers:
            known = {step.ref for step in self.run.plan.steps if step.ref}
            self._pollers[provider] = Poller(
                self.providers[provider], self.run.id, self.clock, self.looks, self.send, self._fail, known
            )
        return self._pollers[provider]

    async def find(self, provider: Provider, token: str | None = None) -> list[Observed] | Unknown:
        """Everything that carries the run's label, from a read that began now or later."""
        find, calls = partial(provider.find, self.run.id, token), calls_of(self.run)
        return await self.looks.look(provider, find, heed=lambda look: self.heed(provider.name, calls, look))

    async def destroy(self, name: str, ref: str, retired: Retired | None = None) -> Fault | None:
        """Destroy until gone, after a fresh read has shown that this run created it. None once it is certainly gone.

        What is `retired` was created by another run of the environment, whose label and token it must carry.
        """
        ours = self.run.made if retired is None else partial(carries, retired.run, retired.token)
        return await self.calls_to(name, ref, ours, CallClass.DESTROY).destroy()

    def calls_to(self, name: str, ref: str, ours: Callable[[Observed], bool], calls: CallClass) -> ServerConvergence:
        """Calls to one server, of which the step's permit covers the first."""
        sent = 0

        async def hold() -> None:
            nonlocal sent
            if sent:  # the further steps towards the end cannot wait for a permit, but count
                self.limits.lanes[name].buckets[calls].spend()
            sent += 1
            await self.hold()

        return ServerConvergence(
            self.providers[name],
            ref,
            ours,
            self.clock,
            self.looks,
            hold,
            lambda outcome: self.heed(name, calls, outcome),
        )

    async def undone(self, command: effects.UndoStep, fault: Fault | None) -> reports.UndoReport:
        """The end of an undo on a server. What was on a server that no longer exists is gone with it."""
        server = self.step(command.step).server
        if fault is None or not server:
            return reports.UndoReport(command.step, command.attempt, fault)
        on, ref = self.step(self.run.index[server]), self.run.record(server).ref
        gone = bool(ref) and await self._is_gone(self.providers[on.provider], ref)
        return reports.UndoReport(command.step, command.attempt, None if gone else fault, gone)

    async def _is_gone(self, provider: Provider, ref: str) -> bool:
        """Whether a fresh look shows that a server certainly no longer exists. False if nothing is certain."""
        began = self.clock.monotonic()
        while True:
            look = await self.looks.look(provider, lambda: provider.describe([ref]))
            if isinstance(look, Unknown) or look[ref].state is not ServerState.NOT_VISIBLE:
                return not isinstance(look, Unknown) and look[ref].state is ServerState.GONE
            if self.clock.monotonic() - began >= provider.capabilities.settle_seconds:
                return True
            await self.clock.sleep(provider.capabilities.poll_seconds)

    async def aclose(self) -> None:
        """Stop polling, and return the permits of commands that never began."""
        for poller in self._pollers.values():
            await poller.aclose()
        for step in tuple(self._admitted):
            self.release(step)


def _settled(facts: ProviderFacts, provider: Provider | None) -> ProviderFacts:
    """The facts of a plan; a provider that by now needs longer to settle, from a place, say, is given that time."""
    needed = 0.0 if provider is None else provider.capabilities.settle_seconds
    return replace(facts, settle_seconds=max(facts.settle_seconds, needed))


def carries(run: str, token: str, seen: Observed) -> bool:
    """Whether a server carries the labels of the run and the step that created it; it must have some."""
    return run != "" and (seen.run, seen.token or seen.made_with) == (run, token)
