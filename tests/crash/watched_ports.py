"""Ports of a process that may die, which see what it does to the world that must never be done."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from batchwright.journal.base import Journal, Lease
from batchwright.journal.lease_holder import LEASE_SECONDS, HeldLease
from batchwright.model.call_outcome import Applied, Created, Going, Gone, Observed, Rejected, ServerState, Unknown
from batchwright.model.ids import Token
from batchwright.operations.server_batch import ServerRequest
from batchwright.operations.taskserv_batch import TaskservRequest
from batchwright.providers.simulated import Simulated
from batchwright.taskservs.base import NO_JOB, Runner, Target, TaskservCall
from batchwright.testing.crash_points import CrashingJournal, CrashPoint, When

if TYPE_CHECKING:
    from tests.crash.environment_lives import EnvironmentLives, Process

T = TypeVar("T")
P = ParamSpec("P")


class Meanwhile(CrashPoint):
    """Does not die: at the n-th call, before or after it, another process does something, which the call waits for."""

    def __init__(self, n: int, when: When, other: Callable[[], Coroutine[Any, Any, None]]) -> None:
        super().__init__()
        self._at, self._side, self._other = n, when, other
        self.done: asyncio.Task[None] | None = None

    async def guard(self, label: str, call: Callable[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs) -> T:
        here = self.count + 1 == self._at and self.done is None
        if here and self._side is When.BEFORE:
            await self._wait()
        answer = await super().guard(label, call, *args, **kwargs)
        if here and self._side is When.AFTER:
            await self._wait()
        return answer

    async def _wait(self) -> None:
        self.done = asyncio.create_task(self._other())
        await asyncio.shield(self.done)  # who gives the call up does not end the other process


class DyingJournal(CrashingJournal):
    """Its process is one of another machine, so that the next one has to wait until it is silent."""

    def __init__(self, inner: Journal, point: CrashPoint, holder: str) -> None:
        super().__init__(inner, point)
        self._holder = holder

    async def acquire(
        self, run: str, holder: str, now: float, ttl: float = LEASE_SECONDS, *, silent: HeldLease | None = None
    ) -> Lease:
        return await super().acquire(run, self._holder, now, ttl, silent=silent)


class WatchedRunner:
    """Sees what is installed on which server."""

    def __init__(self, inner: Runner, lives: EnvironmentLives) -> None:
        self._inner, self._lives = inner, lives

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    async def install(
        self, request: TaskservRequest, target: Target, job: TaskservCall = NO_JOB
    ) -> Applied | Rejected | Unknown:
        if target.ref not in await self._lives.used():
            self._lives.faults.append(f"I4: {request.name} on {target.ref}, which is not clear")
        return await self._inner.install(request, target, job)


class Cloud:
    """A simulated cloud that sees what is destroyed, and in which servers of a run may share a key.

    The key is made with the first create of a run, and is listed without those that need it.
    """

    def __init__(self, inner: Simulated, process: Process) -> None:
        self._inner, self._process, self._lives = inner, process, process.lives
        self._looked: dict[str, Observed] = {}  # since it was last destroyed
        self._first: dict[str, float] = {}  # when it was looked at first

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    async def create(self, request: ServerRequest, token: Token) -> Created | Rejected | Unknown:
        if self._lives.story.shared:
            self._lives.keys.add((self._inner.name, token.run))
        return await self._inner.create(request, token)

    async def find(self, run: str | None = None, token: str | None = None) -> list[Observed]:
        found = await self._inner.find(run, token)
        keys = [own for place, own in sorted(self._lives.keys) if place == self._inner.name]
        return found + [_key(own) for own in keys if run in (None, own) and token is None]

    async def describe(self, refs: Sequence[str]) -> dict[str, Observed]:
        seen = await self._inner.describe([ref for ref in refs if not ref.startswith("key-")])
        for ref in refs:
            if ref.startswith("key-"):
                there = (self._inner.name, ref[4:]) in self._lives.keys
                seen[ref] = _key(ref[4:]) if there else Observed(ref, ServerState.GONE)
        self._looked |= seen
        return {ref: self._as_listed(one) for ref, one in seen.items()}

    def _as_listed(self, seen: Observed) -> Observed:
        now = self._lives.clock.now()
        if self._process.drives and now < self._first.setdefault(seen.ref, now) + self._lives.story.unsteady:
            return Observed(seen.ref, ServerState.NOT_VISIBLE)
        return seen

    async def destroy(self, ref: str) -> Gone | Going | Rejected | Unknown:
        looked, lives = self._looked.pop(ref, None), self._lives
        runs = await lives.journal.runs()
        if ref in lives.bystanders or looked is None or looked.run not in {*runs, *lives.adopted}:
            lives.faults.append(f"I3: {ref} is destroyed, seen as {looked}")
        if not ref.startswith("key-"):
            lives.faults += [f"{ref} is destroyed and {one} uses it" for one in await lives.borrowers(ref)]
            return await self._inner.destroy(ref)
        used, account = await lives.used(), f"simulated-{self._inner.name}"
        using = [one for one in lives.world.in_account(account) if one.run == ref[4:] and one.ref in used]
        if any(one.exists(lives.clock.now()) and one.destroy_requested_at is None for one in using):
            lives.faults.append(f"{ref} is removed while {using} need it")
        lives.keys.discard((self._inner.name, ref[4:]))
        return Gone()


def _key(run: str) -> Observed:
    return Observed(f"key-{run}", ServerState.READY, "key", run, needed_by="")
