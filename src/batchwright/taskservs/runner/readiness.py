"""Waits until a server is ready for task services: SSH answers and its first boot has ended. Tells why it waits."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack

from batchwright.model.clock import Clock
from batchwright.model.fault import Fault, FaultClass
from batchwright.model.ssh_access import SshAccess
from batchwright.ssh_client import Unreachable
from batchwright.taskservs.base import Tell
from batchwright.taskservs.runner.direct_ssh_connection import SshConnection, connected
from batchwright.taskservs.runner.shell_snippets import FIRST_START

POLL_SECONDS = 2.0
TELL_SECONDS = 6.0  # between two equal lines
LOOK_SECONDS = 20.0  # for one look at how far its start is
DENIED_SECONDS = 120.0  # a server that starts may let nobody in before it has been given the key

Connect = Callable[[SshAccess], AbstractAsyncContextManager[SshConnection]]


@contextlib.asynccontextmanager
async def ready(
    access: SshAccess, clock: Clock, tell: Tell, seconds: float, connect: Connect = connected
) -> AsyncIterator[SshConnection]:
    """A connection to the server once it is ready. Raises Unreachable, at the latest after so many seconds."""
    async with AsyncExitStack() as stack:
        yield await _wait(stack, access, clock, tell, seconds, connect)


async def _wait(
    stack: AsyncExitStack, access: SshAccess, clock: Clock, tell: Tell, seconds: float, connect: Connect
) -> SshConnection:
    began, told_at, told = clock.now(), 0.0, ""
    while True:
        async with AsyncExitStack() as attempt:
            denied = False
            try:
                connection = await attempt.enter_async_context(connect(access))
                look = await connection.script(FIRST_START, LOOK_SECONDS)
                if look.code == 0:
                    stack.push_async_exit(attempt.pop_all())
                    return connection
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
