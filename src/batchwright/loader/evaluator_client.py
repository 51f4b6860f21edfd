"""The parent's side of the confined child process that evaluates Nickel."""

from __future__ import annotations

import importlib.util
import marshal
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Iterable
from functools import cache
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path
from types import TracebackType
from typing import IO, Protocol

import msgspec
import yaml
from msgspec import Struct

from batchwright.errors import EvaluatorUnavailable, EvaluatorUnconfined
from batchwright.loader import duplicate_keys, evaluator_process
from batchwright.loader.limits import MIB, LoaderLimits

GRACE_SECONDS = 2.0  # the child's own alarm comes first


class NickelError(Exception):
    """The evaluation ended with this message of Nickel's."""


class EvaluationLimitExceeded(Exception):
    """The child exceeded a limit. `code` and `message` say which."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class Confinement(Struct, frozen=True):
    """How the child is sandboxed: the kernel's Landlock version (0: none), and what is missing, with the reason."""

    landlock: int = 0
    missing: tuple[str, ...] = ()

    @property
    def is_whole(self) -> bool:
        """Whether it can only read its own files and compute."""
        return self.landlock > 0 and not self.missing


@cache
def confinement() -> Confinement:
    """How evaluations are sandboxed on this machine. Raises EvaluatorUnavailable."""
    with Evaluator(LoaderLimits(), ()) as evaluator:
        return evaluator.confinement


class EvaluatorChild(Protocol):
    """The child process, as subprocess.Popen has it."""

    stdin: IO[bytes] | None
    stdout: IO[bytes] | None

    @property
    def pid(self) -> int:
        """Its process id."""

    def kill(self) -> None:
        """Kill it, unless it has ended."""

    def wait(self) -> int:
        """Its exit status, or the signal that has killed it, negative."""


StartChild = Callable[[], EvaluatorChild]


def find_nickel() -> str:
    """Path of py-nickel's extension module, without importing it here. Raises EvaluatorUnavailable."""
    spec = importlib.util.find_spec("nickel")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        for suffix in EXTENSION_SUFFIXES:
            path = Path(folder, "nickel" + suffix)
            if path.exists():
                return str(path)
    raise EvaluatorUnavailable("the package py-nickel is not installed")


def started(*modules: str, stdin: int = subprocess.PIPE, stdout: int = subprocess.PIPE) -> subprocess.Popen[bytes]:
    """A new child; with the modules that it loads, a server that forks children. Raises OSError."""
    return subprocess.Popen(  # noqa: S603 - our own interpreter and our own file
        [sys.executable, "-I", "-S", evaluator_process.__file__, *modules],
        stdin=stdin,
        stdout=stdout,
        stderr=subprocess.DEVNULL,
        env={},
        cwd="/",
    )


