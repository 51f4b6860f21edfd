"""Limits of this machine: inotify instances, disk space, and file systems that an overlay can be written to."""

from __future__ import annotations

import os
from pathlib import Path

from batchwright.model.diagnostic import Diagnostic

INSTANCES = Path("/proc/sys/fs/inotify/max_user_instances")
INSTANCES_EACH = 8  # that a service manager and what it starts take
INSTANCES_WANTED = 8192
DISK_EACH_MB = 64  # a server of which little is asked; what is installed comes on top
NO_UPPER = frozenset({"overlay", "nfs", "nfs4", "9p", "vfat", "exfat", "ntfs", "fuseblk"})  # as upper of an overlay


def inotify_problems(limit: int, raisable: bool, there: int, more: int) -> list[Diagnostic]:
    """Root's servers all count as one user's. Pure."""
    room = limit // INSTANCES_EACH - there
    if raisable or more <= room:
        return []
    message = f"this machine's limit of {limit} inotify instances leaves room for {max(0, room)} more servers"
    hint = f"As root of the machine: sysctl fs.inotify.max_user_instances={INSTANCES_WANTED}"
    return [Diagnostic("inotify", message, hint)]


def disk_problems(free_mb: int, more: int, place: Path) -> list[Diagnostic]:
    """Problems if this many more servers do not fit on the disk. Pure."""
    needed = more * DISK_EACH_MB
    if needed <= free_mb:
        return []
    message = f"{more} servers need at least {needed} MB of disk, and {place} has {free_mb} MB free"
    return [Diagnostic("disk", message, "Free some space, or choose another state folder with --state-dir.")]


def instances() -> tuple[int, bool]:
    """The limit, and whether it can be raised from here."""
    try:
        return int(INSTANCES.read_text()), os.access(INSTANCES, os.W_OK)
    except (OSError, ValueError):
        return INSTANCES_WANTED, False  # a kernel that has no such limit


def raise_instances() -> None:
    """Make room for many service managers, where that is possible; what is higher stays."""
    limit, raisable = instances()
    if raisable and limit < INSTANCES_WANTED:
        INSTANCES.write_text(str(INSTANCES_WANTED))


def free_mb(place: Path) -> int:
    """Of the disk under a folder."""
    disk = os.statvfs(place)
    return disk.f_bavail * disk.f_frsize // (1024 * 1024)


def file_system(mountinfo: str, device: int) -> str:
    """The type of the file system of this device number, from the text of /proc/self/mountinfo. Pure."""
    wanted = f"{os.major(device)}:{os.minor(device)}"
    for line in mountinfo.splitlines():
        left, _, right = line.partition(" - ")
        fields = left.split()
        if len(fields) > 2 and fields[2] == wanted and right:
            return right.split()[0]
    return ""


def unsuitable(folder: Path) -> str:
    """The type of a folder's file system if servers cannot be stored on it; otherwise empty."""
    found = file_system(Path("/proc/self/mountinfo").read_text(), folder.stat().st_dev)
    return found if found in NO_UPPER else ""
