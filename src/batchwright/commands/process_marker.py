"""The marker of a program start on this machine: a file that stays locked while any process of the start lives.

A driver that was killed cannot say what it left running. So every program inherits an open, locked file, and the kernel
releases the lock when the last of its processes has ended, not before. /proc shows which processes these are: they have
the file open, or the mark in their environment.
"""

from __future__ import annotations

import fcntl
import os
import signal
from pathlib import Path

from batchwright.commands.base import MARK
from batchwright.model.clock import Clock

GENTLY, FIRMLY = 5.0, 5.0  # seconds to end after a SIGTERM, and to be gone after a SIGKILL
LOOK_SECONDS = 0.05


class ProcessMarker:
    """The marker file of one start. It exists from before the program is started until its outcome is known."""

    def __init__(self, folder: Path, mark: str) -> None:
        self._path = folder / mark
        self._mark = f"{MARK}={mark}\0".encode()

    @property
    def left(self) -> bool:
        """Whether an earlier start may still be running."""
        return self._path.exists()

    def begin(self) -> int:
        """Create and lock the file. Returns the descriptor that the program inherits."""
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return descriptor

    def forget(self) -> None:
        """Remove the marker once the outcome is known. Processes left running on purpose are not touched."""
        self._path.unlink(missing_ok=True)

    def survivors(self) -> list[int]:
        """The process ids that are left of the start."""
        found = self._file()
        return [pid for name in os.listdir("/proc") if name.isdigit() and self._is_of(pid := int(name), found)]  # noqa: PTH208

    def held(self) -> bool:
        """Whether a process holds the lock, even one that cannot be inspected."""
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
        """End the remaining processes, first with SIGTERM, then with SIGKILL. False if something still runs."""
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
        except OSError:  # it has ended, or belongs to another user
            return False
        return False

    def _send(self, pid: int, number: int) -> None:
        """Send a signal to this very process, never to a later one with the same number."""
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
