"""Who drives a run, whether that process lives, and which process may replace it. No machine trusts another's clock.

A killed process of this machine is replaced without waiting. Of any other, only its lease is visible: each renewal
changes `expires`, which is compared but never read as a time. A process that has watched a lease without a change for
the seconds that its holder promised, by its own monotonic clock, may take the run; if it was wrong, the fence prevents
harm.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path

from msgspec import Struct

from batchwright.errors import RunHeld

LEASE_SECONDS = 15.0  # a driver that has not renewed for so long may be replaced, unless it promised to be quicker
FOR_EVER = 1e11  # seconds for which no process may drive a run that was moved away

_MOVED = "moved to "


class HeldLease(Struct, frozen=True):
    """A lease as the store has it. If two reads are equal, the holder gave no sign of life in between."""

    holder: str
    fence: int
    expires: float


def held(holder: str | None, fence: int, expires: float) -> HeldLease | None:
    """The lease in a run's record, None if no process holds it."""
    return HeldLease(holder, fence, expires) if holder else None


def moved_to(store: str) -> str:
    """The holder that marks a run as being moved, or moved, to another store: no process drives it here."""
    return _MOVED + store


def is_moved(holder: str | None) -> bool:
    """Whether this is not a driver but the marker of a run that was moved away."""
    return bool(holder) and str(holder).startswith(_MOVED)


def own_holder(seconds: float = LEASE_SECONDS) -> str:
    """`host:pid:start@place` of this process, with `~seconds` at its end if it promises to renew within so many.

    `start` is in clock ticks since boot (proc(5), field 22); `place` is the kernel and the namespaces in which pid and
    start are valid.
    """
    pid = os.getpid()
    place = _place()
    promise = "" if seconds == LEASE_SECONDS else f"~{seconds:g}"
    return f"{socket.gethostname()}:{pid}:{_start_ticks(pid)}" + (f"@{place}" if place else "") + promise


def seconds_of(holder: str) -> float:
    """How long this holder's lease may stay as it is before another process may take the run."""
    seconds = holder.rpartition(":")[2].partition("~")[2]
    return float(seconds) if seconds.replace(".", "", 1).isdigit() else LEASE_SECONDS


def is_dead(holder: str) -> bool:
    """True only if it is certain: the holder was a process that this one could see, and it has ended."""
    pid, start, place = _parts(holder)
    here = _place()
    if not _same_processes(place, here):
        return False
    if not _exists(pid):
        return True
    ticks = _start_ticks(pid)
    return ticks == "none" or (ticks not in ("?", start) and place == here)


def is_alive(holder: str) -> bool:
    """True only if it is certain: the holder is a process that this one can see, and it is not stopped."""
    pid, start, place = _parts(holder)
    return bool(place) and place == _place() and _exists(pid) and _start_ticks(pid) == start and not _is_stopped(pid)


def driver_of(lease: HeldLease | None, now: float) -> str | None:
    """The driver of a run, as far as one read shows. For display only; nothing is decided by it."""
    if lease is None or is_dead(lease.holder):
        return None
    return lease.holder if is_alive(lease.holder) or lease.expires > now else None


def refuse_while_held(run: str, lease: HeldLease | None, holder: str, silent: HeldLease | None) -> None:
    """Raise RunHeld unless `holder` may take the run: it has it, it is free, or its holder is dead or `silent`."""
    if lease is None or lease.holder == holder or is_dead(lease.holder):
        return
    if lease == silent and not is_gone(lease):
        return
    if is_moved(lease.holder):
        store = lease.holder.removeprefix(_MOVED)
        hint = f"See which store has it: batchwright status {run}"
        raise RunHeld(f"run {run} is being moved, or was moved, to the store {store}", hint=hint)
    raise RunHeld(f"run {run} is driven by {process_of(lease.holder)}")


def is_gone(lease: HeldLease) -> bool:
    """Whether the run was moved away for good, so that its silence means nothing."""
    return is_moved(lease.holder) and lease.expires >= FOR_EVER


def process_of(holder: str) -> str:
    """The holder of a lease in words: its process and host."""
    host, _, pid = holder.rpartition(":")[0].rpartition(":")
    return f"process {pid} on {host}" if pid.isdigit() else holder


class LeaseObserver:
    """The leases that one process has read, and since when each is unchanged. Times are monotonic."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._seen: dict[str, tuple[HeldLease, float]] = {}

    def silent(self, run: str, lease: HeldLease | None) -> HeldLease | None:
        """Note a read of a run's lease. Gives the lease once its holder counts as gone: take the run with it."""
        if lease is None:
            self._seen.pop(run, None)
            return None
        known, now = self._seen.get(run), self._monotonic()
        if known is None or known[0] != lease:
            self._seen[run] = (lease, now)
            return None
        return lease if now - known[1] >= seconds_of(lease.holder) else None

    def last(self, run: str) -> HeldLease | None:
        """The lease as it was last read."""
        known = self._seen.get(run)
        return known[0] if known else None

    def is_free(self, run: str, lease: HeldLease | None) -> bool:
        """Note a read, as `silent` does; gives whether the run can be taken."""
        return self.silent(run, lease) is not None or lease is None or is_dead(lease.holder)


def _parts(holder: str) -> tuple[int, str, str]:
    rest, _, start = holder.rpartition(":")
    pid = rest.rpartition(":")[2]
    start, _, place = start.partition("~")[0].partition("@")
    return (int(pid), start, place) if pid.isascii() and pid.isdigit() else (0, start, "")


def _place() -> str:
    """This kernel since its boot, and the namespaces of this process; empty if they cannot be determined."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()[:8]
        pids = Path("/proc/self/ns/pid").stat().st_ino
        time = Path("/proc/self/ns/time")
        return f"{boot}.{pids}.{time.stat().st_ino if time.exists() else 0}"
    except OSError:
        return ""


def _same_processes(place: str, here: str) -> bool:
    """Whether a pid means the same in both; a start time only does where the time namespace is the same, too."""
    return bool(here) and place.rpartition(".")[0] == here.rpartition(".")[0]


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        pass  # it is another user's, or no number of a process
    return True


def _start_ticks(pid: int) -> str:
    """`none` for a process that has ended, `?` if the system does not say."""
    fields = _stat(pid)
    return "?" if not fields else "none" if fields[0] in "ZX" else fields[19]


def _is_stopped(pid: int) -> bool:
    return _stat(pid)[:1] in (["T"], ["t"])


def _stat(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []
