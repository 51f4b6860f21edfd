"""Simulated process deaths: wrappers of the ports that count every call and stop just before or after the n-th.

All wrappers of one 'process' share one CrashPoint, so its calls are numbered over all ports in the order they are made.
Once it is dead every further call raises ProcessDied, and so does a call in progress when its answer comes: its effect
is real, but the process never learns of it. Run with `CrashPoint()` first to count the calls.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from enum import StrEnum
from functools import partial
from typing import NoReturn, ParamSpec, TypeVar

from batchwright.commands.base import Launch, Launcher
from batchwright.journal.base import ArchivedRun, Head, Journal, Lease, Snapshot, Turn, UnusedSpace
from batchwright.journal.event_rows import EventRow
from batchwright.journal.high_water_mark import Loss
from batchwright.journal.lease_holder import LEASE_SECONDS, HeldLease
from batchwright.model.call_outcome import Applied, CheckResult, Created, Going, Gone, Observed, Rejected, Unknown
from batchwright.model.delivery import Delivery
from batchwright.model.diagnostic import Diagnostic
from batchwright.model.environment import Enter, Environment, EnvironmentKey, Resource
from batchwright.model.events import AnyEvent, RunCreated
from batchwright.model.ids import Token
from batchwright.model.run_signal import Signal
from batchwright.model.run_summary import RunSummary
from batchwright.model.ssh_access import SshAccess
from batchwright.model.update_behavior import FieldWay
from batchwright.model.workflow import ServerConfig
from batchwright.operations.check import CheckRequest
from batchwright.operations.command import Command, CommandRequest
from batchwright.operations.server_batch import ServerRequest
from batchwright.operations.taskserv_batch import TaskservRequest
from batchwright.probes.base import ProbeContext, Prober
from batchwright.providers.base import (
    AnswersWaysTogether,
    ChangesServers,
    Provider,
    ProviderHealthReport,
    Quota,
    Quote,
    ways_of,
)
from batchwright.taskservs.base import NO_JOB, Runner, Target, TaskservCall

T = TypeVar("T")
P = ParamSpec("P")


class ProcessDied(BaseException):
    """The process is dead. Like KeyboardInterrupt, it must not be caught as an ordinary error."""


class When(StrEnum):
    """On which side of the call the process dies."""

    BEFORE = "before"  # the call is not sent
    AFTER = "after"  # the call took effect, but its answer is lost


class CrashPoint:
    """Dies at the n-th call, counted from 1; without n it never dies and only counts."""

    def __init__(self, n: int | None = None, when: When = When.BEFORE) -> None:
        self.n, self.when = n, when
        self.calls: list[str] = []
        self.dead = False

    @property
    def count(self) -> int:
        """How many calls were made, including the one it died at."""
        return len(self.calls)

    def __str__(self) -> str:
        about = self.calls[self.n - 1] if self.n and self.n <= self.count else "not reached"
        return f"{self.when} call {self.n} ({about})" if self.n else f"no crash in {self.count} calls"

    def check(self) -> None:
        """Raise ProcessDied if the process is dead."""
        if self.dead:
            raise ProcessDied(str(self))

    def die(self) -> NoReturn:
        """Die now: this call and all later ones raise ProcessDied."""
        self.dead = True
        raise ProcessDied(str(self))

    async def guard(self, label: str, call: Callable[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs) -> T:
        """Make one call of a port, or die at it."""
        self.check()
        self.calls.append(label)
        mine = self.count == self.n
        if mine and self.when is When.BEFORE:
            self.die()
        try:
            answer = await call(*args, **kwargs)
        except BaseException as error:
            if mine:
                self.die()
            if isinstance(error, Exception):  # a dead process sees no errors, but can be cancelled
                self.check()
            raise
        if mine:
            self.die()
        self.check()
        return answer


class CrashingJournal:
    """A Journal in a process that dies."""

    def __init__(self, inner: Journal, point: CrashPoint) -> None:
        self.name, self._inner, self._point = inner.name, inner, point

    async def open(self, *, behind: bool = False) -> None:
        await self._point.guard("journal.open", partial(self._inner.open, behind=behind))

    async def aclose(self) -> None:
        await self._point.guard("journal.aclose", self._inner.aclose)

    async def create(
        self, event: RunCreated, summary: RunSummary, page: EventRow | None = None, *, enter: Enter | None = None
    ) -> None:
        create = partial(self._inner.create, enter=enter)
        await self._point.guard("journal.create", create, event, summary, page)

    async def append(
        self,
        lease: Lease,
        after: int,
        events: Sequence[AnyEvent],
        summary: RunSummary | None = None,
        *,
        turn: Turn | None = None,
    ) -> int:
        label = "journal.append " + " ".join(type(event).__name__ for event in events)
        append = partial(self._inner.append, turn=turn)
        return await self._point.guard(label, append, lease, after, events, summary)

    async def environment(self, key: EnvironmentKey) -> Environment | None:
        return await self._point.guard("journal.environment", self._inner.environment, key)

    async def environments(self) -> list[Environment]:
        return await self._point.guard("journal.environments", self._inner.environments)

    async def resources(self, key: EnvironmentKey) -> list[Resource]:
        return await self._point.guard("journal.resources", self._inner.resources, key)

    async def newest_runs(self) -> list[RunSummary]:
        return await self._point.guard("journal.newest_runs", self._inner.newest_runs)

    async def all_resources(self) -> list[tuple[EnvironmentKey, Resource]]:
        return await self._point.guard("journal.all_resources", self._inner.all_resources)

    async def base_resources(self, key: EnvironmentKey) -> list[Resource]:
        return await self._point.guard("journal.base_resources", self._inner.base_resources, key)

    async def write_environment(
        self,
        seen: Environment | None,
        row: Environment,
        resources: Sequence[Resource] | None = None,
        *,
        base: Sequence[Resource] | None = None,
    ) -> None:
        write = partial(self._inner.write_environment, base=base)
        await self._point.guard("journal.write_environment", write, seen, row, resources)

    async def archive(self, runs: Sequence[ArchivedRun]) -> None:
        await self._point.guard("journal.archive", self._inner.archive, runs)

    async def put_back(self, run: str, pages: Sequence[EventRow]) -> None:
        await self._point.guard("journal.put_back", self._inner.put_back, run, pages)

    async def unarchive(self, summary: RunSummary, signals: Sequence[Signal] = ()) -> None:
        await self._point.guard("journal.unarchive", self._inner.unarchive, summary, signals)

    async def compact(self) -> UnusedSpace:
        return await self._point.guard("journal.compact", self._inner.compact)

    async def deliveries(self, run: str = "") -> list[Delivery]:
        return await self._point.guard("journal.deliveries", self._inner.deliveries, run)

    async def pending_deliveries(self) -> list[Delivery]:
        return await self._point.guard("journal.pending_deliveries", self._inner.pending_deliveries)

    async def write_delivery(self, seen: Delivery | None, row: Delivery) -> None:
        await self._point.guard("journal.write_delivery", self._inner.write_delivery, seen, row)

    async def read(self, run: str, after: int = 0, limit: int = 10_000) -> list[tuple[int, AnyEvent]]:
        return await self._point.guard("journal.read", self._inner.read, run, after, limit)

    async def copy(self, lease: Lease, pages: Sequence[EventRow]) -> int:
        return await self._point.guard("journal.copy", self._inner.copy, lease, pages)

    async def pages(self, run: str, after: int = 0, limit: int = 10_000) -> list[EventRow]:
        return await self._point.guard("journal.pages", self._inner.pages, run, after, limit)

    async def head(self, run: str) -> Head:
        return await self._point.guard("journal.head", self._inner.head, run)

    async def runs(self) -> list[str]:
        return await self._point.guard("journal.runs", self._inner.runs)

    async def losses(self) -> list[Loss]:
        return await self._point.guard("journal.losses", self._inner.losses)

    async def accept_loss(self) -> None:
        await self._point.guard("journal.accept_loss", self._inner.accept_loss)

    async def summaries(self) -> list[RunSummary]:
        return await self._point.guard("journal.summaries", self._inner.summaries)

    async def summary(self, run: str) -> RunSummary:
        return await self._point.guard("journal.summary", self._inner.summary, run)

    async def save_snapshot(self, lease: Lease, snapshot: Snapshot) -> None:
        await self._point.guard("journal.save_snapshot", self._inner.save_snapshot, lease, snapshot)

    async def snapshot(self, run: str) -> Snapshot | None:
        return await self._point.guard("journal.snapshot", self._inner.snapshot, run)

    async def acquire(
        self, run: str, holder: str, now: float, ttl: float = LEASE_SECONDS, *, silent: HeldLease | None = None
    ) -> Lease:
        return await self._point.guard("journal.acquire", self._inner.acquire, run, holder, now, ttl, silent=silent)

    async def renew(self, lease: Lease, now: float, ttl: float = LEASE_SECONDS) -> Lease:
        return await self._point.guard("journal.renew", self._inner.renew, lease, now, ttl)

    async def release(self, lease: Lease) -> None:
        await self._point.guard("journal.release", self._inner.release, lease)

    async def held(self, run: str) -> HeldLease | None:
        return await self._point.guard("journal.held", self._inner.held, run)

    async def signal(self, run: str, signal: Signal) -> None:
        await self._point.guard("journal.signal", self._inner.signal, run, signal)

    async def signals(self, run: str, after: int = 0) -> list[tuple[int, Signal]]:
        return await self._point.guard("journal.signals", self._inner.signals, run, after)


class CrashingProvider:
    """A Provider in a process that dies. `validate` and `ways` do no I/O and are not counted."""

    def __init__(self, inner: Provider, point: CrashPoint) -> None:
        self.name, self.capabilities = inner.name, inner.capabilities
        self._inner, self._point = inner, point

    def validate(self, config: ServerConfig) -> list[Diagnostic]:
        self._point.check()
        return self._inner.validate(config)

    async def open(self) -> None:
        await self._point.guard(f"{self.name}.open", self._inner.open)

    async def aclose(self) -> None:
        await self._point.guard(f"{self.name}.aclose", self._inner.aclose)

    async def account(self) -> str:
        return await self._point.guard(f"{self.name}.account", self._inner.account)

    async def health(self) -> ProviderHealthReport:
        return await self._point.guard(f"{self.name}.health", self._inner.health)

    async def quota(self) -> Quota:
        return await self._point.guard(f"{self.name}.quota", self._inner.quota)

    async def quote(self, requests: Sequence[ServerRequest]) -> Quote | None:
        return await self._point.guard(f"{self.name}.quote", self._inner.quote, requests)

    async def resolve(self, configs: Sequence[ServerConfig]) -> list[ServerRequest | list[Diagnostic]]:
        return await self._point.guard(f"{self.name}.resolve", self._inner.resolve, configs)

    async def quota_after(self, requests: Sequence[ServerRequest]) -> list[Diagnostic]:
        return await self._point.guard(f"{self.name}.quota_after", self._inner.quota_after, requests)

    async def create(self, request: ServerRequest, token: Token) -> Created | Rejected | Unknown:
        return await self._point.guard(f"{self.name}.create {request.name}", self._inner.create, request, token)

    async def find(self, run: str | None = None, token: str | None = None) -> list[Observed]:
        return await self._point.guard(f"{self.name}.find", self._inner.find, run, token)

    async def describe(self, refs: Sequence[str]) -> dict[str, Observed]:
        return await self._point.guard(f"{self.name}.describe", self._inner.describe, refs)

    async def access(self, refs: Sequence[str]) -> dict[str, SshAccess]:
        return await self._point.guard(f"{self.name}.access", self._inner.access, refs)

    async def destroy(self, ref: str) -> Gone | Going | Rejected | Unknown:
        return await self._point.guard(f"{self.name}.destroy {ref}", self._inner.destroy, ref)

    def ways(self, observed: Observed, request: ServerRequest) -> Mapping[str, FieldWay]:
        self._point.check()
        return ways_of(self._inner, observed, request)

    async def ways_of_each(self, pairs: Sequence[tuple[Observed, ServerRequest]]) -> Sequence[Mapping[str, FieldWay]]:
        if isinstance(self._inner, AnswersWaysTogether):
            return await self._point.guard(f"{self.name}.ways_of_each", self._inner.ways_of_each, pairs)
        return [self.ways(observed, request) for observed, request in pairs]

    async def change(
        self, ref: str, request: ServerRequest, before: ServerRequest
    ) -> Created | Going | Rejected | Unknown:
        assert isinstance(self._inner, ChangesServers), f"{self.name} changes no servers: its ways say so"
        return await self._point.guard(f"{self.name}.change {ref}", self._inner.change, ref, request, before)


class CrashingRunner:
    """A Runner in a process that dies."""

    def __init__(self, inner: Runner, point: CrashPoint) -> None:
        self._inner, self._point = inner, point

    async def install(
        self, request: TaskservRequest, target: Target, job: TaskservCall = NO_JOB
    ) -> Applied | Rejected | Unknown:
        label = f"install {request.name} on {target.name}"
        return await self._point.guard(label, self._inner.install, request, target, job)

    async def installed(self, target: Target) -> tuple[str, ...]:
        return await self._point.guard(f"look what is on {target.name}", self._inner.installed, target)

    async def preview(self, request: TaskservRequest, target: Target, job: TaskservCall = NO_JOB) -> tuple[str, ...]:
        return await self._point.guard(f"preview on {target.name}", self._inner.preview, request, target, job)

    async def check(
        self, request: TaskservRequest, target: Target, job: TaskservCall = NO_JOB
    ) -> tuple[CheckResult, ...]:
        return await self._point.guard(f"check on {target.name}", self._inner.check, request, target, job)

    async def remove(
        self, request: TaskservRequest, target: Target, job: TaskservCall = NO_JOB
    ) -> Applied | Rejected | Unknown:
        label = f"remove {request.name} from {target.name}"
        return await self._point.guard(label, self._inner.remove, request, target, job)


class CrashingLauncher:
    """A Launcher in a process that dies."""

    def __init__(self, inner: Launcher, point: CrashPoint) -> None:
        self._inner, self._point = inner, point

    async def resolve(self, command: Command, folder: str = "") -> CommandRequest | list[Diagnostic]:
        return await self._point.guard(f"resolve {command.id}", self._inner.resolve, command, folder)

    async def launch(self, request: CommandRequest, launch: Launch) -> Applied | Rejected | Unknown:
        label = f"{'undo' if launch.undo else 'run'} {launch.step}"
        return await self._point.guard(label, self._inner.launch, request, launch)

    async def left_over(self, launch: Launch) -> str:
        return await self._point.guard(f"look for {launch.step}", self._inner.left_over, launch)


class CrashingProber:
    """A Prober in a process that dies."""

    def __init__(self, inner: Prober, point: CrashPoint) -> None:
        self._inner, self._point = inner, point

    async def probe(self, request: CheckRequest, context: ProbeContext) -> CheckResult | Rejected:
        return await self._point.guard(f"look at {context.step}", self._inner.probe, request, context)
