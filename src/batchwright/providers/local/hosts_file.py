"""Keeps a section of /etc/hosts in every server of an environment, so that they know each other by name.

It is written from outside through the server's own root without following links, so that a server cannot redirect the
write. It is repeated whenever servers are added or removed, and when the folder is opened, which repairs an interrupted
update.
"""

from __future__ import annotations

import contextlib
import os
import re
import time
from collections.abc import Iterable
from pathlib import Path

from batchwright.providers.local.records import Intent

BEGIN, END = "# Batchwright: the servers of this environment", "# Batchwright: end"
FRESH = ".hosts.batchwright"  # until it takes the place of the other
FOLDER = os.O_RDONLY | os.O_DIRECTORY
MADE_SECONDS = 10.0  # until a sandbox that was started must be there
SIZE_MAX = 1024 * 1024  # bytes of a file of hosts that is still looked at
_BEGIN = "# Batchwright: the servers of this (?:environment|run)"  # older versions wrote those of a run
_PART = re.compile(rf"^{_BEGIN}\n.*?^{re.escape(END)}\n", re.MULTILINE | re.DOTALL)


def belong_together(one: Intent, other: Intent) -> bool:
    """Whether two servers are of one environment, or of one run. Pure."""
    return one.run == other.run or (one.environment == other.environment != "")


def known_to(own: Intent, others: Iterable[Intent]) -> dict[str, str]:
    """Name -> address of the other servers of its environment that it reaches; of two with one name the newer. Pure.

    The loopback's are not reached from a network of its own: there the same address is the server itself.
    """
    known = sorted((one for one in others if belong_together(one, own)), key=lambda one: one.made_at)
    reached = [one for one in known if one.ref != own.ref and (one.own_network or not own.own_network)]
    return {one.request.name: one.address for one in reached}


def renewed(text: str, names: dict[str, str]) -> str:
    """The text of /etc/hosts with these names, and whatever else stands in it. Pure."""
    part = "".join([f"{BEGIN}\n", *(f"{address} {name}\n" for name, address in sorted(names.items())), f"{END}\n"])
    rest = _PART.sub("", text)
    rest = f"{rest}\n" if rest and not rest.endswith("\n") else rest
    return rest + part if names else rest


def write(pid: int, told: Path, names: dict[str, str]) -> None:
    """Bring the file of a server that runs up to date; `pid` is its first process. Raises OSError.

    That process sees the machine's own files until the sandbox has been made: only where the folder `told` is mounted
    is it the server's root.
    """
    with contextlib.ExitStack() as stack:
        root = _root(stack, pid, told)
        etc = _opened(stack, "etc", FOLDER | os.O_NOFOLLOW, root)
        before = _read(etc)
        after = renewed(before, names)
        if after == before:
            return
        with contextlib.suppress(FileNotFoundError):  # what a killed writer left
            os.unlink(FRESH, dir_fd=etc)
        made = os.open(FRESH, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o644, dir_fd=etc)
        with os.fdopen(made, "w", encoding="utf-8", errors="surrogateescape") as file:
            os.fchmod(made, 0o644)
            file.write(after)
        os.rename(FRESH, "hosts", src_dir_fd=etc, dst_dir_fd=etc)


def _root(stack: contextlib.ExitStack, pid: int, told: Path) -> int:
    wanted, until = told.stat(), time.monotonic() + MADE_SECONDS
    while True:
        with contextlib.ExitStack() as attempt:
            root = _opened(attempt, f"/proc/{pid}/root", FOLDER)
            with contextlib.suppress(OSError):
                run = _opened(attempt, "run", FOLDER | os.O_NOFOLLOW, root)
                seen = os.fstat(_opened(attempt, "batchwright", FOLDER | os.O_NOFOLLOW, run))
                if (seen.st_dev, seen.st_ino) == (wanted.st_dev, wanted.st_ino):
                    stack.push(attempt.pop_all())
                    return root
        if time.monotonic() > until:
            raise OSError("its sandbox does not exist yet")
        time.sleep(0.01)


def _read(etc: int) -> str:
    """The file as it is; a link, or something too large, is the server's own affair and is replaced by nothing."""
    try:
        place = os.open("hosts", os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=etc)
    except FileNotFoundError:
        return ""
    with os.fdopen(place, "rb") as file:
        content = file.read(SIZE_MAX + 1)
    if len(content) > SIZE_MAX:
        raise OSError("its /etc/hosts is too large")
    return content.decode("utf-8", errors="surrogateescape")


def _opened(stack: contextlib.ExitStack, path: str, flags: int, folder: int | None = None) -> int:
    descriptor = os.open(path, flags, dir_fd=folder)
    stack.callback(os.close, descriptor)
    return descriptor
