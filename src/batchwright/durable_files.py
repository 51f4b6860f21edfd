"""Files and folders that must survive a crash: written whole or not at all, one writer at a time."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path

LOCK_SECONDS = 30.0  # longest wait for another process or thread


class FolderHeld(Exception):
    """Another process has locked the folder for too long."""


def make_private(folder: Path) -> None:
    """Create the folder and its missing parents, for their owner only. Raises OSError."""
    missing = [place for place in (folder, *folder.parents) if not place.exists()]
    for place in reversed(missing):
        place.mkdir(mode=0o700, exist_ok=True)
        sync_folder(place.parent)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_file(path: Path) -> None:
    """Make the content of a file durable. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_tree(folder: Path) -> None:
    """Make everything in a folder durable, with the names. Raises OSError."""
    for place in sorted(folder.rglob("*"), reverse=True):
        if place.is_dir():
            sync_folder(place)
        else:
            sync_file(place)
    sync_folder(folder)


def write(path: Path, content: bytes, mode: int = 0o600) -> None:
    """Replace the file as a whole; durable when this returns. One writer at a time (see `alone`). Raises OSError."""
    fresh = path.with_name(f"{path.name}.new")
    fresh.unlink(missing_ok=True)  # what a killed writer left
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    fresh.rename(path)
    sync_folder(path.parent)


@contextlib.contextmanager
def alone(folder: Path, seconds: float = LOCK_SECONDS) -> Iterator[int]:
    """Lock a folder, against other threads too; gives the descriptor that holds the lock.

    The kernel releases it when the descriptor is closed in every process that inherited it. Raises FolderHeld, and
    FileNotFoundError if the folder does not exist, or was removed during the wait.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        deadline = time.monotonic() + seconds
        while not _locked(descriptor):
            if time.monotonic() > deadline:
                raise FolderHeld(f"{folder} has been locked by another process for {seconds:g} s")
            time.sleep(0.01)
        mine, there = os.fstat(descriptor), folder.stat()
        if (mine.st_dev, mine.st_ino) != (there.st_dev, there.st_ino):
            raise FileNotFoundError(f"{folder} was replaced")
        yield descriptor
    finally:
        os.close(descriptor)


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
