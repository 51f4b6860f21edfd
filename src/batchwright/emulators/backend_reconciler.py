"""Backs emulated servers with real ones of another provider, so that one can log in and install there.

The emulated account decides what exists; the other provider is reconciled with it at intervals. An emulated server is
up when its backing server is ready, and then has that server's address.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from typing import Any, Protocol

from msgspec import Struct

from batchwright.errors import ProviderUnavailable
from batchwright.model.call_outcome import Created, Gone, ServerState
from batchwright.model.ids import Token, step_token
from batchwright.model.workflow import ServerConfig
from batchwright.operations.server_batch import ServerRequest
from batchwright.providers.base import Provider

ZONE = "here"
LOOK_SECONDS = 0.3
PATIENCE = 300.0  # seconds for a backing server to become ready, and to go


class DesiredServer(Struct, frozen=True):
    """An emulated server that exists. Its backing server runs `script` at its first boot."""

    id: str
    name: str
    cpus: int
    memory_mb: int
    script: str


class BackedAccount(Protocol):
    """An emulated account whose servers are backed. `run` labels the backing servers."""

    run: str

    def begin(self) -> None:
        """From now on servers are up only when they are reported to be."""
        ...

    def wanted(self) -> Sequence[DesiredServer]:
        """Its servers, without those that have ended."""
        ...

    def is_up(self, server: str, address: str) -> None:
        """The backing server of this one is ready."""
        ...


class BackendReconciler:
    """Keeps an open provider in line with an emulated account. Leftovers of an earlier emulator are removed first."""

    def __init__(self, provider: Provider, account: BackedAccount, tell: Callable[[str], None]) -> None:
        self._provider, self._account, self._tell = provider, account, tell
        self._refs: dict[str, str] = {}  # emulated server -> its backing server
        self._up: set[str] = set()
        self._busy: set[str] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Reconcile while the context lasts, and remove all backing servers at the end. Raises ProviderUnavailable."""
        await self._check()
        await self._remove_all()
        self._account.begin()
        loop = asyncio.ensure_future(self._loop())
        try:
            yield
        finally:
            for task in (loop, *self._tasks):
                task.cancel()
            await asyncio.gather(loop, *self._tasks, return_exceptions=True)
            await self._remove_all()

    async def _check(self) -> None:
        (answer,) = await self._provider.resolve([self._config(DesiredServer("", "check", 1, 1024, ""))])
        if not isinstance(answer, ServerRequest):
            raise ProviderUnavailable(f"{self._provider.name}: {answer[0].message}", hint=answer[0].hint)
        if not self._provider.capabilities.init:
            raise ProviderUnavailable(
                f"servers of {self._provider.name} have no service manager on this machine, so they cannot back others",
                hint="Run the emulator as root.",
            )

    async def _loop(self) -> None:
        while True:
            wanted = {one.id: one for one in self._account.wanted()}
            for server, one in wanted.items():
                if server not in self._busy | self._up:
                    self._begin(server, self._make(one))
            for server in self._refs.keys() - wanted.keys() - self._busy:
                self._begin(server, self._unmake(server))
            await asyncio.sleep(LOOK_SECONDS)

    def _begin(self, server: str, work: Coroutine[Any, Any, None]) -> None:
        self._busy.add(server)
        task = asyncio.ensure_future(self._done(server, work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _done(self, server: str, work: Coroutine[Any, Any, None]) -> None:
        """Report a failure; the next round tries again."""
        try:
            await work
        except Exception as error:
            self._tell(f"{server}: {error or type(error).__name__}")
            await asyncio.sleep(LOOK_SECONDS * 10)
        finally:
            self._busy.discard(server)

    async def _make(self, one: DesiredServer) -> None:
        (request,) = await self._provider.resolve([self._config(one)])
        if not isinstance(request, ServerRequest):
            raise ProviderUnavailable(f"{self._provider.name}: {request[0].message}", hint=request[0].hint)
        made = await self._provider.create(request, Token(self._account.run, step_token(self._account.run, one.id, 1)))
        if not isinstance(made, Created):
            raise ProviderUnavailable(f"{self._provider.name} did not create its backing server: {made}")
        self._refs[one.id] = made.ref
        async with _patience(f"its backing server {made.ref} did not become ready"):
            self._account.is_up(one.id, await self._address(made.ref))
        self._up.add(one.id)

    async def _address(self, ref: str) -> str:
        while True:
            seen = (await self._provider.describe([ref]))[ref]
            if seen.state is ServerState.READY and seen.address:
                return seen.address
            if seen.state in (ServerState.BROKEN, ServerState.GONE):
                raise ProviderUnavailable(f"its backing server is {seen.state}: {seen.fault and seen.fault.message}")
            await asyncio.sleep(LOOK_SECONDS)

    def _config(self, one: DesiredServer) -> ServerConfig:
        network = "own" if self._provider.capabilities.own_network else None
        plan = f"{one.cpus}xCPU-{one.memory_mb}MB"
        return ServerConfig(one.name, plan, ZONE, user_data=one.script or None, network=network)

    async def _unmake(self, server: str) -> None:
        await self._destroy(self._refs[server])
        del self._refs[server]

    async def _destroy(self, ref: str) -> None:
        async with _patience(f"{self._provider.name} did not remove {ref}"):
            answer = await self._provider.destroy(ref)
            while not isinstance(answer, Gone):
                await asyncio.sleep(LOOK_SECONDS)
                answer = await self._provider.destroy(ref)

    async def _remove_all(self) -> None:
        await asyncio.gather(*(self._destroy(left.ref) for left in await self._provider.find(self._account.run)))


@contextlib.asynccontextmanager
async def _patience(otherwise: str) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(PATIENCE):
            yield
    except TimeoutError:
        raise ProviderUnavailable(f"{otherwise} within {PATIENCE:g} s", hint="Check it, and start again.") from None
