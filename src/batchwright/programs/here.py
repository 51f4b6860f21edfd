"""Programs on this machine. Each has a session of its own, and is found again by whoever drives the run next."""

from __future__ import annotations

import asyncio
import fcntl
import os
import resource
import signal
import sys
from asyncio.subprocess import DEVNULL, Process
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path

import msgspec

from batchwright import headroom
from batchwright.errors import SecretMissing
from batchwright.model.clock import Clock
from batchwright.model.outcome import Applied, Fault, FaultClass, Rejected, Unknown
from batchwright.model.plan import CommandRequest
from batchwright.model.secret import Secret
from batchwright.model.workflow import Command
from batchwright.programs.base import MARK, RESERVED, RUN, SERVERS, STEP, Flaw, Launch, Server
from batchwright.programs.finding import find_here
from batchwright.programs.output import Output
from batchwright.programs.traces import FIRMLY, Trace

LAST_WORDS_SECONDS = 1.0  # for what a program left in the pipe; a process it leaves running may hold that open for ever

SHORT_OF = f"this machine has had no free file descriptors for {headroom.WAIT_SECONDS:g} s"
PIPE_BYTES = 1024 * 1024  # of output that a program whose driver died can still write before it has to wait

Reveal = Callable[[Secret], str]


class Here:
    """`folder` is private and keeps what a program leaves while it runs. `reveal` finds a secret when it is used."""

    def __init__(self, folder: Path, clock: Clock, environ: Mapping[str, str], reveal: Reveal) -> None:
        self._folder = folder
        self._clock = clock
        self._environ = environ
        self._reveal = reveal

    async def resolve(self, command: Command) -> CommandRequest | list[Flaw]:
        return find_here(command, self._environ)

    async def launch(self, request: CommandRequest, launch: Launch) -> Applied | Rejected | Unknown:
        try:
            secrets = await revealed(request.env, self._reveal)
        except SecretMissing as error:
            return Rejected(Fault(FaultClass.INVALID, error.message, error.code, error.hint))
        self._folder.mkdir(mode=0o700, exist_ok=True)
        trace = Trace(self._folder, launch.mark)
        if trace.left and not await trace.end(self._clock):
            return Rejected(Fault(FaultClass.BUSY, f"an earlier start cannot be ended: {_who(trace)}"))
        told = self._folder / f"{launch.mark}.json"
        _write_private(told, msgspec.json.encode([_row(server) for server in launch.servers]))
        environ = {name: value for name, value in self._environ.items() if not name.startswith(RESERVED)}
        environ |= {name: value for name, value in request.env.items() if isinstance(value, str)} | secrets
        environ |= {RUN: launch.run, STEP: launch.step, MARK: launch.mark, SERVERS: str(told)}
        output = Output(launch.tell, secrets.values())
        try:
            return await self._run(request, launch, environ, trace, output)
        finally:
            told.unlink(missing_ok=True)

    async def left_over(self, launch: Launch) -> str:
        trace = Trace(self._folder, launch.mark)
        return f"it still runs as {_who(trace)}" if trace.left and (trace.survivors() or trace.held()) else ""

    async def _run(
        self, request: CommandRequest, launch: Launch, environ: dict[str, str], trace: Trace, output: Output
    ) -> Applied | Rejected | Unknown:
        words = request.undo if launch.undo else request.run
        if not await headroom.room(self._clock):
            return Rejected(Fault(FaultClass.TRANSIENT, f"{words[0]} was not started: {SHORT_OF}"))
        lock = trace.begin()  # from here to the start nothing else of this process gets its turn
        reading, writing = _pipe()
        try:
            process = await asyncio.create_subprocess_exec(
                *words,
                stdin=DEVNULL,
                stdout=writing,
                stderr=writing,
                cwd=request.directory or None,
                env=environ,
                start_new_session=True,
                pass_fds=(lock, reading),  # with a reader of its own it outlives ours: no SIGPIPE half-way
            )
        except (OSError, ValueError, RuntimeError, MemoryError) as error:
            os.close(reading)
            os.close(lock)
            lock = -1
            return await self._not_started(words[0], error, trace)
        except BaseException:
            os.close(reading)
            raise
        finally:
            os.close(writing)
            if lock >= 0:
                os.close(lock)
        _as_the_user_set_it(process.pid)
        listening = asyncio.create_task(_listen(reading, output))
        try:
            async with asyncio.timeout(launch.seconds):
                code = await process.wait()
        except TimeoutError:
            await _end(process, trace, self._clock)
            return Unknown(f"{request.name} did not end within {launch.seconds:g} s and was ended{_said(output)}")
        except BaseException:
            await _end(process, trace, self._clock)
            raise
        finally:
            await asyncio.wait([listening], timeout=LAST_WORDS_SECONDS)
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)
            output.close()
        trace.forget()
        return outcome_of(request.name, code, output)

    async def _not_started(self, word: str, error: Exception, trace: Trace) -> Rejected | Unknown:
        """What a start that failed means. It may fail when the program has begun already and cannot be waited for."""
        why = (error.strerror if isinstance(error, OSError) else "") or str(error) or type(error).__name__
        kind = FaultClass.TRANSIENT if headroom.is_shortage(error) else FaultClass.NOT_FOUND
        try:
            begun = bool(trace.survivors()) or trace.held()
        except OSError as blind:
            return Unknown(f"{word} cannot be started: {why}; whether it was cannot be seen: {blind.strerror}")
        if not begun:
            trace.forget()
            return Rejected(Fault(kind, f"{word} cannot be started: {why}"))
        if await trace.end(self._clock):
            trace.forget()
        return Unknown(f"{word} was started and could not be watched ({why}), so it was ended")


