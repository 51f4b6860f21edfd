"""A simulated provider and runner whose next answers a test can prescribe: errors, silence, anything at all."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from batchwright.errors import ProviderThrottled
from batchwright.model.call_outcome import Applied, Created, Going, Gone, Observed, Rejected, Unknown
from batchwright.model.ids import Token
from batchwright.model.ssh_access import SshAccess
from batchwright.operations.server_batch import ServerRequest
from batchwright.operations.taskserv_batch import TaskservRequest
from batchwright.providers.simulated import Simulated, SimulatedRunner
from batchwright.taskservs.base import Target

Answer = Callable[[], Any]


def broken() -> Any:
    """An adapter that raises."""
    raise ConnectionResetError("the connection was reset")


def too_often() -> Any:
    """A look that the cloud does not answer because there were too many."""
    raise ProviderThrottled("slow down", retry_after=7.0)


def gone_astray() -> Any:
    """A library under the adapter that cancels its own work."""
    raise asyncio.CancelledError


async def silence() -> Any:
    """An answer that never comes."""
    await asyncio.sleep(1e9)


class Script:
    """What the next calls of each method do; without a prescription they do what the simulation does."""

    def __init__(self) -> None:
        self.next: dict[str, list[Answer]] = {}
        self.always: dict[str, Answer] = {}
        self.asked: list[tuple[str, Any]] = []

    async def call(self, method: str, about: Any, real: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
        """One call."""
        self.asked.append((method, about))
        waiting = self.next.get(method)
        answer = waiting.pop(0) if waiting else self.always.get(method)
        if answer is None:
            return await real()
        said = answer()
        return await said if asyncio.iscoroutine(said) else said

    def count(self, method: str) -> int:
        """How often it was asked."""
        return sum(name == method for name, _ in self.asked)


class ScriptedProvider(Simulated):
    """See Script."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.script = Script()

    async def create(self, request: ServerRequest, token: Token) -> Created | Rejected | Unknown:
        return await self.script.call(
            "create", token.value, lambda: super(ScriptedProvider, self).create(request, token)
        )

    async def find(self, run: str | None = None, token: str | None = None) -> list[Observed]:
        return await self.script.call("find", token, lambda: super(ScriptedProvider, self).find(run, token))

    async def describe(self, refs: Sequence[str]) -> dict[str, Observed]:
        return await self.script.call("describe", tuple(refs), lambda: super(ScriptedProvider, self).describe(refs))

    async def access(self, refs: Sequence[str]) -> dict[str, SshAccess]:
        return await self.script.call("access", tuple(refs), lambda: super(ScriptedProvider, self).access(refs))

    async def destroy(self, ref: str) -> Gone | Going | Rejected | Unknown:
        return await self.script.call("destroy", ref, lambda: super(ScriptedProvider, self).destroy(ref))

    async def change(
        self, ref: str, request: ServerRequest, before: ServerRequest
    ) -> Created | Going | Rejected | Unknown:
        return await self.script.call("change", ref, lambda: super(ScriptedProvider, self).change(ref, request, before))


class ScriptedRunner(SimulatedRunner):
    """See Script."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.script = Script()

    async def install(self, request: TaskservRequest, target: Any, job: Any = None) -> Applied | Rejected | Unknown:
        real = super().install
        return await self.script.call("install", target, lambda: real(request, target, job))

    async def remove(self, request: TaskservRequest, target: Any, job: Any = None) -> Applied | Rejected | Unknown:
        real = super().remove
        return await self.script.call("remove", target, lambda: real(request, target, job))


__all__ = ["Script", "ScriptedProvider", "ScriptedRunner", "Target", "broken", "gone_astray", "silence", "too_often"]
