"""The processes that evaluate workflows of clients: few, kept from one workflow to the next, killed when late."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections import Counter
from collections.abc import Sequence

from msgspec import Struct

from batchwright.errors import EvaluatorUnavailable, ServiceBusy, TooManyRequests
from batchwright.loader import UNTRUSTED, Loaded, SourceLocation
from batchwright.resource_exhaustion import is_shortage
from batchwright.service.evaluator_worker import (
    LENGTH,
    Evaluated,
    EvaluationJob,
    decode_answer,
    encode,
    raised,
    refused,
)
from batchwright.service.fair_turns import FairTurns

MODULE = "batchwright.service.evaluator_worker"
PASSED_ON = ("HOME", "LANG", "LC_ALL", "PATH", "PYTHONPATH", "TMPDIR", "VIRTUAL_ENV")
PROCESSES = 2
# A workflow that waits holds its request and its text; the requests and the bytes of bodies have bounds of their own.
WAITING, OF_ONE = 640, 512  # workflows that may wait for one, and those of one caller
SECONDS = UNTRUSTED.wall_seconds + UNTRUSTED.search_seconds + 10.0  # for one workflow, all looks into it included
ANSWER_BYTES = 16 * 1024 * 1024  # of a workflow that was evaluated
USES = 200  # of one process
MEMORY_KIB = 512 * 1024  # of memory that a process may have used and still take jobs

_PIPE = asyncio.subprocess.PIPE


class _Lost(Exception):
    """The process ended before it had answered."""


class _Worker(Struct, eq=False):
    process: asyncio.subprocess.Process
    uses: int = 0
    memory: int = 0

    async def ask(self, job: EvaluationJob) -> Evaluated:
        """Raises _Lost."""
        stdin, stdout = self.process.stdin, self.process.stdout
        assert stdin is not None
        assert stdout is not None
        self.uses += 1
        body = encode(job)
        try:
            stdin.write(LENGTH.pack(len(body)) + body)
            await stdin.drain()
            (size,) = LENGTH.unpack(await stdout.readexactly(LENGTH.size))
            if size > ANSWER_BYTES:
                return Evaluated(
                    refused(job.name, "too-large", f"the workflow takes more than {ANSWER_BYTES >> 20} MiB")
                )
            told = await stdout.readexactly(size)
        except (ConnectionError, asyncio.IncompleteReadError) as error:
            raise _Lost from error
        answer = decode_answer(told)
        self.memory = answer.memory
        return answer

    @property
    def is_fresh(self) -> bool:
        """Whether it may be used again."""
        return self.process.returncode is None and self.uses < USES and self.memory < MEMORY_KIB

    async def end(self) -> None:
        """At once, with whatever it has begun."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.stdin.close()
        await self.process.wait()
        await self.process.stdout.read()


class EvaluatorPool:
    """A pool. One place is kept for what is urgent, so that who only looks does not keep out who submits.

    Callers take turns, so that who submits much does not keep out who submits little.
    """

    def __init__(
        self, processes: int = PROCESSES, waiting: int = WAITING, of_one: int = OF_ONE, seconds: float = SECONDS
    ) -> None:
        self._places = FairTurns(processes)
        self._looks = FairTurns(max(1, processes - 1))
        self._most, self._of_one, self._seconds = waiting, of_one, seconds
        self._waiting: Counter[str] = Counter()  # by caller
        self._idle: list[_Worker] = []
        self._busy: set[_Worker] = set()
        self._ending: set[asyncio.Task[None]] = set()

    async def load(self, job: EvaluationJob, by: str = "", *, urgent: bool = False) -> Loaded:
        """Evaluate and check a workflow. Raises TooManyRequests, EvaluatorUnavailable, and what the loader raises."""
        answer = await self._answer(job, by, urgent=urgent)
        if answer.loaded is None:
            raise raised(answer)
        return answer.loaded

    async def places(self, job: EvaluationJob, by: str = "", *, urgent: bool = False) -> Sequence[SourceLocation]:
        """Where the job's paths stand, as many as can be found; none when there is no room to look."""
        try:
            return (await self._answer(job, by, urgent=urgent)).spots
        except (TooManyRequests, EvaluatorUnavailable, ServiceBusy):
            return ()  # the findings are reported all the same

    async def _answer(self, job: EvaluationJob, by: str, *, urgent: bool) -> Evaluated:
        if self._waiting.total() >= self._most:
            raise TooManyRequests(f"{self._most} workflows are already waiting to be evaluated")
        if self._waiting[by] >= self._of_one:
            raise TooManyRequests(f"{self._of_one} workflows of {by} are already waiting to be evaluated")
        self._waiting[by] += 1
        try:
            async with contextlib.nullcontext() if urgent else self._looks.turn(by), self._places.turn(by):
                return await self._ask(job)
        finally:
            self._waiting[by] -= 1
            if not self._waiting[by]:
                del self._waiting[by]

    async def _ask(self, job: EvaluationJob) -> Evaluated:
        worker = self._idle.pop() if self._idle else await _begun()
        self._busy.add(worker)
        done = False
        try:
            async with asyncio.timeout(self._seconds):
                answer = await worker.ask(job)
            done = worker.is_fresh
        except TimeoutError:
            return Evaluated(refused(job.name, "too-slow", f"reading it takes more than {self._seconds:g} seconds"))
        except _Lost:
            return Evaluated(
                refused(job.name, "evaluator-failed", "the process that reads workflows ended while reading this one")
            )
        finally:
            self._busy.discard(worker)
            if done:
                self._idle.append(worker)
            else:
                self._end(worker)
        return answer

    def _end(self, worker: _Worker) -> None:
        task = asyncio.get_running_loop().create_task(worker.end())
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)

    async def aclose(self) -> None:
        """End all evaluator processes."""
        for worker in (*self._idle, *self._busy):
            self._end(worker)
        self._idle.clear()
        await asyncio.gather(*self._ending, return_exceptions=True)


async def _begun() -> _Worker:
    environ = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    try:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-m", MODULE),
            stdin=_PIPE,
            stdout=_PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            env=environ,
            start_new_session=True,
        )
    except (OSError, RuntimeError, MemoryError) as error:
        if is_shortage(error):
            raise ServiceBusy(f"no process can be started to read the workflow: {error}") from error
        raise EvaluatorUnavailable(f"the process that reads workflows cannot be started: {error}") from error
    return _Worker(process)
