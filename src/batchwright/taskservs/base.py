"""The runner port: installs, removes and checks task services on servers. Repeating a call repairs it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from msgspec import Struct

from batchwright.model.call_outcome import Applied, CheckResult, Rejected, Unknown
from batchwright.model.ssh_access import SshAccess
from batchwright.operations.taskserv_batch import TaskservRequest

Tell = Callable[[str], None]


class Target(Struct, frozen=True):
    """The server of a task service. `access` is None if nothing is reached over SSH: in a simulation."""

    provider: str
    ref: str
    name: str
    address: str
    access: SshAccess | None = None


def _nobody(_line: str) -> None:
    """Discards the output."""


class TaskservCall(Struct, frozen=True):
    """The circumstances of one call. `token` marks its processes on the server; `seconds` is its total time limit.

    `tell` receives its output line by line, without secrets. `leader` is the first server of the target's cluster; None
    if the target is the first or there is no cluster. `folder` is what the paths of sources are relative to.
    """

    token: str = ""
    seconds: float = 1800.0
    leader: Target | None = None
    tell: Tell = _nobody
    folder: str = ""


NO_JOB = TaskservCall()


class Runner(Protocol):
    """Carries out one call at a time per server. Any exception counts as Unknown."""

    async def install(
        self, request: TaskservRequest, target: Target, job: TaskservCall = NO_JOB
    ) -> Applied | Rejected | Unknown:
        """Install, start and check. `Applied.changed` is false if nothing had to change."""
        ...

    async def installed(self, target: Target) -> tuple[str, ...]:
        """The names of the task services that are on the server now; read-only. Raises if that cannot be found out."""
        ...

    async def preview(self, request: TaskservRequest, target: Target, job: TaskservCall = NO_JOB) -> tuple[str, ...]:
        """What an install would change, one line each; read-only. Raises if that cannot be found out."""
        ...

    async def check(
        self, request: TaskservRequest, target: Target, job: TaskservCall = NO_JOB
    ) -> tuple[CheckResult, ...]:
        """Run its checks now; read-only. Raises if the server cannot be reached."""
        ...

    async def remove(
        self, request: TaskservRequest, target: Target, job: TaskservCall = NO_JOB
    ) -> Applied | Rejected | Unknown:
        """Remove it. `Applied.changed` is false if it was not installed."""
        ...
