"""SSH to servers in our own event loop, for whoever looks, installs or runs something there.

Only known keys are trusted, and the `Access` alone says which, and who logs in: no configuration file says more.
"""

from __future__ import annotations

import asyncio
import contextlib
from contextlib import AsyncExitStack

import asyncssh

from batchwright.model.access import Access, known_hosts

KEEPALIVE_SECONDS, KEEPALIVES = 10, 3  # a server that leaves so many of them unanswered is lost
CLOSE_SECONDS = 3
LOST = (OSError, asyncssh.Error)  # what a connection raises that breaks
FAILURES = (*LOST, ValueError)  # what one raises that is not made; ValueError for a key that cannot be read

# Offered after those of the known keys: a server that has none of them shows what it has, instead of hanging up.
_OTHER_KINDS = "+ssh-ed25519,ecdsa-sha2-*,rsa-sha2-*"


async def connect(
    hop: Access, through: asyncssh.SSHClientConnection | None, stack: AsyncExitStack, seconds: float
) -> asyncssh.SSHClientConnection:
    """To this one hop, through the one before it; the stack closes it. `seconds` for the way, and again for the login.

    Raises what is one of FAILURES.
    """
    async with asyncio.timeout(2 * seconds):
        connection = await asyncssh.connect(
            hop.host,
            hop.port,
            tunnel=through or (),
            username=hop.user,
            client_keys=[hop.key] if hop.key else (),
            agent_path=None if hop.key else (),
            known_hosts=known_hosts([hop]).encode(),
            server_host_key_algs=_OTHER_KINDS,
            x509_trusted_certs=None,
            preferred_auth="publickey",
            config=None,
            connect_timeout=seconds,
            login_timeout=seconds,
            keepalive_interval=KEEPALIVE_SECONDS,
            keepalive_count_max=KEEPALIVES,
        )
    stack.push_async_callback(_close, connection)
    return connection


async def _close(connection: asyncssh.SSHClientConnection) -> None:
    connection.close()
    with contextlib.suppress(TimeoutError, OSError, asyncssh.Error):
        async with asyncio.timeout(CLOSE_SECONDS):
            await connection.wait_closed()


async def connect_all(access: Access, stack: AsyncExitStack, seconds: float) -> asyncssh.SSHClientConnection:
    """To the server, through its jump hosts; `seconds` as for `connect`, for each of them."""
    through = await connect_all(access.jump, stack, seconds) if access.jump is not None else None
    return await connect(access, through, stack, seconds)


def words(error: Exception) -> str:
    """What went wrong, in short."""
    if isinstance(error, TimeoutError):
        return "no answer"
    if isinstance(error, ConnectionRefusedError):
        return "connection refused"
    if isinstance(error, OSError) and error.strerror and not isinstance(error, asyncssh.Error):
        return error.strerror
    return str(error) or type(error).__name__
