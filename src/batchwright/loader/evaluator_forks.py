"""Forks the confined child process from one that has loaded the evaluator: for whoever evaluates again and again."""

from __future__ import annotations

import errno
import os
import signal
import socket
import subprocess
from contextlib import ExitStack, suppress
from typing import IO

from batchwright.loader import duplicate_keys
from batchwright.loader.evaluator_client import find_nickel, started


class ForkedChild:
    """A fork. The server keeps its process id from being used again until it has been waited for here."""

    def __init__(self, pid: int, stdin: IO[bytes], stdout: IO[bytes], control: socket.socket, told: IO[bytes]) -> None:
        self.pid = pid
        self.stdin: IO[bytes] | None = stdin
        self.stdout: IO[bytes] | None = stdout
        self._pidfd = os.pidfd_open(pid)
        self._control, self._told = control, told
        self._status: int | None = None

    def kill(self) -> None:
        """See EvaluatorChild."""
        if self._status is None:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)

    def wait(self) -> int:
        """See EvaluatorChild. When the server dies, its fork is killed."""
        if self._status is None:
            line = self._told.readline()
            self._status = int(line) if line else -signal.SIGKILL
            os.close(self._pidfd)
            with suppress(OSError):
                self._control.sendall(b".")
        return self._status


class EvaluatorForks:
    """A process that has loaded the evaluator, and forks a child for each evaluation, one after the other.

    To load it takes as long as to read a small workflow, to fork a moment. It is told nothing of what is evaluated, so
    a child has nothing of the one before. It begins with the first fork, and ends with this process at the latest.
    """

    def __init__(self) -> None:
        self._server: subprocess.Popen[bytes] | None = None
        self._ends = ExitStack()

    def fork(self) -> ForkedChild:
        """A new child; the one before must have been waited for. Raises OSError, EvaluatorUnavailable."""
        if self._server is None or self._server.poll() is not None:
            self._start()
        with ExitStack() as ours, ExitStack() as theirs:
            requests, stdin = _pipe(theirs, ours)
            stdout, answers = _pipe(ours, theirs)
            socket.send_fds(self._control, [b"f"], [requests.fileno(), answers.fileno()])
            line = self._told.readline()
            if not line:
                raise OSError(errno.ECHILD, "the process that forks it has ended")
            child = ForkedChild(int(line), stdin, stdout, self._control, self._told)
            ours.pop_all()
            return child

    def _start(self) -> None:
        self.close()
        self._control, theirs = socket.socketpair()
        self._ends.callback(self._control.close)
        self._told = self._ends.enter_context(self._control.makefile("rb"))
        with theirs:
            modules = find_nickel(), str(duplicate_keys.__file__)
            self._server = started(*modules, stdin=theirs.fileno(), stdout=subprocess.DEVNULL)

    def close(self) -> None:
        """End the process. The next fork begins another."""
        self._ends.close()
        if self._server is not None:
            self._server.kill()
            self._server.wait()
            self._server = None


def _pipe(reader: ExitStack, writer: ExitStack) -> tuple[IO[bytes], IO[bytes]]:
    """A pipe; each of its ends is closed with what it belongs to."""
    reading, writing = os.pipe()
    return reader.enter_context(os.fdopen(reading, "rb")), writer.enter_context(os.fdopen(writing, "wb"))
