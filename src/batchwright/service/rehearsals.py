"""Rehearsals that clients ask for: each in a process of its own, few at a time, killed when nobody asks for them."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import signal
import sys
from enum import StrEnum

import msgspec
from msgspec import Struct

from batchwright.errors import RehearsalNotFound, ServiceBusy, TooManyRequests
from batchwright.model.clock import Clock
from batchwright.resource_exhaustion import is_shortage
from batchwright.service.evaluator_pool import PASSED_ON
from batchwright.service.rehearsal_worker import RehearsalJob, RehearsalProblem, decode_line
from batchwright.views.rehearsal import RehearsalView

MODULE = "batchwright.service.rehearsal_worker"
RUNNING = 2  # at a time, each on one core
SECONDS_MOST = 60.0  # for exploring
LIFE_SECONDS = 120.0  # of the process besides: the plan, the rules, the report
LEFT_SECONDS = 30.0  # without a question, after which the client is gone
KEPT, KEPT_SECONDS = 20, 3_600.0  # results, and for how long
LINE_BYTES = 16 * 1024 * 1024


class RehearsalState(StrEnum):
    """How far a rehearsal is."""

    RUNNING = "running"
    FINISHED = "finished"
    FAILED = "failed"  # `problem` says why
    CANCELLED = "cancelled"  # by somebody, or since nobody asked for it any more


class Rehearsal(Struct):
    """One rehearsal: `runs` and `seconds` so far, and its result. `began` is when it was asked for."""

    id: str
    by: str
    workflow: str
    began: float
    state: RehearsalState = RehearsalState.RUNNING
    runs: int = 0
    seconds: float = 0.0
    most_seconds: float = 0.0
    report: RehearsalView | None = None
    problem: RehearsalProblem | None = None


class _Entry(Struct, eq=False):
    told: Rehearsal
    asked: float  # when somebody asked for it, by the monotonic clock
    task: asyncio.Task[None] | None = None


class Rehearsals:
    """Starts rehearsals, and keeps what came of them for a while."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._entries: dict[str, _Entry] = {}

    def begin(self, job: RehearsalJob, workflow: str, by: str) -> Rehearsal:
        """Start one. Raises TooManyRequests while as many as may are running."""
        self._forget()
        running = sum(one.told.state is RehearsalState.RUNNING for one in self._entries.values())
        if running >= RUNNING:
            raise TooManyRequests(
                f"{running} rehearsals are running", hint="Wait until one has ended, or cancel it: each uses a core."
            )
        told = Rehearsal(secrets.token_hex(8), by, workflow, self._clock.now(), most_seconds=job.seconds)
        entry = self._entries[told.id] = _Entry(told, self._clock.monotonic())
        entry.task = asyncio.create_task(self._carry_out(entry, job))
        return told

    def find(self, name: str) -> Rehearsal:
        """A rehearsal, which goes on as long as somebody asks for it. Raises RehearsalNotFound."""
        entry = self._entry(name)
        entry.asked = self._clock.monotonic()
        return entry.told

    async def cancel(self, name: str) -> Rehearsal:
        """End one that is running. Raises RehearsalNotFound."""
        entry = self._entry(name)
        if entry.task is not None and not entry.task.done():
            entry.task.cancel()
            await asyncio.gather(entry.task, return_exceptions=True)
            if entry.told.state is RehearsalState.RUNNING:  # the task had not even begun
                entry.told.state = RehearsalState.CANCELLED
        return entry.told

    async def aclose(self) -> None:
        """End all of them."""
        for name in tuple(self._entries):
            await self.cancel(name)

    def _entry(self, name: str) -> _Entry:
        self._forget()
        if name not in self._entries:
            raise RehearsalNotFound(f"there is no rehearsal {name}")
        return self._entries[name]

    def _forget(self) -> None:
        ended = [one.told for one in self._entries.values() if one.told.state is not RehearsalState.RUNNING]
        old = [one for one in ended if self._clock.now() > one.began + KEPT_SECONDS]
        for one in {one.id for one in (*ended[:-KEPT], *old)}:
            del self._entries[one]

    async def _carry_out(self, entry: _Entry, job: RehearsalJob) -> None:
        told, process, began = entry.told, None, self._clock.monotonic()
        try:
            process = await _begun(job)
            until = began + job.seconds + LIFE_SECONDS
            reading = asyncio.create_task(_read(process, told))
            try:
                while not reading.done():
                    now = self._clock.monotonic()
                    if now > until or now > entry.asked + LEFT_SECONDS:
                        late = now > until
                        told.state = RehearsalState.FAILED if late else RehearsalState.CANCELLED
                        if late:
                            told.problem = RehearsalProblem("too-slow", f"it takes more than {now - began:.0f} seconds")
                        return
                    await asyncio.wait(
                        [reading, pause := asyncio.create_task(self._clock.sleep(1.0))],
                        return_when=asyncio.FIRST_COMPLETED,
                    )
                    pause.cancel()
                    told.seconds = round(self._clock.monotonic() - began, 1)
                await reading
            finally:
                reading.cancel()
            if told.report is None and told.problem is None:
                told.problem = RehearsalProblem("rehearsal-failed", "its process ended before the report")
            told.state = RehearsalState.FINISHED if told.report is not None else RehearsalState.FAILED
        except asyncio.CancelledError:
            told.state = RehearsalState.CANCELLED
            raise
        except (OSError, ValueError, msgspec.DecodeError, ServiceBusy) as error:
            told.state, told.problem = RehearsalState.FAILED, RehearsalProblem("rehearsal-failed", str(error))
        finally:
            if process is not None:
                await _end(process)


async def _begun(job: RehearsalJob) -> asyncio.subprocess.Process:
    """The process, which has its job. Raises ServiceBusy."""
    named = (name for name in os.environ if name in PASSED_ON or name.startswith(("BATCHWRIGHT_", "XDG_")))
    environ = {name: os.environ[name] for name in named if "TOKEN" not in name and "PASSWORD" not in name}
    try:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-m", MODULE),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            env=environ,
            limit=LINE_BYTES,
            start_new_session=True,
        )
    except (OSError, RuntimeError, MemoryError) as error:
        if is_shortage(error):
            raise ServiceBusy(f"no process can be started to rehearse the workflow: {error}") from error
        raise
    assert process.stdin is not None
    with contextlib.suppress(ConnectionError):  # it ends before it has read everything: so do its answers
        process.stdin.write(msgspec.msgpack.encode(job))
        await process.stdin.drain()
    process.stdin.close()
    return process


async def _read(process: asyncio.subprocess.Process, told: Rehearsal) -> None:
    """Hear what the process says until it ends."""
    assert process.stdout is not None
    while text := await process.stdout.readline():
        line = decode_line(text)
        told.runs = max(told.runs, line.runs)
        told.report, told.problem = line.report, line.problem


async def _end(process: asyncio.subprocess.Process) -> None:
    """At once, with all that it has begun."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    await process.wait()
