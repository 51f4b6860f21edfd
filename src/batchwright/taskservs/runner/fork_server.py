"""The parent's side of the fork server (`fork_server_main.py`): starts it, asks it for forks, kills them."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import subprocess
import sys
import weakref
from asyncio import StreamReader, StreamReaderProtocol, StreamWriter
from io import FileIO

from msgspec import Struct

MAIN = "batchwright.taskservs.runner.fork_server_main"
MODULE = "batchwright.taskservs.runner.child_main"
PASSED_ON = ("HOME", "LANG", "LC_ALL", "PATH", "PYTHONPATH", "TMPDIR", "VIRTUAL_ENV")
ERRORS_KEPT = 4_000  # bytes of its stderr
END_SECONDS = 5.0  # for the server to end when its input has ended


class NotBegun(Exception):
    """There is no fork: nothing was done on any server."""


class ForkedProcess(Struct, eq=False):
    """A fork: its streams, its end, and a way to kill it with everything that it started."""

    stdin: StreamWriter
    stdout: StreamReader
    stderr: StreamReader
    told: StreamReader  # both ends of its lifeline
    hold: StreamWriter
    ends: contextlib.ExitStack
    ended: bool = False

    async def wait(self) -> int | None:
        """Its exit code; None if the server has died, and the fork with it. Raises NotBegun."""
        line = (await self.told.read()).decode()
        self.ended = True
        try:
            return int(line) if line else None
        except ValueError:
            raise NotBegun(f"the runner cannot fork: {line.strip()}") from None

    def kill(self) -> None:
        """Kill it and what it started."""
        self.hold.write_eof()

    def close(self) -> None:
        """Close its streams; a fork that still runs is killed."""
        self.ends.close()


class ForkServer:
    """A process that has loaded `module` and forks for each job. It starts at its first use.

    It ends when this object or this process does, however that ends, and its forks end with it.
    """

    def __init__(self, module: str = MODULE) -> None:
        self._module = module
        self._process: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        self._finalizer: weakref.finalize[..., ForkServer] | None = None

    def start(self) -> None:
        """Start it, so that it loads its module, unless it runs. Raises OSError."""
        if self._process is not None and self._process.poll() is None:
            return
        self.close()
        environ = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
        ours, theirs = socket.socketpair()
        with theirs:
            try:
                process = subprocess.Popen(  # noqa: S603 - our own line
                    (sys.executable, "-P", "-m", MAIN, self._module),  # nothing of the folder that we happen to be in
                    stdin=theirs.fileno(),
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.PIPE,
                    env=environ,
                    start_new_session=True,  # an interrupt at the terminal is ours to handle
                )
            except BaseException:
                ours.close()
                raise
        ours.setblocking(False)  # a server that does not read is an error, not a wait
        self._process, self._control = process, ours
        self._finalizer = weakref.finalize(self, _end, process, ours)

    def load(self) -> None:
        """Start it before its first fork is needed. If it cannot be started now, the fork says why."""
        with contextlib.suppress(OSError, RuntimeError, MemoryError):
            self.start()

    def close(self) -> None:
        """End it, and all its forks. The next use starts another."""
        if self._finalizer is not None:
            self._finalizer()
        self._process = None

    async def fork(self, line_bytes: int) -> ForkedProcess:
        """A new fork; `line_bytes` bounds a line of its stdout. Raises NotBegun."""
        with contextlib.ExitStack() as ours:
            try:
                self.start()
                with contextlib.ExitStack() as theirs:
                    lifeline, stdin = (_socket(ours, theirs) for _ in range(2))
                    stdout, stderr = (_pipe(ours, theirs) for _ in range(2))
                    self._send([end.fileno() for _, end in (lifeline, stdin, stdout, stderr)])
            except (OSError, RuntimeError, MemoryError) as error:
                raise NotBegun(f"the runner's process cannot be started: {error}") from error
            told, hold = await asyncio.open_connection(sock=lifeline[0])
            ours.callback(hold.close)
            _, writer = await asyncio.open_connection(sock=stdin[0])
            ours.callback(writer.close)
            output, errors = [await _reader(ours, pipe, line_bytes) for pipe, _ in (stdout, stderr)]
            return ForkedProcess(writer, output, errors, told, hold, ours.pop_all())

    def _send(self, descriptors: list[int]) -> None:
        assert self._control is not None
        socket.send_fds(self._control, [b"f"], descriptors)

    def last_words(self) -> bytes:
        """What it wrote to stderr before it died."""
        if self._process is None or self._process.stderr is None:
            return b""
        os.set_blocking(self._process.stderr.fileno(), False)
        return (self._process.stderr.read() or b"")[-ERRORS_KEPT:]


def _socket(ours: contextlib.ExitStack, theirs: contextlib.ExitStack) -> tuple[socket.socket, socket.socket]:
    one, other = socket.socketpair()
    ours.callback(one.close)
    return one, theirs.enter_context(other)


def _pipe(ours: contextlib.ExitStack, theirs: contextlib.ExitStack) -> tuple[FileIO, FileIO]:
    reading, writing = os.pipe()
    one, other = FileIO(reading, "r"), FileIO(writing, "w")
    ours.callback(one.close)
    return one, theirs.enter_context(other)


async def _reader(ours: contextlib.ExitStack, pipe: FileIO, line_bytes: int) -> StreamReader:
    reader = StreamReader(line_bytes)
    protocol = StreamReaderProtocol(reader)
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(lambda: protocol, pipe)
    ours.callback(transport.close)
    return reader


def _end(process: subprocess.Popen[bytes], control: socket.socket) -> None:
    """Its input ends, so it kills its forks and goes; and if it does not, it is killed."""
    control.close()
    try:
        process.wait(END_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    assert process.stderr is not None
    process.stderr.close()
