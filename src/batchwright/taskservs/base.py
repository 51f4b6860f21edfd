"""The runner port: installs and removes task services on servers. Both are idempotent: doing it again is the repair."""

from __future__ import annotations

from typing import Protocol

from msgspec import Struct

from batchwright.model.outcome import Applied, Rejected, Unknown
from batchwright.model.plan import TaskservRequest


class Target(Struct, frozen=True):
    """The server a task service goes on."""

    provider: str
    ref: str
    name: str
    address: str


class Runner(Protocol):
    """Carries out one install or removal at a time; anything raised counts as Unknown."""

    async def install(self, request: TaskservRequest, target: Target) -> Applied | Rejected | Unknown:
        """Install, start and check; `Applied.changed` is false when it was so before."""
        ...

    async def installed(self, target: Target) -> tuple[str, ...]:
        """The names of the task services that are on the server now; read-only. Raises when that cannot be told."""
        ...

    async def remove(self, request: TaskservRequest, target: Target) -> Applied | Rejected | Unknown:
        """Take it away again; `Applied.changed` is false when it was not there."""
        ...
