"""Who a driver is, and whether it still lives: a killed process on this machine is replaced without waiting."""

from __future__ import annotations

import os
import socket
from pathlib import Path


def own_holder() -> str:
    """`host:pid:start`, where start is the process's start time in clock ticks since boot (proc(5), field 22)."""
    pid = os.getpid()
    return f"{socket.gethostname()}:{pid}:{_start_ticks(pid)}"


def is_dead(holder: str) -> bool:
    """True only when it is certain: the holder was a process of this machine and is no more."""
    host, _, rest = holder.rpartition(":")[0].rpartition(":")
    start = holder.rpartition(":")[2]
    if host != socket.gethostname() or not rest.isdigit() or start == "?":
        return False
    return _start_ticks(int(rest)) != start


def _start_ticks(pid: int) -> str:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return "none" if Path("/proc/self/stat").exists() else "?"
    except OSError:
        return "?"
    fields = stat.rpartition(")")[2].split()
    return "none" if fields[0] in "ZX" else fields[19]
