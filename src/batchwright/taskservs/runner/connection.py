"""SSH to one server in our own event loop, for what is looked at, checked and ended. Only known keys are trusted."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator

import asyncssh
from msgspec import Struct

from batchwright.model.access import Access
from batchwright.model.outcome import Fault, FaultClass
from batchwright.ssh import LOST, Unreachable, connect, words

CONNECT_SECONDS = 10.0
KILL_SECONDS = 3  # between the polite and the other signal, for a script that takes too long
OUTPUT_MAX = 64 * 1024  # characters of what a script prints
CHUNK = 16 * 1024
LINES_MAX = 30
_SUDO_REFUSES = re.compile(r"^sudo(-rs)?: .*(password|authentication|privilege|terminal|sudoers|allowed)", re.M)
TOOK_TOO_LONG, NO_CODE = 124, 255


class Ran(Struct, frozen=True):
    """How a script ended. `code` is 124 when it took too long."""

    code: int
    output: str

    @property
    def tail(self) -> str:
        """The last lines of its output."""
        return "\n".join([line for line in self.output.splitlines() if line.strip()][-LINES_MAX:])


class Connection:
    """A connection to one server."""

    def __init__(self, access: Access, inner: asyncssh.SSHClientConnection) -> None:
        self._root = access.user == "root"
        self._inner = inner

    async def script(self, text: str, seconds: float) -> Ran:
        """Run shell text as root. It goes through stdin, so nothing of it is seen in a list of processes.

        Raises Unreachable when the connection breaks. What takes too long is ended on the server.
        """
        command = f"timeout -k {KILL_SECONDS} {max(1, round(seconds))} sh -s"
        body = f"{{\n{text}\n}} </dev/null 2>&1\n"  # read to its end before any of it runs
        try:
            async with asyncio.timeout(seconds + 2 * KILL_SECONDS):
                ran = await self._run(command if self._root else f"sudo -n {command}", body)
        except TimeoutError:
            return Ran(TOOK_TOO_LONG, "no answer")
        except LOST as error:
            raise broken(error) from error
        if not self._root and ran.code == 1 and _SUDO_REFUSES.search(ran.output):
            message = f"its user cannot become root by sudo without a password: {ran.tail}"
            raise Unreachable(Fault(FaultClass.AUTH, message, "sudo-refused"), lasting=True)
        return ran

    async def _run(self, command: str, body: str) -> Ran:
        async with self._inner.create_process(command, errors="replace") as process:
            with contextlib.suppress(OSError):  # it may have ended without reading: what it says tells why
                process.stdin.write(body)
                process.stdin.write_eof()
            output = ""
            while chunk := await process.stdout.read(CHUNK):
                output = (output + chunk)[-OUTPUT_MAX:]
            around = await process.stderr.read(CHUNK)  # not the script's, whose own goes where its output goes
            await process.wait_closed()
        code = NO_CODE if process.exit_status is None else process.exit_status
        return Ran(code, output or around if code else output)


@contextlib.asynccontextmanager
async def connected(access: Access) -> AsyncIterator[Connection]:
    """A connection, closed afterwards. Raises Unreachable."""
    async with contextlib.AsyncExitStack() as stack:
        yield Connection(access, await connect(access, stack, CONNECT_SECONDS))


def broken(error: Exception) -> Unreachable:
    """What it means that a connection broke."""
    return Unreachable(Fault(FaultClass.TRANSIENT, f"the connection broke: {words(error)}"), lasting=False)
