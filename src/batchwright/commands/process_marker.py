"""What a start on this machine leaves: a locked file for as long as one of its processes lives, and a mark in each.

Whoever was killed cannot tell what it left running. So every program inherits an open, locked file: the kernel lets go
of the lock when the last of its processes has ended, and not before. Which ones those are, /proc shows: they have the
file open, or the mark in their environment.
"""

from __future__ import annotations

import fcntl
import os
import signal
from pathlib import Path

from batchwright.commands.base import MARK
from batchwright.model.clock import Clock

GENTLY, FIRMLY = 5.0, 5.0  # seconds that processes get to end after a SIGTERM, and to be gone after a SIGKILL
LOOK_SECONDS = 0.05


class ProcessMarker:
    """The file of one start. It is there from before the program is started until it is known how it ended."""

    def __init__(self, folder: Path, mark: str) -> None:
        self._path = folder / mark
        self._mark = f"{MARK}={mark}\0".encode()

    @property
    def left(self) -> bool:
        """Whether there was a start of which nobody knows that it has ended."""
        return self._path.exists()

    def begin(self) -> int:
        """Make the file and lock it; gives the descriptor for the program to inherit."""
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return descriptor

    def forget(self) -> None:
        """It is known how it ended; what it left running on purpose is left alone."""
        self._path.unlink(missing_ok=True)

    def survivors(self) -> list[int]:
        """The processes that are left of it."""
        found = self._file()
        return [pid for name in os.listdir("/proc") if name.isdigit() and self._is_of(pid := int(name), found)]  # noqa: PTH208

    def held(self) -> bool:
        """Whether a process holds the lock, be it one that cannot be looked into."""
        try:
            descriptor = os.open(self._path, os.O_RDWR)
        except FileNotFoundError:
            return False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(descriptor)
        return False

    async def end(self, clock: Clock) -> bool:
        """End what is left, gently first. False when something is still there."""
        for number, seconds in ((signal.SIGTERM, GENTLY), (signal.SIGKILL, FIRMLY)):
            asked: set[int] = set()
            until = clock.now() + seconds
            while (left := self.survivors()) or self.held():
                for pid in left:
                    if pid not in asked:
                        self._send(pid, number)
                        asked.add(pid)
                if clock.now() >= until:
                    break
                await clock.sleep(LOOK_SECONDS)
            else:
                return True
        return False

    def _file(self) -> tuple[int, int] | None:
        try:
            found = self._path.stat()
        except FileNotFoundError:
            return None
        return found.st_dev, found.st_ino

    def _is_of(self, pid: int, file: tuple[int, int] | None) -> bool:
        if pid == os.getpid():
            return False
        place = Path("/proc", str(pid))
        try:
            if self._mark in (place / "environ").read_bytes() + b"\0":
                return True
            for one in (place / "fd").iterdir() if file else ():
                try:
                    found = one.stat()
                except OSError:
                    continue
                if (found.st_dev, found.st_ino) == file:
                    return True
        except OSError:  # it has ended, or is somebody else's
            return False
        return False

    def _send(self, pid: int, number: int) -> None:
        """To this very process, and to none that was given its number since."""
        try:
            process = os.pidfd_open(pid)
        except OSError:
            return
        try:
            if self._is_of(pid, self._file()):
                signal.pidfd_send_signal(process, number)
        except OSError:
            return
        finally:
            os.close(process)
