"""Log in to a server and look at it, changing nothing: what it is, or why it cannot be used, as a value."""

from __future__ import annotations

import asyncio
import shlex
from contextlib import AsyncExitStack

import asyncssh
from msgspec import Struct

from batchwright.model.access import Access
from batchwright.model.outcome import Fault, FaultClass
from batchwright.ssh import FAILURES, connect

LOOK_SECONDS = 15.0  # for the whole way, jump hosts included
_SCRIPT = """
if [ "$(id -u)" = 0 ] || sudo -n true 2>/dev/null; then echo root=yes; fi
sed -n 's/^MemTotal: *\\([0-9]*\\) kB/memory_kb=\\1/p' /proc/meminfo
"""


class Facts(Struct, frozen=True):
    """A server that can be used. `memory_mb` is 0 where it does not say."""

    memory_mb: int


async def look(access: Access) -> Facts | Fault:
    """Log in, through its jump hosts, with the known host keys only; one that nobody vouches for is refused."""
    hop = access
    try:
        async with asyncio.timeout(LOOK_SECONDS), AsyncExitStack() as stack:
            connection: asyncssh.SSHClientConnection | None = None
            for hop in reversed(access.hops()):
                connection = await connect(hop, connection, stack, LOOK_SECONDS)
            assert connection is not None
            said = await connection.run(f"sh -c {shlex.quote(_SCRIPT)}", stdin=asyncssh.DEVNULL)
    except FAILURES as error:
        return _explained(error, hop)
    return _facts(str(said.stdout or ""), access)


def _facts(said: str, access: Access) -> Facts | Fault:
    told = dict(line.partition("=")[::2] for line in said.splitlines())
    if told.get("root") != "yes":
        return Fault(
            FaultClass.INVALID,
            f"{access} lets {access.user} in, who cannot become root there without a password",
            "no-root",
            "Log in as root, or let sudo take this user's commands without a password.",
        )
    return Facts(int(told.get("memory_kb") or 0) // 1024)


def _explained(error: Exception, hop: Access) -> Fault:
    """What went wrong at this hop, in words."""
    match error:
        case asyncssh.HostKeyNotVerifiable():
            return Fault(
                FaultClass.INVALID,
                f"{hop} shows another host key than the one that is known: either it was installed anew, "
                "or somebody stands between you and it",
                "host-key-mismatch",
                "Do not log in before you know which. If it was installed anew, get its new key over a way you trust.",
            )
        case asyncssh.PermissionDenied():
            key = f"the key {hop.key}" if hop.key else "your usual keys and your agent's"
            hint = f"Put the public key into the file authorized_keys of {hop.user} there."
            return Fault(FaultClass.AUTH, f"{hop} does not let {hop.user} in with {key}", "login-refused", hint)
        case asyncssh.KeyImportError():
            hint = "If it has a passphrase, add it to your agent with ssh-add and leave `key` out."
            return Fault(FaultClass.AUTH, f"the key {hop.key} cannot be used: {error}", "key-unusable", hint)
        case TimeoutError():
            message = f"{hop} did not answer within {LOOK_SECONDS:g} s"
        case asyncssh.Error():
            message = f"{hop} ended the connection: {error.reason}"
        case _:
            message = f"{hop} cannot be reached: {error}"
    return Fault(FaultClass.TRANSIENT, message, "unreachable", "Look whether it is up and whether SSH listens there.")
