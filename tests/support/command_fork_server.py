"""The command in processes of its own that load nothing: they are forked from one that has loaded all of it.

To start the command takes a third to two thirds of a second of CPU, most of it to import what it needs; a fork takes
some milliseconds. It is a real process all the same: a child of the test's, which may be killed and waited for, with
streams, a folder and an environment of its own.
"""

from __future__ import annotations

import ctypes
import gc
import os
import pickle
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import import_module
from inspect import signature
from pathlib import Path
from typing import Any

from batchwright import __main__ as program
from batchwright.cli.main import COMMANDS, GROUPS
from tests.support.command_line import COMMAND, SOURCES

ROOT = Path(__file__).parents[2]
LOADED = ("batchwright.api.server", "batchwright.dashboard.page_middleware", "batchwright.mcp.endpoint", "surrealdb")
EXECUTE = subprocess.Popen._execute_child  # type: ignore[attr-defined]
TAKEN = signature(EXECUTE)
PIPES = ("p2cread", "p2cwrite", "c2pread", "c2pwrite", "errread", "errwrite")
# what a fork is not given: then the command is started
USUAL = {
    "executable": None, "preexec_fn": None, "pass_fds": (), "shell": False, "process_group": -1,
    "gid": None, "gids": None, "uid": None, "umask": -1,
}  # fmt: skip
# what an interpreter and some libraries read when they are loaded, before a fork has its environment
AT_START = (
    *("LD_PRELOAD", "LANG", "LC_ALL", "LC_CTYPE", "PYTHONIOENCODING", "PYTHONUTF8", "PYTHONWARNINGS", "PYTHONDEVMODE"),
    *("FORCE_COLOR", "TERMINAL_WIDTH", "GITHUB_ACTIONS"),
)
PR_SET_CHILD_SUBREAPER = 36
STREAMS = 3
JOB_MOST = 200_000  # bytes


Job = tuple[list[str], dict[str, str], str, bool]  # words, environment, folder, and whether it leads a session


def execute(popen: subprocess.Popen[Any], *args: Any) -> None:
    """In place of `Popen._execute_child`: fork if it is `COMMAND` and nothing unusual, else execute the program."""
    given = TAKEN.bind(popen, *args).arguments
    words, env = given["args"], os.environ if given["env"] is None else given["env"]
    if list(words[: len(COMMAND)]) != COMMAND or not _is_usual(given, env):
        EXECUTE(popen, *args)
        return
    rest = [os.fspath(word) for word in words[len(COMMAND) :]]
    job = rest, dict(env), os.fspath(given["cwd"] or Path.cwd()), given["start_new_session"]
    streams = [given[one] if given[one] != -1 else own for own, one in enumerate(("p2cread", "c2pwrite", "errwrite"))]
    popen.pid = CommandForkServer.shared().fork(job, streams)
    popen._child_created = True  # type: ignore[attr-defined]
    popen._close_pipe_fds(*(given[one] for one in PIPES))  # type: ignore[attr-defined]


def _is_usual(given: Mapping[str, Any], env: Mapping[str, str]) -> bool:
    return (
        all((tuple(given[name]) if name == "pass_fds" else given[name]) == usual for name, usual in USUAL.items())
        and all(env.get(name) == os.environ.get(name) for name in AT_START)
        and env.get("PYTHONPATH") in (SOURCES, os.environ.get("PYTHONPATH"))
    )


class CommandForkServer:
    """A process that has loaded the command and forks for each job. It ends when this process does."""

    def __init__(self) -> None:
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            paths = filter(None, (SOURCES, os.environ.get("PYTHONPATH")))
            environ = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "NO_COLOR": "1"}
            self._process = subprocess.Popen([sys.executable, "-m", __name__], stdin=theirs, cwd=ROOT, env=environ)
        self._lock = threading.Lock()  # for tests that start commands in threads

    @classmethod
    @cache
    def shared(cls) -> CommandForkServer:
        """The one of this process, which starts at its first use."""
        return cls()

    @classmethod
    def end_shared(cls) -> None:
        """End it, if there is one. What it has forked goes on."""
        if cls.shared.cache_info().currsize:
            cls.shared()._control.close()
            cls.shared()._process.wait()
            cls.shared.cache_clear()

    def fork(self, job: Job, streams: Sequence[int]) -> int:
        """The process id of a new child of this process."""
        with self._lock:
            socket.send_fds(self._control, [pickle.dumps(job)], streams)
            pid = int(self._control.recv(20))
            _adopt_orphans(True)  # its parent ends now; kept short, as nobody would wait for another orphan
            self._control.send(b"end")
            assert self._control.recv(1), "the fork server has ended"
            _adopt_orphans(False)
        return pid


def _adopt_orphans(wanted: bool) -> None:
    assert ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, int(wanted), 0, 0, 0) == 0


def main() -> None:
    """Load the command, then fork for each message; in each fork, carry out what the message says."""
    control = socket.socket(fileno=os.dup(0))
    with Path(os.devnull).open("rb") as nothing:
        os.dup2(nothing.fileno(), 0)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # one from the terminal is for the tests
    for module in (*(place.partition(":")[0] for _, place, _ in (*COMMANDS, *GROUPS)), *LOADED):
        import_module(module)
    assert len([*Path("/proc/self/task").iterdir()]) == 1, "a thread would be missing in the forks"
    gc.collect()
    gc.freeze()  # what is loaded stays in memory that the forks share
    while True:
        message, streams, _, _ = socket.recv_fds(control, JOB_MOST, STREAMS)
        if not message:
            os._exit(0)
        if _is_fork(control):
            break
        for descriptor in streams:
            os.close(descriptor)
    control.close()
    _become(pickle.loads(message), streams)
    program.main()


def _is_fork(control: socket.socket) -> bool:
    """Fork twice: the fork's parent ends, so the tests' process becomes its parent. True in the fork."""
    if middle := os.fork():
        os.waitpid(middle, 0)
        control.send(b"!")
        return False
    if pid := os.fork():
        control.send(str(pid).encode())
        control.recv(len(b"end"))
        os._exit(0)
    return True


def _become(job: Job, streams: Sequence[int]) -> None:
    """Take on what a new program would be given."""
    words, env, folder, leads_session = job
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if leads_session:
        os.setsid()
    for number, descriptor in enumerate(streams):
        os.dup2(descriptor, number)
        os.close(descriptor)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(env)
    time.tzset()
    sys.argv[1:] = words
    sys.path[0] = folder


if __name__ == "__main__":
    main()
