"""One child process of the runner: sends its job and passes on its messages for each server."""

from __future__ import annotations

import asyncio
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
from batchwright.taskservs.runner.fork_server import ForkedProcess, ForkServer

WORD_BYTES = 32 * 1024 * 1024  # of one message, with lines as long as they can be
STOP_SECONDS = 3.0  # for the child to stop working on a server
END_SECONDS = 5.0  # for the child to end when it has nothing left to do
REST_SECONDS = 1.0  # for the rest of its output when it has ended, since what it started may hold that open
ERRORS_KEPT = 4_000  # bytes of its stderr


class ChildDied(Exception):
    """The child ended before it reported on a server: what it did there is unknown."""


class Hearer(Struct, frozen=True, eq=False):
    """A listener for one server: `tell` receives its lines, `done` its result."""

    tell: Callable[[str], None]
    done: asyncio.Future[Done]


class ChildProcess:
    """A fork for one job and those who listen to it, by server. `shown` makes its last words fit for all of them."""

    def __init__(
        self, server: ForkServer, hearers: Mapping[str, Hearer], shown: Callable[[str], str] = printable
    ) -> None:
        self._server = server
        self._hearers = hearers
        self._shown = shown
        self._stopped = {host: asyncio.Event() for host in hearers}
        self._process: ForkedProcess | None = None
        self._given = False  # whether it has received its job
        self._errors = b""

    async def run(self, job: ChildJob) -> None:
        """Run it from start to end. Servers without a result by then get ChildDied. Raises NotBegun."""
        process = self._process = await self._server.fork(WORD_BYTES)
        listening = asyncio.create_task(self._listen(process))
        reading = {listening, asyncio.create_task(self._keep_errors(process))}
        ended = asyncio.create_task(process.wait())
        try:
            process.stdin.write(written(replace(job, hosts=self._wanted(job))))
            self._given = True
            await asyncio.wait({listening, ended}, return_when=asyncio.FIRST_COMPLETED)
            code = await _end(process, ended)
            await asyncio.wait(reading, timeout=REST_SECONDS)
            if listening.done():
                listening.result()
        finally:
            for task in (*reading, ended):
                task.cancel()
            process.close()
        for one in self._hearers.values():
            if not one.done.done():
                one.done.set_exception(ChildDied(self._last_words(code)))

    def _wanted(self, job: ChildJob) -> tuple[Host, ...]:
        """The servers that somebody still waits for."""
        return tuple(host for host in job.hosts if not self._hearers[host.id].done.done())

    async def stop(self, host: str) -> None:
        """See that nothing more is sent to a server that nobody waits for; a child that does not obey is killed."""
        process = self._process
        if process is None or not self._given or process.ended:
            return
        process.stdin.write(written(Stop(host)))
        try:
            async with asyncio.timeout(STOP_SECONDS):
                await self._stopped[host].wait()
        except TimeoutError:
            process.kill()

    async def _listen(self, process: ForkedProcess) -> None:
        while (word := await _word(process.stdout)) is not None and word.host in self._hearers:
            match word:
                case OutputLine(host=host, text=text):
                    self._hearers[host].tell(text)
                case Stopped(host=host):
                    self._stopped[host].set()
                case Done(host=host):
                    if not self._hearers[host].done.done():
                        self._hearers[host].done.set_result(word)

    async def _keep_errors(self, process: ForkedProcess) -> None:
        while chunk := await process.stderr.read(ERRORS_KEPT):
            self._errors = (self._errors + chunk)[-ERRORS_KEPT:]

    def _last_words(self, code: int | None) -> str:
        said = self._errors if code is not None else self._server.last_words()
        words = said.decode(errors="replace").strip().splitlines()
        how = "the runner's process was lost" if code is None else f"the runner's process ended with {code}"
        return f"{how}: {self._shown(words[-1])}" if words else how


async def _word(stdout: asyncio.StreamReader) -> Word | None:
    """The next message; None at the end, and for an invalid or oversized one, after which its state is unknown."""
    try:
        line = await stdout.readline()
        return word_decoder.decode(line) if line else None
    except (ValueError, RecursionError):
        return None


async def _end(process: ForkedProcess, ended: asyncio.Task[int | None]) -> int | None:
    """Its input ends, so it goes; and if it does not, it is killed. Gives its exit code."""
    process.stdin.close()
    await asyncio.wait({ended}, timeout=END_SECONDS)
    if not ended.done():
        process.kill()
    return await ended
