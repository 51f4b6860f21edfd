"""One child process of the runner: sends its job and passes on its messages for each server."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import Callable, Mapping

from msgspec import Struct
from msgspec.structs import replace

from batchwright.printable import printable
from batchwright.taskservs.runner.child_protocol import (
    ChildJob,
    Done,
    Host,
    OutputLine,
    Stop,
    Stopped,
    Word,
    word_decoder,
    written,
)

MODULE = "batchwright.taskservs.runner.child_main"
PASSED_ON = ("HOME", "LANG", "LC_ALL", "PATH", "PYTHONPATH", "SSH_AUTH_SOCK", "TMPDIR", "VIRTUAL_ENV")
WORD_BYTES = 32 * 1024 * 1024  # of one message, with lines as long as they can be
STOP_SECONDS = 3.0  # for the child to stop working on a server
END_SECONDS = 5.0  # for the child to end when it has nothing left to do
ERRORS_KEPT = 4_000  # bytes of its stderr


class ChildDied(Exception):
    """The child ended before it reported on a server: what it did there is unknown."""


class NotBegun(Exception):
    """No child was started: nothing was done on any server."""


class Hearer(Struct, frozen=True, eq=False):
    """A listener for one server: `tell` receives its lines, `done` its result."""

    tell: Callable[[str], None]
    done: asyncio.Future[Done]


class ChildProcess:
    """A child process and those who listen to it, by server. `shown` makes its last words fit for all of them."""

    def __init__(self, hearers: Mapping[str, Hearer], shown: Callable[[str], str] = printable) -> None:
        self._hearers = hearers
        self._shown = shown
        self._stopped = {host: asyncio.Event() for host in hearers}
        self._process: asyncio.subprocess.Process | None = None
        self._given = False  # whether it has received its job
        self._errors = b""

    async def run(self, job: ChildJob) -> None:
        """Run it from start to end. Servers without a result by then get ChildDied."""
        environ = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
        try:
            process = self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-P", "-m", MODULE),  # nothing of the folder that we happen to be in
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                env=environ,
                limit=WORD_BYTES,
                start_new_session=True,  # an interrupt at the terminal is ours to handle
            )
        except (OSError, RuntimeError, MemoryError) as error:  # one that was begun nevertheless has no job
            raise NotBegun(f"the runner's process cannot be started: {error}") from error
        errors = asyncio.create_task(self._keep_errors(process))
        try:
            with contextlib.suppress(ConnectionError):  # it died at once: seen below
                assert process.stdin is not None
                process.stdin.write(written(replace(job, hosts=self._wanted(job))))
                self._given = True
                await process.stdin.drain()
            await self._listen(process)
        finally:
            await _end(process)
            await errors
        for one in self._hearers.values():
            if not one.done.done():
                one.done.set_exception(ChildDied(self._last_words(process)))

    def _wanted(self, job: ChildJob) -> tuple[Host, ...]:
        """The servers that somebody still waits for."""
        return tuple(host for host in job.hosts if not self._hearers[host.id].done.done())

    async def stop(self, host: str) -> None:
        """See that nothing more is sent to a server that nobody waits for; a child that does not obey is killed."""
        process = self._process
        if process is None or not self._given or process.returncode is not None:
            return
        try:
            async with asyncio.timeout(STOP_SECONDS):
                assert process.stdin is not None
                process.stdin.write(written(Stop(host)))
                await process.stdin.drain()
                await self._stopped[host].wait()
        except (TimeoutError, ConnectionError):
            _kill(process)

    async def _listen(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        while (word := await _word(process.stdout)) is not None and word.host in self._hearers:
            match word:
                case OutputLine(host=host, text=text):
                    self._hearers[host].tell(text)
                case Stopped(host=host):
                    self._stopped[host].set()
                case Done(host=host):
                    if not self._hearers[host].done.done():
                        self._hearers[host].done.set_result(word)

    async def _keep_errors(self, process: asyncio.subprocess.Process) -> None:
        assert process.stderr is not None
        while chunk := await process.stderr.read(ERRORS_KEPT):
            self._errors = (self._errors + chunk)[-ERRORS_KEPT:]

    def _last_words(self, process: asyncio.subprocess.Process) -> str:
        words = self._errors.decode(errors="replace").strip().splitlines()
        how = f"the runner's process ended with {process.returncode}"
        return f"{how}: {self._shown(words[-1])}" if words else how


async def _word(stdout: asyncio.StreamReader) -> Word | None:
    """The next message; None at the end, and for an invalid or oversized one, after which its state is unknown."""
    try:
        line = await stdout.readline()
        return word_decoder.decode(line) if line else None
    except (ValueError, RecursionError):
        return None


async def _end(process: asyncio.subprocess.Process) -> None:
    """Its input ends, so it goes; and if it does not, it is killed."""
    assert process.stdin is not None
    process.stdin.close()
    try:
        async with asyncio.timeout(END_SECONDS):
            await process.wait()
    except BaseException as error:
        _kill(process)
        await process.wait()
        if not isinstance(error, TimeoutError):
            raise


def _kill(process: asyncio.subprocess.Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.kill()
