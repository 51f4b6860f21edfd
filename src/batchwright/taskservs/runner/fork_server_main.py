"""The fork server of the runner: loads a module, then forks for each job. `python -m ...fork_server_main MODULE`.

Loading pyinfra takes half a second of CPU, a fork some milliseconds. The server reads no job: each fork gets streams of
its own and runs the module's `main`. A message on stdin is one byte with four descriptors: the job's lifeline, and the
stdin, stdout and stderr of its fork. The server writes one line to the lifeline, the exit code of the fork or why there
is none. When its other end closes, the fork and what it started are killed.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import importlib
import os
import signal
import sys
import traceback
from collections.abc import Callable
from os import fork, waitpid  # gevent replaces these names when the module is loaded: its loop must not run here
from pathlib import Path
from select import POLLIN, poll
from socket import recv_fds, socket

from msgspec import Struct

PR_SET_PDEATHSIG = 1
DESCRIPTORS = 4
CRASHED = 1  # exit code


class Fork(Struct, eq=False):
    """A fork that has not been waited for, so its process id is still its own. It leads a process group."""

    pid: int
    pidfd: int
    lifeline: socket
    killed: bool = False

    def kill(self) -> None:
        """Kill it and what it started."""
        self.killed = True
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)


class ForkLoop:
    """Forks for each message until its input ends. It has one thread and no event loop, so a fork is always safe."""

    def __init__(self, control: socket, main: Callable[[], None]) -> None:
        self._control, self._main = control, main
        self._forks: list[Fork] = []

    def serve(self) -> None:
        """Returns when the other end of the control socket is closed, with no fork left."""
        more = True
        while more:
            ready = self._ready()
            for one in [*self._forks]:
                if one.pidfd in ready:
                    self._reap(one)
                elif one.lifeline.fileno() in ready:
                    one.kill()
            if self._control.fileno() in ready:
                more = self._accept()
        for one in self._forks:
            one.kill()

    def _ready(self) -> set[int]:
        events = poll()
        events.register(self._control, POLLIN)
        for one in self._forks:
            events.register(one.pidfd, POLLIN)
            if not one.killed:
                events.register(one.lifeline, POLLIN)
        return {descriptor for descriptor, _ in events.poll()}

    def _reap(self, one: Fork) -> None:
        """Tell how it ended. What it started and left running is killed."""
        self._forks.remove(one)
        one.kill()
        _, status = waitpid(one.pid, 0)
        os.close(one.pidfd)
        _tell(one.lifeline, str(os.waitstatus_to_exitcode(status)))

    def _accept(self) -> bool:
        """Fork for one message. Returns False at the end of the input."""
        message, descriptors, _, _ = recv_fds(self._control, 1, DESCRIPTORS)
        if message:
            lifeline, *streams = descriptors
            self._begin(socket(fileno=lifeline), streams)
            for descriptor in streams:
                os.close(descriptor)
        return bool(message)

    def _begin(self, lifeline: socket, streams: list[int]) -> None:
        server = os.getpid()
        try:
            pid = fork()
        except OSError as error:
            _tell(lifeline, str(error))
            return
        if not pid:
            self._run(server, lifeline, streams)
        with contextlib.suppress(PermissionError, ProcessLookupError):  # it did so itself, or has ended
            os.setpgid(pid, pid)
        self._forks.append(Fork(pid, os.pidfd_open(pid), lifeline))

    def _run(self, server: int, lifeline: socket, streams: list[int]) -> None:
        """In the fork: run the job; never returns."""
        try:
            os.setpgid(0, 0)
            ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
            if os.getppid() != server:  # it died before that
                os._exit(CRASHED)
            for number, descriptor in enumerate(streams):
                os.dup2(descriptor, number)
            for descriptor in (*streams, *(one.pidfd for one in self._forks)):
                os.close(descriptor)
            for end in (self._control, lifeline, *(one.lifeline for one in self._forks)):
                end.close()
            self._main()
            os._exit(0)
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(CRASHED)


def _tell(lifeline: socket, line: str) -> None:
    with lifeline, contextlib.suppress(OSError):  # nobody waits for it any more
        lifeline.sendall(line.encode() + b"\n")


def main() -> None:
    """Load the module that the command line names, then serve."""
    control = socket(fileno=os.dup(0))
    with Path(os.devnull).open("rb") as nothing:
        os.dup2(nothing.fileno(), 0)
    module = importlib.import_module(sys.argv[1])
    gc.collect()
    gc.freeze()  # what is loaded stays in memory that the forks share
    ForkLoop(control, module.main).serve()
    os._exit(0)


if __name__ == "__main__":
    main()
