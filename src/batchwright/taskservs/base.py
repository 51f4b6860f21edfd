"""The runner port: installs, removes and checks task services on servers. Doing it again is the repair."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from msgspec import Struct

from batchwright.model.outcome import Applied, CheckResult, Rejected, Unknown
from batchwright.model.ssh_access import SshAccess
from batchwright.operations.taskserv_batch import TaskservRequest

Tell = Callable[[str], None]


class Target(Struct, frozen=True):
    """The server a task service goes on. `access` is None where nothing is reached over SSH: in a simulation."""

    provider: str
    ref: str
    name: str
    address: str
    access: SshAccess | None = None


def _nobody(_line: str) -> None:
    """Who hears the output when nobody asked for it."""


class TaskservCall(Struct, frozen=True):
    """What surrounds one call. `token` marks its processes on the server, `seconds` is all the time it may take.

    `tell` hears its output, line by line, without secrets. `leader` is the first server of the cluster that the
    target belongs to, None when that is the target itself or there is no cluster.
    """

    token: str = ""
    seconds: float = 1800.0
    leader: Target | None = None
    tell: Tell = _nobody


NO_JOB = TaskservCall()


class Runner(Protocol):
    """Carries out one call at a time per server; anything raised counts as Unknown."""

    async def install(
        self, request: TaskservRequest, target: Target, job: TaskservCall = NO_JOB
    ) -> Applied | Rejected | Unknown:
        """Install, start and check; `Applied.changed` is false when it was so before."""
        ...

    async def installed(self, target: Target) -> tuple[str, ...]:
        """The names of the task services that are on the server now; read-only. Raises when that cannot be told."""
        ...

    async def preview(self, request: TaskservRequest, target: Target, job: TaskservCall = NO_JOB) -> tuple[str, ...]:
        """What an install would change, one line each; read-only. Raises when that cannot be told."""
        ...

    async def check(
        self, request: TaskservRequest, target: Target, job: TaskservCall = NO_JOB
    ) -> tuple[CheckResult, ...]:
        """Run its checks now; read-only. Raises when the server cannot be asked."""
        ...

    async def remove(
        self, request: TaskservRequest, target: Target, job: TaskservCall = NO_JOB
    ) -> Applied | Rejected | Unknown:
        """Take it away again; `Applied.changed` is false when it was not there."""
        ...
