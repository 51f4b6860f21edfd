"""Who a driver is, and whether it still lives: a killed process on this machine is replaced without waiting."""

from __future__ import annotations

import os
import socket
from pathlib import Path

from batchwright.errors import RunHeld

_MOVED = "moved to "


def moved_to(store: str) -> str:
    """The holder of a run that is moved, or was moved, to another store: nobody drives what is left here."""
    return _MOVED + store


def is_moved(holder: str | None) -> bool:
    """Whether this is no driver, but the sign that the run was moved away."""
    return bool(holder) and str(holder).startswith(_MOVED)


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


def drives(holder: str | None, expires: float, now: float) -> bool:
    """Whether this holder's lease still keeps others away."""
    return bool(holder) and expires > now and not is_dead(str(holder))


def refuse_while_held(run: str, current: str | None, expires: float, holder: str, now: float) -> None:
    """Raise RunHeld if `current` drives the run and is somebody else than `holder`."""
    if current != holder and drives(current, expires, now):
        if is_moved(current):
            store = str(current).removeprefix(_MOVED)
            hint = f"Look where it lives with: batchwright status {run}"
            raise RunHeld(f"run {run} is being moved, or was moved, to the store {store}", hint=hint)
        raise RunHeld(f"run {run} is driven by {process_of(str(current))}")


def process_of(holder: str) -> str:
    """A holder in words."""
    host, _, pid = holder.rpartition(":")[0].rpartition(":")
    return f"process {pid} on {host}" if pid.isdigit() else holder


def _start_ticks(pid: int) -> str:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return "none" if Path("/proc/self/stat").exists() else "?"
    except OSError:
        return "?"
    fields = stat.rpartition(")")[2].split()
    return "none" if fields[0] in "ZX" else fields[19]