class Evaluator:
    """One child process, started on entry and ended on exit; evaluates one expression after the other."""

    def __init__(
        self,
        limits: LoaderLimits,
        readable: Iterable[Path],
        *,
        repeats: Collection[str] = (),
        start: StartChild | None = None,
    ) -> None:
        """`repeats`: the forms of text, json or yaml, in which the child will also look for duplicate keys. With
        `start` the child is begun by it. It must be a new one: it serves one workflow."""
        self._start = start or started
        self._repeats = repeats
        self.confinement = Confinement()
        self._limits = limits
        self._readable = [str(path) for path in readable]
        self._deadline = time.monotonic() + limits.wall_seconds + GRACE_SECONDS
        self._child: EvaluatorChild | None = None

    def __enter__(self) -> Evaluator:
        limits = self._limits
        settings = {
            "nickel": find_nickel(),
            "repeats": duplicate_keys.__file__ if self._repeats else "",
            "yaml": str(Path(yaml.__file__).parent.parent) if "yaml" in self._repeats else "",
            "readable": self._readable,
            "memory": limits.memory_mib * MIB,
            "stack": limits.stack_mib * MIB,
            "cpu": limits.cpu_seconds,
            "wall": limits.wall_seconds,
        }
        try:
            self._child = self._start()
        except OSError as error:
            raise EvaluatorUnavailable(f"the Nickel evaluator cannot be started: {error}") from error
        try:
            self._send(marshal.dumps(settings))
            version, *missing = self._line().decode().rstrip("\n").split("\t")
            self.confinement = Confinement(int(version), tuple(missing))
        except (EvaluationLimitExceeded, ValueError) as error:
            self._end()
            raise EvaluatorUnavailable("the Nickel evaluator ended while it was starting") from error
        if limits.must_confine and not self.confinement.is_whole:
            self._end()
            reason = "; ".join(self.confinement.missing)
            raise EvaluatorUnconfined(f"this machine cannot sandbox the evaluation of clients' workflows: {reason}")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def run(self, expression: str) -> bytes:
        """The JSON that `expression` evaluates to. Raises NickelError, EvaluationLimitExceeded."""
        return self._ask("", expression)

    def repeats(self, text: str, form: str) -> list[duplicate_keys.DuplicateKey]:
        """What duplicate_keys.py finds in a text; `form` was named at the start. Raises EvaluationLimitExceeded."""
        return msgspec.json.decode(self._ask(form, text), type=list[duplicate_keys.DuplicateKey])

    def _ask(self, kind: str, text: str) -> bytes:
        body = text.encode()
        self._send(b"%d %s\n" % (len(body), kind.encode()) + body)
        status, length = self._line().split()
        if int(length) > self._limits.output_bytes:
            self._end()
            raise EvaluationLimitExceeded(
                "too-large", f"the result has more than {self._limits.output_bytes // MIB} MiB"
            )
        answer = self._read(int(length))
        if status == b"ok":
            return answer
        raise NickelError(answer.decode())

    def _pipe(self, name: str) -> IO[bytes]:
        assert self._child is not None, "the evaluator is used outside its `with`"
        pipe: IO[bytes] = getattr(self._child, name)
        return pipe

    def _send(self, body: bytes) -> None:
        try:
            self._pipe("stdin").write(body)
            self._pipe("stdin").flush()
        except BrokenPipeError:
            raise self._death() from None

    def _line(self) -> bytes:
        line = bytearray()
        while not line.endswith(b"\n"):
            line += self._read(1)
        return bytes(line)

    def _read(self, size: int) -> bytes:
        handle, parts = self._pipe("stdout").fileno(), []
        while size:
            if not _is_ready(handle, self._deadline - time.monotonic()):
                self._end()
                raise EvaluationLimitExceeded("too-slow", self._too_slow())
            part = os.read(handle, min(size, MIB))
            if not part:
                raise self._death()
            parts.append(part)
            size -= len(part)
        return b"".join(parts)

    def _too_slow(self) -> str:
        limits = self._limits
        return f"the evaluation takes more than {limits.cpu_seconds} CPU seconds or {limits.wall_seconds:g} seconds"

    def _death(self) -> EvaluationLimitExceeded:
        assert self._child is not None
        status = self._child.wait()
        if status in (-signal.SIGSEGV, -signal.SIGBUS):
            return EvaluationLimitExceeded("too-deep", "it is nested too deeply, or refers to itself endlessly")
        if status in (-signal.SIGABRT, evaluator_process.OUT_OF_MEMORY):
            return EvaluationLimitExceeded(
                "too-much-memory", f"the evaluation needs more than {self._limits.memory_mib} MiB of memory"
            )
        if status in (-signal.SIGXCPU, -signal.SIGALRM, -signal.SIGKILL):
            return EvaluationLimitExceeded("too-slow", self._too_slow())
        return EvaluationLimitExceeded("evaluator-failed", f"the evaluator ended with status {status}")

    def _end(self) -> None:
        if self._child is None:
            return
        self._child.kill()
        self._child.wait()
        for name in ("stdin", "stdout"):
            try:
                self._pipe(name).close()
            except BrokenPipeError:
                continue  # the process that would read the rest is gone


def _is_ready(handle: int, seconds: float) -> bool:
    with selectors.DefaultSelector() as selector:
        selector.register(handle, selectors.EVENT_READ)
        return bool(selector.select(max(seconds, 0)))
