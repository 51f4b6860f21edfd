"""Finds and kills processes of this machine, through /proc."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from batchwright.providers.local.records import MARKER

PROC = Path("/proc")
EXEC_SECONDS = 2.0  # at most, for a process that is just becoming another program, on a machine that has much to do
KERNEL_THREAD = 0x00200000  # PF_KTHREAD of Linux's include/linux/sched.h


def started_at(pid: int) -> int | None:
    """When a process was started, in ticks since the machine was; None if it is none, or only waits to be reaped."""
    try:
        words = (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if words[0] in "ZX" else int(words[19])


def parent_of(pid: int) -> int | None:
    """The process that waits for this one."""
    try:
        return int((PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()[1])
    except (FileNotFoundError, ProcessLookupError):
        return None


def is_alive(pid: int, started: int) -> bool:
    """Whether this process still runs, and its number was not reused."""
    return started_at(pid) == started


def belongs_to(pid: int, ref: str) -> bool:
    """Whether a process was started for this server, by its environment: a number used again does not fool this."""
    return bool(_which_belong([pid], ref))


def started_for(ref: str) -> list[int]:
    """Every process that was started for a server: the sandbox's own, and the first one inside."""
    return _which_belong([int(one.name) for one in PROC.iterdir() if one.name.isdecimal()], ref)


def _which_belong(pids: list[int], ref: str) -> list[int]:
    """The processes that belong to the server. During its exec a process briefly shows no environment (1 % of looks at
    a starting one), so those are checked again.
    """
    found, unclear, until = list[int](), pids, time.monotonic() + EXEC_SECONDS
    while True:
        marked = {pid: _is_marked(pid, ref) for pid in unclear}
        found += [pid for pid, mine in marked.items() if mine]
        unclear = [pid for pid, mine in marked.items() if mine is None and (pid, started_at(pid)) not in _bare]
        if not unclear:
            return found
        if time.monotonic() > until:
            _bare.update((pid, started_at(pid)) for pid in unclear)
            return found
        time.sleep(0.002)


_bare: set[tuple[int, int | None]] = set()  # processes without any environment, waited for once


def _is_marked(pid: int, ref: str) -> bool | None:
    """Whether it carries the marker; None while that is unknown, because a live process shows no environment."""
    try:
        environ = (PROC / str(pid) / "environ").read_bytes()
        if environ:
            return f"{MARKER}={ref}".encode() in environ.split(b"\0")
        words = (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return False
    return False if words[0] in "ZX" or int(words[6]) & KERNEL_THREAD else None


def beside(pid: int) -> list[int]:
    """Every process in the same process namespace but this one, which is its first."""
    try:
        world = (PROC / str(pid) / "ns" / "pid").readlink()
    except OSError:
        return []
    found = []
    for place in PROC.iterdir():
        if place.name.isdecimal() and int(place.name) != pid:
            try:
                found += [int(place.name)] if (place / "ns" / "pid").readlink() == world else []
            except OSError:  # it has ended, or is somebody else's
                continue
    return found


def end_all(ref: str, seconds: float) -> bool:
    """Kill every process that was started for a server, until there is none. False if that takes too long."""
    deadline = time.monotonic() + seconds
    while left := started_for(ref):
        for pid in left:
            kill(pid)
        if time.monotonic() > deadline:
            return False
        time.sleep(0.005)
    return True


def kill(pid: int, number: int = signal.SIGKILL) -> None:
    """Send a signal. A process that no longer exists is fine."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return
