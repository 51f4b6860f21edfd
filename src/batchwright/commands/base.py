"""The launcher port: finds and runs the programs of commands, in one place: on this machine, or on servers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from msgspec import Struct

from batchwright.model.diagnostic import Diagnostic
from batchwright.model.outcome import Applied, Rejected, Unknown
from batchwright.model.ssh_access import SshAccess
from batchwright.operations.command import Command, CommandRequest

Tell = Callable[[str], None]

RESERVED = "BATCHWRIGHT_"  # what such variables hold is ours: a program is given those of its own start and no others
RUN, STEP, MARK, SERVERS = "BATCHWRIGHT_RUN", "BATCHWRIGHT_STEP", "BATCHWRIGHT_MARK", "BATCHWRIGHT_SERVERS"


class CommandServer(Struct, frozen=True):
    """A server that a program runs on or is told of. `access` is None where nothing is reached over SSH."""

    name: str
    address: str
    provider: str
    zone: str
    access: SshAccess | None = None


def _nobody(_line: str) -> None:
    """Who hears the output when nobody asked for it."""


class Launch(Struct, frozen=True):
    """What surrounds one start. `mark` is in the environment of every process of the step, and tells them from others.

    `undo`: the request's undo program is meant. `again`: nobody knows whether an earlier start of this step has ended,
    so what is left of it is ended first. `seconds` is all the time it may take. `on` is the server it runs on;
    `servers` are those that it is told of. `tell` hears its output, line by line, without secrets.
    """

    run: str
    step: str
    mark: str
    undo: bool = False
    again: bool = False
    seconds: float = 600.0
    on: CommandServer | None = None
    servers: tuple[CommandServer, ...] = ()
    tell: Tell = _nobody


class Launcher(Protocol):
    """Runs one program at a time per step; anything raised counts as Unknown."""

    async def resolve(self, command: Command) -> CommandRequest | list[Diagnostic]:
        """Find what it needs, and freeze it, or say all that is missing; nothing is started."""
        ...

    async def launch(self, request: CommandRequest, launch: Launch) -> Applied | Rejected | Unknown:
        """Run it to its end. `Rejected` with the class EXIT when it ended with another code than 0, with another class
        when it was certainly not started; `Unknown` when it was ended or lost on the way."""
        ...

    async def left_over(self, launch: Launch) -> str:
        """Whether something of an earlier start still runs, in words; "" if not. Raises when that cannot be told."""
        ...
