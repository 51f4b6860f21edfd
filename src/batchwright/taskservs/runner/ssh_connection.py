"""SSH to one server in our own event loop, for lookups, checks and stopping. Only known host keys are trusted."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator

import asyncssh
from msgspec import Struct

from batchwright.model.fault import Fault, FaultClass
from batchwright.model.ssh_access import SshAccess
from batchwright.ssh_client import LOST, Unreachable, ask, connect, interfering, words
from batchwright.ssh_refusals import refusal_in
from batchwright.taskservs.runner.shell_snippets import KNOWN

CONNECT_SECONDS = 10.0
KILL_SECONDS = 3  # between the polite and the other signal, for a script that takes too long
LINES_MAX = 30
_SUDO_REFUSES = re.compile(r"sudo(-rs)?: .*(password|authentication|privilege|terminal|tty|sudoers|allowed)")
TOOK_TOO_LONG, NO_CODE = 124, 255


class ScriptResult(Struct, frozen=True):
    """How a script ended. `code` is 124 when it took too long; `left_out` are bytes from the middle of its output."""

    code: int
    output: str
    left_out: int = 0

    @property
    def tail(self) -> str:
        """The last lines of its output."""
        return "\n".join([line for line in self.output.splitlines() if line.strip()][-LINES_MAX:])


class SshConnection:
    """A connection to one server."""

    def __init__(self, access: SshAccess, inner: asyncssh.SSHClientConnection) -> None:
        self._user, self._host, self._root = access.user, str(access), access.user == "root"
        self._inner = inner

    async def script(self, text: str, seconds: float) -> ScriptResult:
        """Run shell text as root. It goes through stdin, so nothing of it is seen in a list of processes.

        Raises Unreachable when the connection breaks. What takes too long is ended on the server.
        """
        command = f"timeout -k {KILL_SECONDS} {max(1, round(seconds))} sh -s"
        try:
            async with asyncio.timeout(seconds + 2 * KILL_SECONDS):
                command = command if self._root else f"sudo -n {command}"
                answer = await ask(self._inner, KNOWN + text, command)
        except TimeoutError:
            return ScriptResult(TOOK_TOO_LONG, "no answer")
        except LOST as error:
            raise broken(error) from error
        if answer.begun:
            return ScriptResult(NO_CODE if answer.code is None else answer.code, answer.output, answer.left_out)
        if not self._root and answer.code == 1 and _SUDO_REFUSES.search(answer.login):
            message = f"{self._user} cannot become root on {self._host} by sudo without a password: {answer.login}"
            code, hint = refusal_in(answer.login, self._user, self._host) or ("sudo-refused", "")
            raise Unreachable(Fault(FaultClass.AUTH, message, code, hint), lasting=True)
        how = "did not end in time" if answer.code in (None, TOOK_TOO_LONG) else f"exited with code {answer.code}"
        raise interfering(self._user, self._host, answer.login, how)

    @contextlib.asynccontextmanager
    async def process(self, command: str, *, pty: bool) -> AsyncIterator[asyncssh.SSHClientProcess[bytes]]:
        """A process on the server, with its streams. Entering and using it raises what LOST names.

        Leaving it closes them. It is not waited for: a server keeps them open until the process ends.
        """
        process = await self._inner.create_process(command, encoding=None, term_type="xterm" if pty else None)
        try:
            yield process
        finally:
            process.close()


@contextlib.asynccontextmanager
async def connected(access: SshAccess) -> AsyncIterator[SshConnection]:
    """A connection, closed afterwards. Raises Unreachable."""
    async with contextlib.AsyncExitStack() as stack:
        yield SshConnection(access, await connect(access, stack, CONNECT_SECONDS))


def broken(error: Exception) -> Unreachable:
    """What it means that a connection broke."""
    return Unreachable(Fault(FaultClass.TRANSIENT, f"the connection broke: {words(error)}"), lasting=False)
