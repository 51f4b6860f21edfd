"""Runs programs on this machine. Each has its own session, and the next driver of the run finds it again."""

from __future__ import annotations

import asyncio
import fcntl
import os
import resource
import shutil
import signal
import stat
import sys
from asyncio.subprocess import DEVNULL, Process
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import msgspec

from batchwright import resource_exhaustion
from batchwright.commands import output_values
from batchwright.commands.argument_limits import unfit
from batchwright.commands.base import (
    MARK,
    OUTPUTS,
    RESERVED,
    RUN,
    SERVERS,
    STEP,
    TRACEPARENT,
    Launch,
    launched,
    server_row,
)
from batchwright.commands.clean_output import CleanOutput
from batchwright.commands.preflight import find_here, find_program, search_path
from batchwright.commands.process_marker import FIRMLY, ProcessMarker
from batchwright.errors import SecretMissing
from batchwright.model.call_outcome import Applied, Rejected, Unknown
from batchwright.model.clock import Clock
from batchwright.model.diagnostic import Diagnostic
from batchwright.model.fault import Fault, FaultClass
from batchwright.model.secret_reference import SecretReference
from batchwright.model.trace_ids import traceparent
from batchwright.operations.command import Command, CommandRequest
from batchwright.redaction import Redactor, secrets_in_environment
from batchwright.secret_resolver import Reveal
from batchwright.secret_resolver import revealed as secret_of

LAST_WORDS_SECONDS = 1.0  # of silence after the program ended; a process it left running may keep its output open
REST_SECONDS = 30.0  # for the rest of the output, if another process keeps writing to the pipe

SHORT_OF = f"this machine has had no free file descriptors for {resource_exhaustion.WAIT_SECONDS:g} s"
PIPE_BYTES = 1024 * 1024  # of output that a program can write after its driver died, before it blocks


