"""A file that the kernel locks for one process and frees when it dies: the engine itself takes no lock.

The file says which process holds it and where that process listens.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from pathlib import Path

import msgspec
from msgspec import Struct

from batchwright.journal import store_folder
from batchwright.journal.lease_holder import own_holder

NAME = "lock"


class LockOwner(Struct, frozen=True):
    """The process that holds the folder; `socket` is empty until it listens."""

    holder: str
    socket: str = ""
    wire: int = 0


class Lock:
    """The lock on the folder, held until it is released."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def tell(self, socket: str, wire: int) -> None:
        """Write this process and its socket into the lock file."""
        body = msgspec.json.encode(LockOwner(own_holder(), socket, wire))
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, body, 0)

    def release(self) -> None:
        """Release the folder for the next process."""
        os.ftruncate(self._descriptor, 0)
        os.close(self._descriptor)


def take(place: Path) -> Lock | None:
    """The lock on the folder, or None while another process holds it. Raises StoreError."""
    try:
        descriptor = os.open(place / NAME, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise store_folder.explain(error, place / NAME) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    except OSError as error:
        os.close(descriptor)
        raise store_folder.explain(error, place / NAME) from error
    lock = Lock(descriptor)
    left = lock_owner(place)
    if left is not None and left.socket:
        _clear(Path(left.socket))
    lock.tell("", 0)
    return lock


def lock_owner(place: Path) -> LockOwner | None:
    """The holder of the folder as the lock file names it; None while it names none."""
    try:
        return msgspec.json.decode((place / NAME).read_bytes(), type=LockOwner)
    except (FileNotFoundError, msgspec.MsgspecError):
        return None


def _clear(socket: Path) -> None:
    """Remove what a killed holder left in the temporary folder."""
    with contextlib.suppress(OSError):  # another user's, or removed already
        socket.unlink()
        socket.parent.rmdir()
