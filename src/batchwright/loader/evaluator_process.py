"""The child process: evaluates Nickel expressions under limits it cannot lift again. Run alone, with no packages.

It reads its settings, marshalled, and answers with a line that says what confines it: the version of Landlock, then
what is missing, each after a tab. Then, until its input ends, it reads `LENGTH\n` and an expression, or
`LENGTH json\n`, `LENGTH yaml\n` and a text to be looked through by duplicate_keys.py, and answers `ok LENGTH\n` or
`error LENGTH\n` and a body. What exceeds a limit kills it: the signal is the answer.

With the modules to load as arguments it is a server that forks such a child for each message on its input, a socket:
one byte, and with it the child's ends of two pipes. It answers with the child's process id and, when that has ended,
with its status, each a line; then it waits for a byte that lets the process id go. The server reads nothing else, so
what a child knows it has been told itself.
"""

from __future__ import annotations

# Only what the interpreter has at hand: what each further module takes to import, every evaluation takes.
import ctypes
import errno
import marshal
import os
import resource
import stat
import struct
import sys
from _signal import ITIMER_REAL, SIG_DFL, SIGALRM, SIGKILL, setitimer, signal  # type: ignore[import-not-found]
from importlib.machinery import ExtensionFileLoader, ModuleSpec, SourceFileLoader

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType
    from typing import Any

OUT_OF_MEMORY = 70  # exit status

LANDLOCK_CREATE_RULESET, LANDLOCK_ADD_RULE, LANDLOCK_RESTRICT_SELF = 444, 445, 446
PR_SET_PDEATHSIG, PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 1, 38, 22, 2
READ_FILE, READ_DIR = 1 << 2, 1 << 3
FS_RIGHTS_BY_ABI = {1: 13, 2: 14, 3: 15, 4: 15}  # how many rights there are; 16 from 5 on

# The system calls that evaluating needs, per machine, with its AUDIT_ARCH: memory, reading files, the pipes, the clock,
# ending itself. Every other one is answered ENOSYS: no sockets, no programs, no processes, no changed modes or owners.
# In order: read, write, close, fstat, lseek, mmap, mprotect, munmap, brk, rt_sigaction, rt_sigprocmask, rt_sigreturn,
# pread64, readv, writev, sched_yield, mremap, madvise, dup, getpid, exit, fcntl, getcwd, sigaltstack, gettid, futex,
# sched_getaffinity, getdents64, set_tid_address, restart_syscall, clock_gettime, clock_nanosleep, exit_group, tgkill,
# openat, newfstatat, readlinkat, faccessat, set_robust_list, prlimit64, getrandom, statx, rseq
X86_64: tuple[int, ...] = (
    0,
    1,
    3,
    5,
    8,
    9,
    10,
    11,
    12,
    13,
    14,
    15,
    17,
    19,
    20,
    24,
    25,
    28,
    32,
    39,
    60,
    72,
    79,
    131,
    186,
    202,
)
X86_64 += (204, 217, 218, 219, 228, 230, 231, 234, 257, 262, 267, 269, 273, 302, 318, 332, 334)
X86_64 += (2, 4, 6, 7, 21, 89)  # and of its older calls: open, stat, lstat, poll, access, readlink
AARCH64: tuple[int, ...] = (
    63,
    64,
    57,
    80,
    62,
    222,
    226,
    215,
    214,
    134,
    135,
    139,
    67,
    65,
    66,
    124,
    216,
    233,
    23,
    172,
    93,
    25,
    17,
    132,
)
AARCH64 += (178, 98, 123, 61, 96, 128, 113, 115, 94, 131, 56, 79, 78, 48, 99, 261, 278, 291, 293)
CALLS = {"x86_64": (0xC000003E, X86_64), "aarch64": (0xC00000B7, AARCH64)}

LIBC = ctypes.CDLL(None, use_errno=True)
LIBC.syscall.restype = ctypes.c_long


class Unsupported(Exception):
    """The kernel cannot sandbox; the message is the reason."""


def checked(result: int) -> int:
    """The result of a system call. Raises Unsupported."""
    if result < 0:
        raise Unsupported(os.strerror(ctypes.get_errno()))
    return result


def syscall(*arguments: Any) -> int:
    """A system call. Raises Unsupported."""
    return checked(int(LIBC.syscall(*arguments)))


def prctl(*arguments: Any) -> None:
    """Change this process. Raises Unsupported."""
    checked(int(LIBC.prctl(*arguments)))


def landlock(readable: list[str]) -> int:
    """Restrict this process to reading `readable`; gives Landlock's version. Raises Unsupported."""
    abi = syscall(LANDLOCK_CREATE_RULESET, None, 0, 1)
    rights = (1 << FS_RIGHTS_BY_ABI.get(abi, 16)) - 1
    network = 0b11 if abi >= 4 else 0  # bind and connect
    scopes = 0b11 if abi >= 6 else 0  # abstract sockets and signals of others
    attributes = struct.pack("=QQQ", rights, network, scopes)[: 24 if abi >= 6 else 16 if abi >= 4 else 8]
    ruleset = syscall(LANDLOCK_CREATE_RULESET, attributes, len(attributes), 0)
    for path in readable:
        handle = os.open(path, os.O_PATH | os.O_CLOEXEC)
        allowed = READ_FILE | READ_DIR if stat.S_ISDIR(os.fstat(handle).st_mode) else READ_FILE
        syscall(LANDLOCK_ADD_RULE, ruleset, 1, struct.pack("=Qi", allowed, handle), 0)
        os.close(handle)
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    syscall(LANDLOCK_RESTRICT_SELF, ruleset, 0)
    os.close(ruleset)
    return abi