class LocalCommands:
    """The launcher of this machine. `folder` is private and holds the marker files of running programs. `reveal` looks
    up a secret when it is used.
    """

    def __init__(self, folder: Path, clock: Clock, environ: Mapping[str, str], reveal: Reveal) -> None:
        self._folder = folder
        self._clock = clock
        self._environ = environ
        self._reveal = reveal

    async def resolve(self, command: Command, folder: str = "") -> CommandRequest | list[Diagnostic]:
        return find_here(command, self._environ, folder)

    async def launch(self, request: CommandRequest, launch: Launch) -> Applied | Rejected | Unknown:
        return await launched(request, launch, self._clock, self._launch)

    async def _launch(
        self, request: CommandRequest, launch: Launch, words: tuple[str, ...]
    ) -> Applied | Rejected | Unknown:
        try:
            secrets = await revealed(request.env, self._reveal)
            known = {*secrets.values(), *secrets_in_environment(self._environ)}
            output = CleanOutput(launch.tell, known)
            self._folder.mkdir(mode=0o700, exist_ok=True)
            trace, told = ProcessMarker(self._folder, launch.mark), self._folder / f"{launch.mark}.json"
            given = self._folder / f"{launch.mark}.outputs"
            if trace.left and not await trace.end(self._clock):
                return Rejected(Fault(FaultClass.BUSY, f"an earlier start cannot be stopped: {_who(trace)}"))
            environ = {name: value for name, value in self._environ.items() if not name.startswith(RESERVED)}
            environ |= {TRACEPARENT: traceparent(launch.run, launch.step, undo=launch.undo)}
            environ |= {name: value for name, value in request.env.items() if isinstance(value, str)} | secrets
            environ |= {RUN: launch.run, STEP: launch.step, MARK: launch.mark, SERVERS: str(told)}
            environ |= {} if launch.undo else {OUTPUTS: str(given)}
            found = find_program(words, Path(request.directory), search_path(request.env, self._environ))
            if isinstance(found, Diagnostic):
                return _unrunnable(request, found)
            words = found
            if refusal := refused(request, words, environ):
                return refusal
            _write_private(told, msgspec.json.encode([server_row(server) for server in launch.servers]))
            _write_private(given, b"")
        except Exception as error:
            return not_started(request.name, error)
        try:
            outcome = await self._run(request, launch, words, environ, trace, output)
            if not isinstance(outcome, Applied) or launch.undo:
                return outcome
            return output_values.with_outputs(
                outcome, request.name, _read(given), request.outputs, Redactor(known), launch.tell
            )
        finally:
            for path in (told, given):
                with suppress(OSError):  # the outcome is known; the next start removes it, or says why it cannot
                    _remove(path)

    async def left_over(self, launch: Launch) -> str:
        trace = ProcessMarker(self._folder, launch.mark)
        return f"still running as {_who(trace)}" if trace.left and (trace.survivors() or trace.held()) else ""

    async def _run(
        self,
        request: CommandRequest,
        launch: Launch,
        words: tuple[str, ...],
        environ: dict[str, str],
        trace: ProcessMarker,
        output: CleanOutput,
    ) -> Applied | Rejected | Unknown:
        if not await resource_exhaustion.room(self._clock):
            return Rejected(Fault(FaultClass.TRANSIENT, f"{words[0]} was not started: {SHORT_OF}"))
        try:  # no other coroutine runs between here and the start
            lock = trace.begin()
        except OSError as error:
            return not_started(request.name, error)
        try:
            reading, writing = _pipe()
        except OSError as error:
            os.close(lock)
            trace.forget()
            return not_started(request.name, error)
        try:
            process = await asyncio.create_subprocess_exec(
                *words,
                stdin=DEVNULL,
                stdout=writing,
                stderr=writing,
                cwd=request.directory or None,
                env=environ,
                start_new_session=True,
                pass_fds=(lock, reading),  # as a reader of its own pipe it survives us without a SIGPIPE
            )
        except (OSError, ValueError, RuntimeError, MemoryError) as error:
            os.close(reading)
            os.close(lock)
            lock = -1
            return await self._not_started(request.name, error, trace)
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
            return Unknown(f"{request.name} did not end within {launch.seconds:.3g} s and was stopped{said(output)}")
        except BaseException:
            await _end(process, trace, self._clock)
            raise
        finally:
            await _rest(listening, output)
            holders = [] if listening.done() else _writers(reading)
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)
            output.close()
        if holders:
            launch.tell(held_open(request.name, ", ".join(holders)))
        trace.forget()
        return outcome_of(request.name, code, output, {} if launch.undo else request.answers)

    async def _not_started(self, word: str, error: Exception, trace: ProcessMarker) -> Rejected | Unknown:
        """The outcome of a start that failed. The program may already be running without a way to wait for it."""
        try:
            begun = bool(trace.survivors()) or trace.held()
        except OSError as blind:
            return Unknown(f"{word} failed to start: {_why(error)}; it may be running: {blind.strerror}")
        if not begun:
            trace.forget()
            return not_started(word, error)
        if await trace.end(self._clock):
            trace.forget()
        return Unknown(f"{word} was started but could not be monitored ({_why(error)}), so it was stopped")


def _as_the_user_set_it(pid: int) -> None:
    """Restore the soft limit of file descriptors that our process began with: some programs close all possible ones."""
    soft = resource_exhaustion.given()
    if soft is not None and sys.platform == "linux":
        with suppress(OSError, ValueError):
            resource.prlimit(pid, resource.RLIMIT_NOFILE, soft)


def refused(request: CommandRequest, words: Sequence[str], environ: Mapping[str, str]) -> Rejected | None:
    """Why the system would refuse the start, in clearer words than its own; None if it would not."""
    return None if (flaw := unfit(words, environ)) is None else _unrunnable(request, flaw)


def _unrunnable(request: CommandRequest, flaw: Diagnostic) -> Rejected:
    message = f"{request.name} failed to start: {flaw.message}"
    return Rejected(Fault(FaultClass.NOT_FOUND, message, flaw.code, flaw.hint))


def not_started(name: str, error: Exception) -> Rejected:
    """The outcome of a start that failed for certain. If this machine lacks a resource, a retry may work."""
    if isinstance(error, SecretMissing):
        return Rejected(Fault(FaultClass.INVALID, error.message, error.code, error.hint))
    kind = FaultClass.TRANSIENT if resource_exhaustion.is_shortage(error) else FaultClass.NOT_FOUND
    return Rejected(Fault(kind, f"{name} failed to start: {_why(error)}"))


