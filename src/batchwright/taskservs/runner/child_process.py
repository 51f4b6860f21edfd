"""The child process of one call: gets its job, runs its commands on the server, and passes on its messages."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

from batchwright.printable import printable
from batchwright.taskservs.runner.child_protocol import (
    ChildJob,
    Done,
    OutputLine,
    Reconnect,
    Reply,
    RunCommand,
    Word,
    word_decoder,
    written,
)
from batchwright.taskservs.runner.command_relay import CommandRelay
from batchwright.taskservs.runner.fork_server import ForkedProcess, ForkServer

WORD_BYTES = 32 * 1024 * 1024  # of one message, with lines as long as they can be
END_SECONDS = 5.0  # for the child to end when it has nothing left to do
REST_SECONDS = 1.0  # for the rest of its output when it has ended, since what it started may hold that open
ERRORS_KEPT = 4_000  # bytes of its stderr


class ChildDied(Exception):
    """The child ended before it reported: what it did on the server is unknown."""


class ChildProcess:
    """A fork for one job. Only this process has a connection to the server: when `run` is cancelled, nothing more is
    sent there. `shown` makes the fork's last words fit to be shown.
    """

    def __init__(
        self,
        server: ForkServer,
        commands: CommandRelay,
        tell: Callable[[str], None],
        shown: Callable[[str], str] = printable,
    ) -> None:
        self._server, self._commands, self._tell, self._shown = server, commands, tell, shown
        self._asked: asyncio.Queue[RunCommand | Reconnect] = asyncio.Queue(1)
        self._errors = b""

    async def run(self, job: ChildJob) -> Done:
        """Run it from start to end. Raises NotBegun, ChildDied."""
        process = await self._server.fork(WORD_BYTES)
        listening = asyncio.create_task(self._listen(process))
        errors, serving = asyncio.create_task(self._keep_errors(process)), asyncio.create_task(self._serve(process))
        ended = asyncio.create_task(process.wait())
        tasks = {listening, errors, serving, ended}
        try:
            process.stdin.write(written(job))
            await asyncio.wait({listening, serving, ended}, return_when=asyncio.FIRST_COMPLETED)
            code = None
            if not listening.done() or listening.result() is None:
                if serving.done():
                    serving.result()
                code = await _end(process, ended)
                await asyncio.wait({listening, errors}, timeout=REST_SECONDS)
            done = listening.result() if listening.done() else None
        finally:
            for task in tasks:
                task.cancel()
            process.close()
            await asyncio.wait(tasks)
        if done is None:
            raise ChildDied(self._last_words(code))
        return done

    async def _listen(self, process: ForkedProcess) -> Done | None:
        while (word := await _word(process.stdout)) is not None:
            match word:
                case OutputLine(text=text):
                    self._tell(text)
                case Done():
                    return word
                case _:
                    await self._asked.put(word)
        return None

    async def _serve(self, process: ForkedProcess) -> None:
        async def reply(one: Reply) -> None:
            process.stdin.write(written(one))
            await process.stdin.drain()

        with contextlib.suppress(ConnectionError):  # it has ended
            while True:
                asked = await self._asked.get()
                if isinstance(asked, Reconnect):
                    await reply(await self._commands.reconnect())
                else:
                    await reply(await self._commands.run(asked, reply))

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
