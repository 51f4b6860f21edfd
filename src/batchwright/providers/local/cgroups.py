"""One control group per server in every hierarchy of this machine, v1 and v2. The service manager inside needs it, and
it guarantees that a destroyed server leaves no process behind.
"""

from __future__ import annotations

import errno
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from msgspec import Struct

from batchwright.providers.local.processes import kill

EMPTY_SECONDS = 10.0  # until killed processes must be gone
INNER = "server"  # the group within a server's that it sees
_CPUSET = ("cpuset.cpus", "cpuset.mems")  # a v1 group without these takes no process


class Hierarchy(Struct, frozen=True):
    """Where a hierarchy is mounted. `controllers` is empty for the one of systemd and for v2."""

    path: Path
    version: int
    controllers: tuple[str, ...] = ()


def hierarchies(mountinfo: str) -> list[Hierarchy]:
    """From the text of /proc/self/mountinfo (proc_pid_mountinfo(5)); each once. Pure."""
    found: dict[str, Hierarchy] = {}
    for line in mountinfo.splitlines():
        left, dash, right = line.partition(" - ")
        fields, kinds = left.split(), right.split()
        if not dash or len(fields) < 6 or len(kinds) < 3 or kinds[0] not in ("cgroup", "cgroup2"):
            continue
        path = fields[4].replace("\\040", " ")
        words = kinds[2].split(",") if kinds[0] == "cgroup" else []
        known = [word for word in words if word not in ("rw", "ro", "xattr", "none") and "=" not in word]
        found.setdefault(path, Hierarchy(Path(path), 2 if kinds[0] == "cgroup2" else 1, tuple(known)))
    return list(found.values())


def here() -> list[Hierarchy]:
    """The control group hierarchies of this machine."""
    return hierarchies(Path("/proc/self/mountinfo").read_text())


def group_of(hierarchy: Hierarchy, ref: str) -> Path:
    """A server's group in a hierarchy: what holds for it, and all it has."""
    return hierarchy.path / f"batchwright-{ref}"


def make(found: list[Hierarchy], ref: str, memory_mb: int) -> list[Path]:
    """The groups that the server sees, made where they are missing. Raises OSError.

    What limits it stands in the group above, which it does not see: its root could change what it sees.
    """
    groups = []
    for hierarchy in found:
        group = group_of(hierarchy, ref)
        group.mkdir(exist_ok=True)
        _limit_memory(group, memory_mb)
        if hierarchy.version == 2:
            for name in (group / "cgroup.controllers").read_text().split():
                (group / "cgroup.subtree_control").write_text(f"+{name}")
        inner = group / INNER
        inner.mkdir(exist_ok=True)
        if "cpuset" in hierarchy.controllers:
            for place in (group, inner):
                for name in _CPUSET:
                    (place / name).write_text((place.parent / name).read_text())
        groups.append(inner)
    return groups


def _limit_memory(group: Path, memory_mb: int) -> None:
    for name in ("memory.limit_in_bytes", "memory.max"):  # v1, v2; neither where the controller is not in use
        limit = group / name
        if limit.exists():
            limit.write_text(str(memory_mb * 1024 * 1024))


def limit_memory(found: Sequence[Hierarchy], ref: str, memory_mb: int) -> None:
    """Change the memory limit of a server that may run. Raises OSError, with EBUSY if it uses more.

    A v1 group refuses by itself what it cannot reclaim. A v2 group would kill processes instead: `memory.high` makes it
    reclaim first.
    """
    size = memory_mb * 1024 * 1024
    for group in [group_of(one, ref) for one in found]:
        if (group / "memory.max").exists():
            (group / "memory.high").write_text(str(size))
            used = int((group / "memory.current").read_text())
            (group / "memory.high").write_text("max")
            if used > size:
                raise OSError(errno.EBUSY, "it uses more memory", str(group))
        _limit_memory(group, memory_mb)


def set_aside(found: list[Hierarchy], ref: str, pid: int) -> None:
    """Move the process that waits for the sandbox into a group of its own.

    A v2 group that holds processes cannot enable controllers for groups below it, which the service manager inside
    creates.
    """
    for group in [group_of(one, ref) for one in found if one.version == 2]:
        (group / "outside").mkdir(exist_ok=True)
        (group / "outside" / "cgroup.procs").write_text(str(pid))


def enforces_memory(found: list[Hierarchy]) -> bool:
    """Whether a server's memory can be limited here."""
    return any(
        "memory" in one.controllers or (one.version == 2 and "memory" in _controllers_below(one.path)) for one in found
    )


def _controllers_below(group: Path) -> list[str]:
    try:
        return (group / "cgroup.subtree_control").read_text().split()
    except OSError:
        return []


def processes(found: list[Hierarchy], ref: str) -> set[int]:
    """Everything that runs in the server's groups, by this machine's numbers."""
    return {pid for one in found for group in _tree(group_of(one, ref)) for pid in _pids(group)}


def remove(found: list[Hierarchy], ref: str) -> bool:
    """Kill what is left in the server's groups, and remove them. False if something would not go in time."""
    deadline = time.monotonic() + EMPTY_SECONDS
    while left := processes(found, ref):
        for pid in left:
            kill(pid)
        if time.monotonic() > deadline:
            return False
        time.sleep(0.005)
    return all(_remove_tree(group_of(one, ref), deadline) for one in found)


def _remove_tree(group: Path, deadline: float) -> bool:
    """Innermost first; the kernel may need a moment after the last process has gone."""
    for folder in reversed(list(_tree(group))):
        while True:
            try:
                folder.rmdir()
            except FileNotFoundError:
                break
            except OSError as error:
                if error.errno != errno.EBUSY or time.monotonic() > deadline:
                    return False
                time.sleep(0.005)
            else:
                break
    return True


def _tree(group: Path) -> Iterator[Path]:
    """A group and all below it, outermost first."""
    try:
        inner = [entry for entry in group.iterdir() if entry.is_dir()]
    except FileNotFoundError:
        return
    yield group
    for entry in inner:
        yield from _tree(entry)


def _pids(group: Path) -> list[int]:
    try:
        return [int(line) for line in (group / "cgroup.procs").read_text().split()]
    except (FileNotFoundError, OSError):  # removed meanwhile; or a v2 group of threads, whose parent names them
        return []
