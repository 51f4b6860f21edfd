"""The command line that makes a sandbox: bubblewrap's options, and the few lines of shell that start it. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from msgspec import Struct

from batchwright.providers.local.first_start_files import FIRST_PROGRAM, INSIDE
from batchwright.providers.local.records import CONSOLE, MARKER, TOLD, UPPER, WORK

REAL_FOLDERS = {"containerd": "/var/lib/containerd"}  # overlayfs does not go on overlayfs

# Joins the groups ($2 of them), then starts the rest of the line as an orphan: nobody waits for it, nobody's death ends
# it. Standard output is where bubblewrap says which process it made; standard input holds the server's folder until the
# sandbox can be seen from outside. Descriptor 4 is the filter of system calls ($1), for who wants one.
LAUNCHER = """\
set -e
filter=$1
n=$2
shift 2
while [ "$n" -gt 0 ]; do
    echo 0 > "$1"
    shift
    n=$((n - 1))
done
"$@" 3>&1 4<"$filter" >&2 </dev/null &
"""

KEPT_BACK = ("sys_time", "sys_module", "sys_rawio")  # the machine's clock, kernel and hardware


class Tools(Struct, frozen=True):
    """Programs of this machine, by path; `setpriv` empty where there is none."""

    bwrap: str
    setpriv: str = ""


def environment(ref: str) -> dict[str, str]:
    """What the first process has; the marker is how it is found again."""
    return {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "container": "bwrap", MARKER: ref}


def launcher(command: Sequence[str], groups: Sequence[Path] = (), seccomp: Path | None = None) -> list[str]:
    """The shell that starts a command in these groups, with a filter of system calls to be read."""
    joined = [str(group / "cgroup.procs") for group in groups]
    return ["/bin/sh", "-c", LAUNCHER, "sh", str(seccomp or "/dev/null"), str(len(joined)), *joined, *command]


def system_command(
    tools: Tools,
    base: Path,
    folder: Path,
    name: str,
    groups: Sequence[tuple[Path, Path]],
    netns: str,
    *,
    filtered: bool = False,
) -> list[str]:
    """A server with a service manager, made by root. `groups` are the server's control groups and their hierarchies.

    `filtered`: descriptor 4 is a filter of system calls.
    """
    before = ["nsenter", f"--net={netns}", "--"] if netns else []
    if tools.setpriv:
        before += [tools.setpriv, "--bounding-set", ",".join(f"-{cap}" for cap in KEPT_BACK)]
    net = ["--bind", "/proc/sys/net", "/proc/sys/net"] if netns else []
    return [
        *before,
        *(tools.bwrap, "--info-fd", "3"),
        *("--overlay-src", str(base), "--overlay", str(folder / UPPER), str(folder / WORK), "/"),
        *("--dev", "/dev", "--bind", str(folder / CONSOLE), "/dev/kmsg"),
        *("--proc", "/proc", "--ro-bind", "/proc/sys", "/proc/sys", *net),
        *("--ro-bind", "/sys", "/sys", *_control_groups(groups)),
        *("--tmpfs", "/run", "--bind", str(folder / TOLD), INSIDE, "--perms", "1777", "--tmpfs", "/tmp"),  # noqa: S108
        *(word for own, inside in REAL_FOLDERS.items() for word in ("--bind", str(folder / own), inside)),
        *("--unshare-pid", "--unshare-uts", "--unshare-ipc", "--unshare-cgroup", "--as-pid-1", "--hostname", name),
        *(("--seccomp", "4") if filtered else ()),
        *("--cap-add", "ALL", "--", "/sbin/init", "--log-target=journal-or-kmsg"),
    ]


ONE_USER = ("--unshare-user", "--uid", "0", "--gid", "0", "--cap-add", "ALL", "--seccomp", "4")


def user_command(tools: Tools, base: Path, folder: Path, name: str) -> list[str]:
    """A server of a plain user: its one id is root inside, and there is no service manager."""
    return [
        *(tools.bwrap, "--info-fd", "3", *ONE_USER),
        *("--overlay-src", str(base), "--overlay", str(folder / UPPER), str(folder / WORK), "/"),
        *("--dev", "/dev", "--proc", "/proc", "--ro-bind", "/sys", "/sys"),
        *("--tmpfs", "/run", "--bind", str(folder / TOLD), INSIDE, "--perms", "1777", "--tmpfs", "/tmp"),  # noqa: S108
        *("--unshare-pid", "--unshare-uts", "--unshare-ipc", "--hostname", name),
        *("--", "/bin/sh", FIRST_PROGRAM),
    ]


def _control_groups(groups: Sequence[tuple[Path, Path]]) -> list[str]:
    """Each group of the server stands where its hierarchy does outside; there is nothing else of them to be seen."""
    top = Path("/sys/fs/cgroup")
    binds = [word for group, hierarchy in groups for word in ("--bind", str(group), str(hierarchy))]
    return binds if any(hierarchy == top for _, hierarchy in groups) else ["--tmpfs", str(top), *binds]