def _why(error: Exception) -> str:
    """The reason, without the text that could not be encoded, which may be a secret."""
    if isinstance(error, UnicodeError):
        return "it has characters that this locale cannot encode"
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror}: {error.filename}" if error.filename else error.strerror
    return str(error) or type(error).__name__


def held_open(name: str, holders: str) -> str:
    """A hint that explains why the output is not complete."""
    return f"{name} has ended, but {holders} can still write to its output: redirect the output of background processes"


def _writers(reading: int) -> list[str]:
    """The processes that can still write to a pipe, as `process 12 (sleep)`."""
    pipe, found = f"pipe:[{os.fstat(reading).st_ino}]", []
    for place in Path("/proc").iterdir():
        if not place.name.isdigit() or int(place.name) == os.getpid():
            continue
        with suppress(OSError):  # it has ended, or belongs to another user
            if any(os.readlink(one) == pipe and one.lstat().st_mode & stat.S_IWUSR for one in (place / "fd").iterdir()):  # noqa: PTH115
                found.append(f"process {place.name} ({(place / 'comm').read_text().strip()})")
    return found


def outcome_of(
    name: str, code: int, output: CleanOutput, answers: Mapping[str, int] = {}
) -> Applied | Rejected | Unknown:
    """The outcome for the exit code of a program; a negative code is a signal. `answers` names the codes of success."""
    answer = next((answer for answer, given in answers.items() if given == code), "")
    if answer or (code == 0 and not answers):
        return Applied(answer=answer)
    if code < 0:
        return Unknown(f"{name} was killed by {_signal_name(-code)}{said(output)}")
    return Rejected(Fault(FaultClass.EXIT, f"{name} exited with code {code}{said(output)}", code=str(code)))


async def revealed(env: Mapping[str, str | SecretReference], reveal: Reveal) -> dict[str, str]:
    """The secrets among these variables. A program that prints one may take a while. Raises SecretMissing."""
    named = {name: value for name, value in env.items() if isinstance(value, SecretReference)}
    return {name: await secret_of(secret, reveal) for name, secret in named.items()}


async def _end(process: Process, trace: ProcessMarker, clock: Clock) -> None:
    """Stop the program and all processes it started, and remove its marker if that worked."""
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
    with suppress(OSError):  # a user may have only a limited number of watches
        fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
    return reading, writing


async def _listen(reading: int, output: CleanOutput) -> None:
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    with os.fdopen(reading, "rb", buffering=0) as pipe:
        transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), pipe)
        try:
            while data := await reader.read(64 * 1024):
                output.hear(data)
        finally:
            transport.close()


async def _rest(listening: asyncio.Task[None], output: CleanOutput) -> None:
    """Read what a program that has ended left in the pipe, until its end or until it stays silent."""
    loop = asyncio.get_running_loop()
    until, heard = loop.time() + REST_SECONDS, -1
    while not listening.done() and heard != output.heard and loop.time() < until:
        heard = output.heard
        await asyncio.wait([listening], timeout=LAST_WORDS_SECONDS)


def said(output: CleanOutput) -> str:
    """The end of an output, for a message."""
    last = output.last()
    return f":\n{last}" if last else ""


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _who(trace: ProcessMarker) -> str:
    pids = trace.survivors()
    return _pids(pids) if pids else "a process that cannot be inspected"


def _pids(pids: Iterable[int]) -> str:
    return "process " + ", ".join(map(str, pids))


def _read(path: Path) -> bytes:
    """What a program wrote, one byte more than is allowed at most; nothing if it took the file away."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return b""
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        return b""
    with os.fdopen(descriptor, "rb") as file:
        return file.read(output_values.BYTES_MAX + 1)


def _write_private(path: Path, body: bytes) -> None:
    _remove(path)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(body)


def _remove(path: Path) -> None:
    """Remove a file, or the folder that a program has put in its place."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
