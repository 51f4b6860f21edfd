"""The audit trail: one JSON line for every request to change something: the caller, the action and its result.

The line is written before the action, and the result is written into it afterwards, into reserved space: a full disk, a
crash or a client that leaves costs no line. A `status` of 0 in a service's line means that the result is not known: the
service was killed meanwhile, and the journals have the result.
"""

from __future__ import annotations

import asyncio
import errno
import fcntl
import os
import re
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Protocol
from urllib.parse import parse_qsl, urlencode

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from batchwright.app.settings import Settings
from batchwright.journal.store_folder import make_private

AUDIT_FILE = "audit.jsonl"
LOCK_SECONDS = 5.0  # longest wait for another process that is just writing a line
ROOM = 160  # bytes kept in a line for what comes of it
WORDS = 500  # of a path or of all parameters
VALUE = 120  # characters of one parameter
TOKEN = re.compile(r"bw_[A-Za-z0-9_-]+")


class AuditEntry(Struct, frozen=True):
    """One line. `status` is the HTTP status, 0 for the command line; `code` the error's code where it was refused.

    `query` are the parameters; of those that no call has, only the names. `service` is the machine of the
    service, where services share a trail.
    """

    at: float
    who: str
    role: str
    what: str
    run: str = ""
    status: int = 0
    code: str = ""
    address: str = ""
    query: str = ""
    service: str = ""


def told(query: str, known: Iterable[str]) -> str:
    """The parameters of a request as they may be written down: bounded, and without the values of unknown ones."""
    names = frozenset(known)
    pairs = parse_qsl(query[: 10 * WORDS], keep_blank_values=True, errors="replace")
    return shown(urlencode([(name, value[:VALUE] if name in names else "...") for name, value in pairs], safe="=:/,."))


def shown(words: str) -> str:
    """A path or a query, bounded, without any token in it."""
    return TOKEN.sub("bw_...", words)[:WORDS]


class OpenEntry(Protocol):
    """What was begun, and has no result yet."""

    deed: AuditEntry

    async def end_aside(self, run: str, status: int, code: str) -> None:
        """Write the result. Raises OSError, StoreError, and then it stays without one."""
        ...


class AuditTrail(Protocol):
    """Where requests are written down: a file of the state folder, or a table that services share."""

    async def begin_aside(self, deed: AuditEntry) -> OpenEntry:
        """Write down what is about to be done. Raises OSError, StoreError."""
        ...


class AuditLine:
    """A line in the file whose result is still to be written."""

    def __init__(self, descriptor: int, start: int, size: int, deed: AuditEntry, thread: ThreadPoolExecutor) -> None:
        self._descriptor, self._start, self._size = descriptor, start, size
        self._thread = thread
        self.deed = deed

    async def end_aside(self, run: str, status: int, code: str) -> None:
        """The same as `end`, in a thread, so that a slow disk does not block the service."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self.end, run, status, code)

    def end(self, run: str, status: int, code: str) -> None:
        """Write the result and close the file. Raises OSError, and then the line stays as it was."""
        full = replace(self.deed, run=run, status=status, code=code)
        try:
            for deed in (full, replace(full, run=""), replace(full, run="", code="")):
                if len(text := msgspec.json.encode(deed)) < self._size:
                    _write(self._descriptor, text.ljust(self._size - 1) + b"\n", self._start)
                    return
        finally:
            os.close(self._descriptor)


class Audit:
    """Appends to audit.jsonl in the state folder, which only its owner can read."""

    def __init__(self, settings: Settings) -> None:
        self._folder = settings.state_dir
        self._path = settings.state_dir / AUDIT_FILE
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="batchwright-audit")

    def write(self, deed: AuditEntry) -> None:
        """Append one line whose end is known. Raises OSError, StoreError."""
        descriptor, _, _ = self._append(msgspec.json.encode(deed) + b"\n")
        os.close(descriptor)

    def begin(self, deed: AuditEntry) -> AuditLine:
        """Append the line of something that is about to be done. Raises OSError, StoreError."""
        text = msgspec.json.encode(deed)
        return AuditLine(*self._append(text.ljust(len(text) + ROOM) + b"\n"), deed, self._thread)

    async def begin_aside(self, deed: AuditEntry) -> AuditLine:
        """The same, in a thread of its own: a disk may be slow."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, self.begin, deed)

    def _append(self, line: bytes) -> tuple[int, int, int]:
        """Add a whole line or nothing; gives the open file, where the line begins, and its length."""
        make_private(self._folder)
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            _lock(descriptor, self._path)
            start = os.fstat(descriptor).st_size
            if start and os.pread(descriptor, 1, start - 1) != b"\n":  # half a line of an interrupted writer
                line, half = b"\n" + line, 1
            else:
                half = 0
            try:
                _write(descriptor, line, start)
            except OSError:
                os.ftruncate(descriptor, start)
                raise
            fcntl.flock(descriptor, fcntl.LOCK_UN)
        except BaseException:
            os.close(descriptor)
            raise
        return descriptor, start + half, len(line) - half


def _lock(descriptor: int, path: Path) -> None:
    """Wait for another writer, but not for ever: one that was stopped while writing must not stop this process."""
    deadline = time.monotonic() + LOCK_SECONDS
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise OSError(errno.EAGAIN, f"another process has locked {path.name} for too long") from None
            time.sleep(0.002)
        else:
            return


def _write(descriptor: int, text: bytes, at: int) -> None:
    """All of it. Raises OSError, also where the disk takes only a part."""
    while text:
        count = os.pwrite(descriptor, text, at)
        if not count:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        text, at = text[count:], at + count
