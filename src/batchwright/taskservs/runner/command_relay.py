"""Runs what a child asks for on its server, over the connection that the call has, and passes on the output."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import BinaryIO

import asyncssh

from batchwright.model.ssh_access import SshAccess
from batchwright.ssh_client import LOST, Unreachable, words
from batchwright.taskservs.runner.child_protocol import CommandChunk, CommandEnd, Reply, RunCommand
from batchwright.taskservs.runner.ssh_connection import SshConnection, broken, connected

CHUNK = 64 * 1024
LOOK_SECONDS = 1.0  # between two looks whether a command that says nothing has ended
REST_SECONDS = 5.0  # for the rest of an output after a command's end; what the command left running may hold it open
NO_END = "the connection broke before the command ended"

Process = asyncssh.SSHClientProcess[bytes]
Hear = Callable[[Reply], Awaitable[None]]


class CommandRelay:
    """The commands of one call. `stack` closes a connection that is made again."""

    def __init__(self, access: SshAccess, connection: SshConnection, stack: AsyncExitStack) -> None:
        self._access, self._connection, self._stack = access, connection, stack

    async def run(self, asked: RunCommand, hear: Hear) -> CommandEnd:
        """Run one command; `hear` gets its output."""
        try:
            file = await asyncio.to_thread(Path(asked.file).open, "rb") if asked.file else None
        except OSError as error:
            return CommandEnd(None, f"{asked.file} cannot be read: {words(error)}")
        try:
            async with (
                asyncio.timeout(asked.seconds or None),
                self._connection.process(asked.command, pty=asked.pty) as process,
            ):
                code = await _followed(process, asked.input, file, hear)
                return CommandEnd(code, NO_END if code is None else "")
        except TimeoutError:
            return CommandEnd(None, timed_out=True)
        except LOST as error:
            return CommandEnd(None, broken(error).fault.message)
        finally:
            if file is not None:
                file.close()

    async def reconnect(self) -> CommandEnd:
        """Connect to the server again."""
        try:
            self._connection = await self._stack.enter_async_context(connected(self._access))
        except Unreachable as error:
            return CommandEnd(None, error.fault.message)
        return CommandEnd(0)


async def _followed(process: Process, given: bytes, file: BinaryIO | None, hear: Hear) -> int | None:
    """Its exit code, once its output has ended."""
    loop, ended = asyncio.get_running_loop(), 0.0
    sending = asyncio.create_task(_send(process, given, file))
    reading = {
        asyncio.create_task(_pass_on(process.stdout, hear, error=False)),
        asyncio.create_task(_pass_on(process.stderr, hear, error=True)),
    }
    pending = reading
    try:
        while pending:
            done, pending = await asyncio.wait(pending, timeout=LOOK_SECONDS, return_when=asyncio.FIRST_EXCEPTION)
            for one in done:
                one.result()
            if process.exit_status is not None:
                ended = ended or loop.time()
                if loop.time() - ended > REST_SECONDS:
                    return process.returncode
        await process.wait_closed()
        return process.returncode
    finally:
        for task in (sending, *reading):
            task.cancel()
        await asyncio.wait({sending, *reading})


async def _send(process: Process, given: bytes, file: BinaryIO | None) -> None:
    with contextlib.suppress(*LOST):  # it may have ended without reading: what it said tells why
        process.stdin.write(given)
        while file is not None and (data := await asyncio.to_thread(file.read, CHUNK)):
            process.stdin.write(data)
            await process.stdin.drain()
        process.stdin.write_eof()


async def _pass_on(stream: asyncssh.SSHReader[bytes], hear: Hear, *, error: bool) -> None:
    while data := await stream.read(CHUNK):
        await hear(CommandChunk(data, error))