def seccomp() -> None:
    """Restrict this process to the system calls in CALLS. Raises Unsupported."""
    machine = os.uname().machine
    if machine not in CALLS:
        raise Unsupported(f"the architecture {machine} is not supported")
    architecture, calls = CALLS[machine]
    load, equal, answer = 0x20, 0x15, 0x06  # BPF_LD|W|ABS, BPF_JMP|JEQ|K, BPF_RET|K
    allow, refuse, kill = 0x7FFF0000, 0x00050000 | errno.ENOSYS, 0x80000000
    steps = [(load, 0, 0, 4), (equal, 1, 0, architecture), (answer, 0, 0, kill), (load, 0, 0, 0)]
    steps += [(equal, len(calls) - place, 0, call) for place, call in enumerate(calls)]
    steps += [(answer, 0, 0, refuse), (answer, 0, 0, allow)]
    code = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *step) for step in steps))
    program = struct.pack("@HP", len(steps), ctypes.addressof(code))
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, program, 0, 0)


def confine(readable: list[str]) -> dict[str, Any]:
    """Sandbox this process as far as the kernel can. `missing` says what it cannot do, and why."""
    if sys.platform != "linux":
        return {"landlock": 0, "missing": [f"{sys.platform} has neither Landlock nor seccomp"]}
    version, missing = 0, []
    try:
        version = landlock(readable)
    except Unsupported as error:
        missing.append(f"Landlock: {error}")
    try:
        seccomp()
    except Unsupported as error:
        missing.append(f"seccomp: {error}")
    return {"landlock": version, "missing": missing}


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
    signal(SIGALRM, SIG_DFL)
    setitimer(ITIMER_REAL, settings["wall"])


def module(name: str, path: str) -> ModuleType:
    """A module from its file, without its package; a fork has it already."""
    if name in sys.modules:
        return sys.modules[name]
    loader = SourceFileLoader(name, path) if path.endswith(".py") else ExtensionFileLoader(name, path)
    found = loader.create_module(ModuleSpec(name, loader, origin=path)) or type(sys)(name)
    loader.exec_module(found)
    return found


def forked() -> tuple[int, int]:
    """Fork for each message until the input ends, which ends this process. Returns in each fork, with its pipes."""
    sockets: Any = __import__("socket")  # it takes longer to import than all else, and only a server needs it
    control = sockets.socket(fileno=0)
    while True:
        message, pipes, _, _ = sockets.recv_fds(control, 1, 2)
        if not message:
            os._exit(0)
        child = os.fork()
        if not child:
            prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0)
            control.detach()  # main() puts something else in its place
            requests, answers = pipes
            return requests, answers
        for end in pipes:
            os.close(end)
        control.sendall(b"%d\n" % child)
        ended = os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)  # its process id stays its own
        assert ended is not None
        status = ended.si_status if ended.si_code == os.CLD_EXITED else -ended.si_status
        control.sendall(b"%d\n" % status)
        control.recv(1)
        os.waitpid(child, 0)


def main() -> None:
    if sys.argv[1:]:
        for name, path in zip(("nickel", "repeats"), sys.argv[1:], strict=True):
            module(name, path)
        ends = forked()
    else:
        ends = os.dup(0), os.dup(1)
    requests, answers = os.fdopen(ends[0], "rb"), os.fdopen(ends[1], "wb")
    nowhere = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(nowhere, standard)
    settings = marshal.load(requests)  # noqa: S302 - from the process that has started this one
    nickel, repeats = module("nickel", settings["nickel"]), None
    if settings["yaml"]:
        sys.path.append(settings["yaml"])
        __import__("yaml")
    if settings["repeats"]:
        repeats = module("repeats", settings["repeats"])
    limit(settings)
    confined = confine(settings["readable"])
    answers.write("\t".join((str(confined["landlock"]), *confined["missing"])).encode() + b"\n")
    answers.flush()
    while header := requests.readline():
        length, *kind = header.decode().split()
        body = requests.read(int(length)).decode()
        try:
            status, text = b"ok", repeats.found_as_json(body, *kind) if repeats and kind else nickel.run(body)
        except nickel.NickelException as error:
            status, text = b"error", str(error.args[0])
        answer = text.encode()
        answers.write(b"%s %d\n" % (status, len(answer)))
        answers.write(answer)
        answers.flush()


if __name__ == "__main__":
    try:
        main()
    except BaseException as error:  # a panic of the evaluator is no Exception
        os._exit(OUT_OF_MEMORY if isinstance(error, MemoryError) or "memory" in str(error) else 1)
