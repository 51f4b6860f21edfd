"""The launcher port: finds the programs of commands and runs them, on this machine or on servers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol

from msgspec import Struct
from msgspec.structs import replace

from batchwright.model.call_outcome import Applied, Rejected, Unknown
from batchwright.model.clock import Clock
from batchwright.model.diagnostic import Diagnostic
from batchwright.model.fault import Fault, FaultClass
from batchwright.model.ssh_access import SshAccess
from batchwright.operations.command import Command, CommandRequest

Tell = Callable[[str], None]

RESERVED = "BATCHWRIGHT_"  # variables with this prefix are set only by Batchwright, for the program's own start
RUN, STEP, MARK, SERVERS = "BATCHWRIGHT_RUN", "BATCHWRIGHT_STEP", "BATCHWRIGHT_MARK", "BATCHWRIGHT_SERVERS"
OUTPUTS = "BATCHWRIGHT_OUTPUTS"
TRACEPARENT = "TRACEPARENT"  # of W3C Trace Context: spans of the program hang below the step's


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

    `undo`: run the request's undo program. `only_unless`: run only its `unless`. `again`: an earlier start of this step
    may still be running, so its processes are ended first. `seconds` is the total time limit. `on` is the server it
    runs on; `servers` are those listed in the file the program gets. `tell` receives its output line by line, without
    secrets.
    """

    run: str
    step: str
    mark: str
    undo: bool = False
    only_unless: bool = False
    again: bool = False
    seconds: float = 600.0
    on: CommandServer | None = None
    servers: tuple[CommandServer, ...] = ()
    tell: Tell = _nobody


def server_row(server: CommandServer) -> dict[str, object]:
    """A server as it stands in the file that a program gets, for scripts and inventories."""
    row: dict[str, object] = {
        "name": server.name,
        "address": server.address,
        "provider": server.provider,
        "zone": server.zone,
    }
    if server.access is not None:
        access = server.access
        row |= {"host": access.host, "port": access.port, "user": access.user, "key": access.key}
        row["host_keys"] = list(access.host_keys)
    return row


Start = Callable[[CommandRequest, Launch, tuple[str, ...]], Awaitable[Applied | Rejected | Unknown]]


async def launched(request: CommandRequest, launch: Launch, clock: Clock, start: Start) -> Applied | Rejected | Unknown:
    """Run the program with `start`, unless its `unless` ends with 0: then there was nothing to do.

    An `unless` that does not end by itself has changed nothing, and is tried again.
    """
    if launch.undo:
        return await start(request, launch, request.undo)
    if request.unless:
        began = clock.now()
        done = await start(replace(request, name=program_name(request.unless[0])), launch, request.unless)
        if isinstance(done, Applied):
            return replace(done, changed=False)
        if isinstance(done, Unknown):
            return Rejected(Fault(FaultClass.TRANSIENT, done.reason))
        if done.fault.kind is not FaultClass.EXIT or launch.only_unless:
            return done
        launch = replace(launch, seconds=max(1.0, launch.seconds - (clock.now() - began)))
    return await start(request, launch, request.run)


def program_name(word: str) -> str:
    """The name of a program for people, from the word that starts it."""
    return word.rpartition("/")[2] or word


class Launcher(Protocol):
    """Runs one program at a time per step. Any exception counts as Unknown."""

    async def resolve(self, command: Command, folder: str = "") -> CommandRequest | list[Diagnostic]:
        """The request of a command, or everything that it needs and that is missing. Nothing is started.

        `folder` is that of the workflow file; the command's own folder may be relative to it.
        """
        ...

    async def launch(self, request: CommandRequest, launch: Launch) -> Applied | Rejected | Unknown:
        """Run the program to its end, unless its `unless` ends with 0.

        Returns `Rejected` with the class EXIT for an exit code other than 0, and with another class if it was certainly
        not started; `Unknown` if it was ended or lost on the way.
        """
        ...

    async def left_over(self, launch: Launch) -> str:
        """Describe what still runs of an earlier start; "" if nothing. Raises if that cannot be found out."""
        ...
