"""Waits until a server is ready for task services: SSH answers and its first boot has ended. Tells why it waits."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack

from msgspec import Struct

from batchwright.model.clock import Clock
from batchwright.model.fault import Fault, FaultClass
from batchwright.model.ssh_access import SshAccess
from batchwright.ssh_client import Unreachable
from batchwright.taskservs.base import Tell
from batchwright.taskservs.runner.shell_snippets import FIRST_START
from batchwright.taskservs.runner.ssh_connection import ScriptResult, SshConnection, connected

POLL_SECONDS = 2.0
TELL_SECONDS = 6.0  # between two equal lines
LOOK_SECONDS = 20.0  # for one look at how far its start is
NOT_READY = 219  # exit code
DENIED_SECONDS = 120.0  # a server that starts may let nobody in before it has been given the key

Connect = Callable[[SshAccess], AbstractAsyncContextManager[SshConnection]]


class FirstScript(Struct, frozen=True):
    """A script for a server that is run as soon as it is ready, in one go with the look whether it is. `sent` is told
    whether it may have begun.
    """

    text: str = ""
    seconds: float = 0.0
    sent: Callable[[bool], object] = bool


@contextlib.asynccontextmanager
async def ready(
    access: SshAccess, clock: Clock, tell: Tell, seconds: float, connect: Connect = connected
) -> AsyncIterator[SshConnection]:
    """A connection to the server once it is ready. Raises Unreachable, at the latest after so many seconds."""
    async with ready_with(FirstScript(), access, clock, tell, seconds, connect) as (connection, _):
        yield connection


@contextlib.asynccontextmanager
async def ready_with(
    script: FirstScript, access: SshAccess, clock: Clock, tell: Tell, seconds: float, connect: Connect = connected
) -> AsyncIterator[tuple[SshConnection, ScriptResult]]:
    """As `ready`, and how the script ended."""
    async with AsyncExitStack() as stack:
        yield await _wait(stack, script, access, clock, tell, seconds, connect)


async def _wait(
    stack: AsyncExitStack,
    script: FirstScript,
    access: SshAccess,
    clock: Clock,
    tell: Tell,
    seconds: float,
    connect: Connect,
) -> tuple[SshConnection, ScriptResult]:
    began, told_at, told = clock.now(), 0.0, ""
    text = f"(\n{FIRST_START})\n[ $? = 0 ] || exit {NOT_READY}\n{script.text}"
    while True:
        async with AsyncExitStack() as attempt:
            denied = False
            try:
                connection = await attempt.enter_async_context(connect(access))
                script.sent(True)
                look = await connection.script(text, LOOK_SECONDS + script.seconds)
                if look.code != NOT_READY and (script.text or look.code == 0):
                    stack.push_async_exit(attempt.pop_all())
                    return connection, look
                script.sent(False)
                why = " ".join(look.tail.split()) or f"a look at its start ended with {look.code}"
            except Unreachable as error:
                if error.lasting:
                    raise
                why, denied = error.fault.message, error.fault.kind is FaultClass.AUTH
                if denied and clock.now() - began >= min(seconds, DENIED_SECONDS):
                    raise
        waited = clock.now() - began
        if waited >= seconds:
            message = f"the server did not become ready within {seconds:.0f} s: {why}"
            raise Unreachable(Fault(FaultClass.TIMEOUT, message), lasting=False)
        if why != told or clock.now() - told_at >= TELL_SECONDS:
            told, told_at = why, clock.now()
            tell(f"waiting until the server is ready: {why}, {waited:.0f} s")
        await clock.sleep(min(POLL_SECONDS, seconds - waited))
