"""The launcher port: finds the programs of commands and runs them, on this machine or on servers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from msgspec import Struct

from batchwright.model.call_outcome import Applied, Rejected, Unknown
from batchwright.model.diagnostic import Diagnostic
from batchwright.model.ssh_access import SshAccess
from batchwright.operations.command import Command, CommandRequest

Tell = Callable[[str], None]

RESERVED = "BATCHWRIGHT_"  # variables with this prefix are set only by Batchwright, for the program's own start
RUN, STEP, MARK, SERVERS = "BATCHWRIGHT_RUN", "BATCHWRIGHT_STEP", "BATCHWRIGHT_MARK", "BATCHWRIGHT_SERVERS"


class CommandServer(Struct, frozen=True):
    """A server that a program runs on or gets facts about. `access` is None if nothing is reached over SSH."""

    name: str
    address: str
    provider: str
    zone: str
    access: SshAccess | None = None


def _nobody(_line: str) -> None:
    """Discards the output."""


class Launch(Struct, frozen=True):
    """The circumstances of one start. `mark` is in the environment of every process of the step and identifies them.

    `undo`: run the request's undo program. `again`: an earlier start of this step may still be running, so its
    processes are ended first. `seconds` is the total time limit. `on` is the server it runs on; `servers` are those
    listed in the file the program gets. `tell` receives its output line by line, without secrets.
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
    """Runs one program at a time per step. Any exception counts as Unknown."""

    async def resolve(self, command: Command, folder: str = "") -> CommandRequest | list[Diagnostic]:
        """The request of a command, or everything that it needs and that is missing. Nothing is started.

        `folder` is that of the workflow file; the command's own folder may be relative to it.
        """
        ...

    async def launch(self, request: CommandRequest, launch: Launch) -> Applied | Rejected | Unknown:
        """Run the program to its end.

        Returns `Rejected` with the class EXIT for an exit code other than 0, and with another class if it was certainly
        not started; `Unknown` if it was ended or lost on the way.
        """
        ...

    async def left_over(self, launch: Launch) -> str:
        """Describe what still runs of an earlier start; "" if nothing. Raises if that cannot be found out."""
        ...