def _as_the_user_set_it(pid: int) -> None:
    """Give a program the limit of descriptors that ours had when it began: some close all that there may be."""
    soft = headroom.given()
    if soft is not None and sys.platform == "linux":
        with suppress(OSError, ValueError):
            resource.prlimit(pid, resource.RLIMIT_NOFILE, soft)


def outcome_of(name: str, code: int, output: Output) -> Applied | Rejected | Unknown:
    """What the code that a program ended with means; a signal is a negative code."""
    if code == 0:
        return Applied()
    if code < 0:
        return Unknown(f"{name} was ended by {_signal_name(-code)}{_said(output)}")
    return Rejected(Fault(FaultClass.EXIT, f"{name} ended with exit code {code}{_said(output)}", code=str(code)))


async def revealed(env: Mapping[str, str | Secret], reveal: Reveal) -> dict[str, str]:
    """The secrets among these variables. A program that prints one may take its time. Raises SecretMissing."""
    named = {name: value for name, value in env.items() if isinstance(value, Secret)}
    return {name: await asyncio.to_thread(reveal, secret) for name, secret in named.items()}


async def _end(process: Process, trace: Trace, clock: Clock) -> None:
    """End the program and all that it began, and forget it if that worked."""
    ended = await trace.end(clock)
    with suppress(TimeoutError):
        if not ended and process.returncode is None:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        async with asyncio.timeout(FIRMLY):
            await process.wait()
    if ended:
        trace.forget()


def _pipe() -> tuple[int, int]:
    reading, writing = os.pipe()
    with suppress(OSError):  # a user may have only so much of it
        fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
    return reading, writing


async def _listen(reading: int, output: Output) -> None:
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    with os.fdopen(reading, "rb", buffering=0) as pipe:
        transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), pipe)
        try:
            while data := await reader.read(64 * 1024):
                output.hear(data)
        finally:
            transport.close()


def _said(output: Output) -> str:
    last = output.last()
    return f":\n{last}" if last else ""


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _who(trace: Trace) -> str:
    pids = trace.survivors()
    return _pids(pids) if pids else "a process that cannot be looked into"


def _pids(pids: Iterable[int]) -> str:
    return "process " + ", ".join(map(str, pids))


def _row(server: Server) -> dict[str, object]:
    """A server in the file that a program is told of, for scripts and inventories."""
    row: dict[str, object] = {
        "name": server.name,
        "address": server.address,
        "provider": server.provider,
        "zone": server.zone,
    }
    if server.access is not None:
        access = server.access
        row |= {"host": access.host, "port": access.port, "user": access.user, "key": access.key}
        row["host_keys"] = list(access.host_keys)
    return row


def _write_private(path: Path, body: bytes) -> None:
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(body)
