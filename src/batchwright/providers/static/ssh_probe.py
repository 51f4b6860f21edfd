"""Log in to a server and look at it, changing nothing: what it is, or why it cannot be used, as a value."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

from msgspec import Struct

from batchwright.login_output import fit
from batchwright.model.fault import Fault, FaultClass
from batchwright.model.ssh_access import SshAccess
from batchwright.ssh_client import LOST, Unreachable, ask, connect, interfering, words
from batchwright.ssh_refusals import refusal_in

LOOK_SECONDS = 15.0  # for the whole way, jump hosts included
_SCRIPT = """
if [ "$(id -u)" = 0 ] || why=$(LC_ALL=C sudo -n true 2>&1); then echo root=yes; else echo "why=$why" | head -n 1; fi
sed -n 's/^MemTotal: *\\([0-9]*\\) kB/memory_kb=\\1/p' /proc/meminfo
"""


class Facts(Struct, frozen=True):
    """A server that can be used. `memory_mb` is 0 where it does not say."""

    memory_mb: int


async def look(access: SshAccess) -> Facts | Fault:
    """Log in, through its jump hosts, with the known host keys only; one that nobody vouches for is refused."""
    try:
        async with asyncio.timeout(LOOK_SECONDS), AsyncExitStack() as stack:
            connection = await connect(access, stack, LOOK_SECONDS / 3)
            answer = await ask(connection, _SCRIPT)
    except Unreachable as error:
        return error.fault
    except TimeoutError:
        return Fault(FaultClass.TRANSIENT, f"{access} did not answer within {LOOK_SECONDS:g} s", "unreachable")
    except LOST as error:
        return Fault(FaultClass.TRANSIENT, f"{access} broke the connection: {words(error)}", "unreachable")
    if not answer.begun:
        return interfering(access.user, str(access), answer.login, f"ended with {answer.code}").fault
    return _facts(answer.output, access)


def _facts(said: str, access: SshAccess) -> Facts | Fault:
    told = dict(line.partition("=")[::2] for line in said.splitlines())
    if told.get("root") != "yes":
        why = fit(told.get("why", ""))
        hint = "Log in as root, or let sudo take this user's commands without a password."
        code, hint = refusal_in(why, access.user, str(access)) or ("no-root", hint)
        message = f"{access} lets {access.user} in, who cannot become root there without a password"
        return Fault(FaultClass.INVALID, message + (f": {why}" if why else ""), code, hint)
    return Facts(int(told.get("memory_kb") or 0) // 1024)
