"""The child process: evaluates Nickel expressions under limits it cannot lift again. Run alone, with no packages.

It reads one line of JSON with its settings and answers with a line that says what confines it. Then, until its input
ends, it reads `LENGTH\n` and an expression, and answers `ok LENGTH\n` or `error LENGTH\n` and a body. What exceeds a
limit kills it: the signal is the answer.
"""

import ctypes
import importlib.util
import json
import os
import resource
import signal
import stat
import struct
import sys
from importlib.machinery import ExtensionFileLoader
from types import ModuleType
from typing import Any

OUT_OF_MEMORY = 70  # exit status

LANDLOCK_CREATE_RULESET, LANDLOCK_ADD_RULE, LANDLOCK_RESTRICT_SELF = 444, 445, 446
PR_SET_NO_NEW_PRIVS = 38
READ_FILE, READ_DIR = 1 << 2, 1 << 3
FS_RIGHTS_BY_ABI = {1: 13, 2: 14, 3: 15, 4: 15}  # how many rights there are; 16 from 5 on


def landlock(readable: list[str]) -> int:
    """Leave this process nothing but reading `readable`. Returns the kernel's version of Landlock, 0 without it."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.syscall.restype = ctypes.c_long
    abi = libc.syscall(LANDLOCK_CREATE_RULESET, None, 0, 1)
    if abi < 1:
        return 0
    rights = (1 << FS_RIGHTS_BY_ABI.get(abi, 16)) - 1
    network = 0b11 if abi >= 4 else 0  # bind and connect
    scopes = 0b11 if abi >= 6 else 0  # abstract sockets and signals of others
    attributes = struct.pack("=QQQ", rights, network, scopes)[: 24 if abi >= 6 else 16 if abi >= 4 else 8]
    ruleset = libc.syscall(LANDLOCK_CREATE_RULESET, attributes, len(attributes), 0)
    if ruleset < 0:
        return 0
    for path in readable:
        handle = os.open(path, os.O_PATH | os.O_CLOEXEC)
        allowed = READ_FILE | READ_DIR if stat.S_ISDIR(os.fstat(handle).st_mode) else READ_FILE
        if libc.syscall(LANDLOCK_ADD_RULE, ruleset, 1, struct.pack("=Qi", allowed, handle), 0) != 0:
            raise OSError(ctypes.get_errno(), "landlock_add_rule", path)
        os.close(handle)
    if libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 or libc.syscall(LANDLOCK_RESTRICT_SELF, ruleset, 0) != 0:
        raise OSError(ctypes.get_errno(), "landlock_restrict_self")
    os.close(ruleset)
    return int(abi)


def limit(settings: dict[str, Any]) -> None:
    """Lower the limits of this process, hard ones too."""
    for what, value in (
        (resource.RLIMIT_AS, settings["memory"]),
        (resource.RLIMIT_STACK, settings["stack"]),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NOFILE, 64),
    ):
        hard = resource.getrlimit(what)[1]
        value = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(what, (value, value))
    resource.setrlimit(resource.RLIMIT_CPU, (settings["cpu"], settings["cpu"] + 1))
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_REAL, settings["wall"])


def evaluator(path: str) -> ModuleType:
    """The module inside py-nickel, without its package."""
    loader = ExtensionFileLoader("nickel", path)
    spec = importlib.util.spec_from_file_location("nickel", path, loader=loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module


def main() -> None:
    requests, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nowhere = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(nowhere, standard)
    settings = json.loads(requests.readline())
    nickel = evaluator(settings["nickel"])
    limit(settings)
    answers.write(b"%d\n" % (landlock(settings["readable"]) if sys.platform == "linux" else 0))
    answers.flush()
    while header := requests.readline():
        expression = requests.read(int(header)).decode()
        try:
            kind, text = b"ok", nickel.run(expression)
        except nickel.NickelException as error:
            kind, text = b"error", str(error.args[0])
        body = text.encode()
        answers.write(b"%s %d\n" % (kind, len(body)))
        answers.write(body)
        answers.flush()


if __name__ == "__main__":
    try:
        main()
    except BaseException as error:  # a panic of the evaluator is no Exception
        os._exit(OUT_OF_MEMORY if isinstance(error, MemoryError) or "memory" in str(error) else 1)
