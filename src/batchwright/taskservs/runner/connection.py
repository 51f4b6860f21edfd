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
from batchwright.ssh import LOST, SILENCE_SECONDS, Unreachable, connect, hear, words

CONNECT_SECONDS = 10.0
KILL_SECONDS = 3  # between the polite and the other signal, for a script that takes too long
OUTPUT_MAX = 1024 * 1024  # bytes of what a script prints: of more, the middle goes
AROUND_MAX = 16 * 1024  # bytes of what is said around it, as by sudo
LINES_MAX = 30
_SUDO_REFUSES = re.compile(r"^sudo(-rs)?: .*(password|authentication|privilege|terminal|sudoers|allowed)", re.M)
TOOK_TOO_LONG, NO_CODE = 124, 255


class Ran(Struct, frozen=True):
    """How a script ended. `code` is 124 when it took too long; `left_out` are bytes from the middle of its output."""

    code: int
    output: str
    left_out: int = 0

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
        async with self._inner.create_process(command, encoding=None) as process:
            with contextlib.suppress(OSError):  # it may have ended without reading: what it says tells why
                process.stdin.write(body.encode())
                process.stdin.write_eof()
            output = _Ends()
            await hear(process, output.add)  # what the script leaves running may go on: the script's end counts
            around = b""  # not the script's, whose own goes where its output goes
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(SILENCE_SECONDS):
                    around = await process.stderr.read(AROUND_MAX)
            process.close()
        code = NO_CODE if process.exit_status is None else process.exit_status
        text = output.text() or (around.decode(errors="replace") if code else "")
        return Ran(code, text, output.left_out)


class _Ends:
    """The beginning and the end of an output; what is left out between them is said in its place."""

    def __init__(self) -> None:
        self._head = self._tail = b""
        self.left_out = 0

    def add(self, data: bytes) -> None:
        """Some more of it."""
        room = OUTPUT_MAX // 2 - len(self._head)
        self._head += data[:room]
        self._tail += data[room:]
        if len(self._tail) > OUTPUT_MAX:
            self._cut()

    def _cut(self) -> None:
        """Whole lines, where there are any: half of one may be half of a secret."""
        at = len(self._tail) - OUTPUT_MAX // 2
        at = self._tail.find(b"\n", at) + 1 or at
        self.left_out += at
        self._tail = self._tail[at:]

    def text(self) -> str:
        """All that was kept."""
        gap = f"\n... ({self.left_out:,} bytes are left out) ...\n".encode() if self.left_out else b""
        return (self._head + gap + self._tail).decode(errors="replace")


@contextlib.asynccontextmanager
async def connected(access: Access) -> AsyncIterator[Connection]:
    """A connection, closed afterwards. Raises Unreachable."""
    async with contextlib.AsyncExitStack() as stack:
        yield Connection(access, await connect(access, stack, CONNECT_SECONDS))


def broken(error: Exception) -> Unreachable:
    """What it means that a connection broke."""
    return Unreachable(Fault(FaultClass.TRANSIENT, f"the connection broke: {words(error)}"), lasting=False)
