"""SSH to one server in our own event loop, for what is looked at, checked and ended. Only known keys are trusted."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator

import asyncssh
from msgspec import Struct

from batchwright.model.access import Access, known_hosts
from batchwright.model.outcome import Fault, FaultClass

CONNECT_SECONDS = 10.0
KEEPALIVE_SECONDS, KEEPALIVES_LOST = 10, 3
KILL_SECONDS = 3  # between the polite and the other signal, for a script that takes too long
OUTPUT_MAX = 64 * 1024  # characters of what a script prints
CHUNK = 16 * 1024
LINES_MAX = 30
_SUDO_REFUSES = re.compile(r"^sudo(-rs)?: .*(password|authentication|privilege|terminal|sudoers|allowed)", re.M)
TOOK_TOO_LONG, NO_CODE = 124, 255


class Unreachable(Exception):
    """No connection. `lasting`: waiting will not help."""

    def __init__(self, fault: Fault, *, lasting: bool) -> None:
        super().__init__(fault.message)
        self.fault = fault
        self.lasting = lasting


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
        except (OSError, asyncssh.Error) as error:
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
    hop: Access | None = access
    while hop is not None and hop.host_keys:
        hop = hop.jump
    if hop is not None:
        message = f"no host key of {hop.host} is known, and none is trusted on first use"
        raise Unreachable(Fault(FaultClass.AUTH, message, "host-key-unknown"), lasting=True)
    async with contextlib.AsyncExitStack() as stack:
        inner = await _connect(access, stack)
        yield Connection(access, inner)


async def _connect(access: Access, stack: contextlib.AsyncExitStack) -> asyncssh.SSHClientConnection:
    tunnel = await _connect(access.jump, stack) if access.jump is not None else ()
    try:
        async with asyncio.timeout(2 * CONNECT_SECONDS):
            inner = await asyncssh.connect(
                access.host,
                access.port,
                tunnel=tunnel,
                username=access.user,
                client_keys=[access.key] if access.key else (),
                agent_path=None if access.key else (),
                known_hosts=known_hosts([access]).encode(),
                config=None,
                preferred_auth="publickey",
                connect_timeout=CONNECT_SECONDS,
                login_timeout=CONNECT_SECONDS,
                keepalive_interval=KEEPALIVE_SECONDS,
                keepalive_count_max=KEEPALIVES_LOST,
            )
    except (OSError, asyncssh.Error, ValueError) as error:
        raise unconnected(access, error) from error
    stack.push_async_callback(_close, inner)
    return inner


async def _close(inner: asyncssh.SSHClientConnection) -> None:
    inner.close()
    with contextlib.suppress(TimeoutError, OSError, asyncssh.Error):
        async with asyncio.timeout(KILL_SECONDS):
            await inner.wait_closed()


def unconnected(access: Access, error: Exception) -> Unreachable:
    """What it means that no connection came about."""
    where = access.host if access.port == 22 else f"{access.host}:{access.port}"
    match error:
        case asyncssh.HostKeyNotVerifiable():
            message = f"{where} shows a host key that is not the one that is known"
            hint = "Somebody may be in between, or the server was set up again. Nothing was sent."
            return Unreachable(Fault(FaultClass.AUTH, message, "host-key-differs", hint), lasting=True)
        case asyncssh.PermissionDenied():
            return Unreachable(Fault(FaultClass.AUTH, f"{where} does not let {access.user} in"), lasting=False)
        case asyncssh.KeyImportError() | FileNotFoundError() | PermissionError():
            message = f"the key {access.key} cannot be used: {_words(error)}"
            return Unreachable(Fault(FaultClass.AUTH, message), lasting=True)
    return Unreachable(Fault(FaultClass.TRANSIENT, f"{where}: {_words(error)}"), lasting=False)


def broken(error: Exception) -> Unreachable:
    """What it means that a connection broke."""
    return Unreachable(Fault(FaultClass.TRANSIENT, f"the connection broke: {_words(error)}"), lasting=False)


def _words(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "no answer"
    if isinstance(error, ConnectionRefusedError):
        return "connection refused"
    if isinstance(error, OSError) and error.strerror and not isinstance(error, asyncssh.Error):
        return error.strerror
    return str(error) or type(error).__name__
