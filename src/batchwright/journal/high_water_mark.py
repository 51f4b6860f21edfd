"""The mark: the last acknowledged event of each run, in a file beside the store.

A store that lost the end of its log opens as if nothing were missing. The mark shows it: a run that is behind its mark,
or missing, has lost acknowledged events. A store may be ahead of its mark: the last write was perhaps not
acknowledged. The file is a list of records of one size with a checksum each, appended under a lock by any number of
processes; zeros follow the last, so that a record never makes the file longer.
"""

from __future__ import annotations

import contextlib
import fcntl
import itertools
import os
import struct
import threading
import time
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from batchwright import durable_files
from batchwright.errors import StoreBehind, StoreUnavailable
from batchwright.journal import store_folder

RECENT = 256  # runs that are compared when a store is opened: a log that is cut loses the newest
ROOM = 512  # records for which zeros are written at a time
SPARE = 8_192  # superseded records that are kept before the file is replaced
LOCK_SECONDS = 30.0

_RECORD = struct.Struct(">64sQ32s20xI")  # run, last event, its digest, checksum
_SIZE = _RECORD.size
_MAGIC = b"batchwright mark 1".ljust(64, b"\0")
_ZEROS = bytes(_SIZE)
_NO_DIGEST = bytes(32)


class Entry(NamedTuple):
    """The last acknowledged event of a run and its digest in the chain; None for a run without a chain."""

    run: str
    last: int
    head: bytes | None


class Loss(NamedTuple):
    """A run with fewer events than were acknowledged; `found` is its last event, 0 if the run is missing."""

    run: str
    found: int
    marked: int

    def __str__(self) -> str:
        if not self.found:
            return f"run {self.run}, which had {self.marked} events, is missing"
        if self.found < self.marked:
            missing = self.marked - self.found
            return f"run {self.run} ends at event {self.found}, and {missing} acknowledged after it are missing"
        return f"event {self.marked} of run {self.run} differs from the one that was acknowledged"


class HighWaterMark:
    """The mark file, for one process. Its methods may be called from any thread."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor: int | None = None
        self._inode = 0
        self._end = 0  # bytes that were read; records of others may follow
        self._room = 0
        self._records = 0
        self.unsynced = False
        self._entries: dict[bytes, tuple[int, bytes]] = {}  # as written, by run; the one written last is at the end
        self._one_at_a_time = threading.Lock()

    def exists(self) -> bool:
        """Whether the file exists."""
        return self.path.exists()

    def make(self, entries: Iterable[Entry] = ()) -> None:
        """Replace the file by a new one with these entries. Raises StoreError."""
        with self._one_at_a_time:
            self._make(entries)

    def entries(self) -> dict[str, Entry]:
        """The entry of each run, oldest first. Raises StoreBehind if the file is damaged or missing."""
        with self._one_at_a_time, self._locked(fcntl.LOCK_SH):
            return {entry.run: entry for entry in map(_entry, self._entries.items())}

    def get(self, run: str) -> Entry | None:
        """The entry of one run, None if it has none. Raises StoreBehind."""
        return next(iter(self.get_all([run])), None)

    def get_all(self, runs: Iterable[str]) -> list[Entry]:
        """The entries of those of these runs that have one. Raises StoreBehind."""
        with self._one_at_a_time, self._locked(fcntl.LOCK_SH):
            return [_entry((name, self._entries[name])) for name in map(_name, runs) if name in self._entries]

    def recent(self) -> list[Entry]:
        """The most recently written entries. Raises StoreBehind."""
        with self._one_at_a_time, self._locked(fcntl.LOCK_SH):
            return [_entry(one) for one in itertools.islice(reversed(self._entries.items()), RECENT)]

    def reserve(self, count: int) -> None:
        """Reserve space for so many records, so that `put` does not fail on a full disk. Raises StoreFull."""
        with self._one_at_a_time, self._locked(fcntl.LOCK_EX):
            if self._room - self._end >= count * _SIZE:
                return
            if self._records <= 2 * len(self._entries) + SPARE:
                self._extend(count)
                return
            self._make([_entry(one) for one in self._entries.items()])

    def put(self, entries: Iterable[Entry]) -> None:
        """Append records: they survive a kill of this process, and after `sync` a power cut. Raises StoreError."""
        packed = b"".join(_packed(entry) for entry in entries)
        if not packed:
            return
        with self._one_at_a_time:
            with self._locked(fcntl.LOCK_EX) as descriptor:
                try:
                    os.pwrite(descriptor, packed, self._end)
                except OSError as error:
                    raise store_folder.explain(error, self.path) from error
                self._take(packed)
            self.unsynced = True

    def renew(self) -> None:
        """Replace the file by a new one: after a failed sync, a second sync of the old file may succeed without effect.

        Raises StoreError.
        """
        with self._one_at_a_time, self._locked(fcntl.LOCK_EX):
            self._make([_entry(one) for one in self._entries.items()])

    def sync(self) -> None:
        """Make the appended records durable. Raises StoreError; then `renew` is needed."""
        with self._one_at_a_time:
            if self.unsynced and self._descriptor is not None:
                try:
                    os.fdatasync(self._descriptor)
                except OSError as error:
                    raise store_folder.explain(error, self.path) from error
            self.unsynced = False

    def close(self) -> None:
        """Close the file."""
        with self._one_at_a_time:
            self._close()

    def _close(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
        self._descriptor, self._end, self._room, self._records = None, 0, 0, 0
        self._entries = {}

    @contextlib.contextmanager
    def _locked(self, kind: int) -> Iterator[int]:
        """Hold the file that is there now, with everything read that others appended."""
        deadline = time.monotonic() + LOCK_SECONDS
        while True:
            descriptor = self._open()
            self._lock(descriptor, kind, deadline)
            try:
                there = self.path.stat()
            except FileNotFoundError:
                there = None
            if there is not None and there.st_ino == self._inode:
                break
            self._close()  # it was replaced; the lock belongs to the descriptor
        try:
            self._room = max(self._room, there.st_size)
            self._read(descriptor)
            yield descriptor
        finally:
            if self._descriptor == descriptor:
                fcntl.flock(descriptor, fcntl.LOCK_UN)

    def _open(self) -> int:
        if self._descriptor is None:
            try:
                self._descriptor = os.open(self.path, os.O_RDWR | os.O_CLOEXEC)
            except FileNotFoundError:
                raise StoreBehind(f"{self.path} is missing, so lost events cannot be detected") from None
            except OSError as error:
                raise store_folder.explain(error, self.path) from error
            self._inode = os.fstat(self._descriptor).st_ino
        return self._descriptor

    def _lock(self, descriptor: int, kind: int, deadline: float) -> None:
        while True:
            try:
                fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
                return
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise StoreUnavailable(
                        f"another process has locked {self.path} for {LOCK_SECONDS:.0f} seconds"
                    ) from None
                time.sleep(0.001)

    def _read(self, descriptor: int) -> None:
        while self._end < self._room:
            piece = os.pread(descriptor, max(_SIZE * 16, min(self._room - self._end, 2**20)), self._end)
            whole = len(piece) - len(piece) % _SIZE
            if self._take(piece[:whole]) < whole or not whole:
                return

    def _take(self, records: bytes) -> int:
        """Remember records up to the first that is all zeros; gives how many bytes. Raises StoreBehind."""
        entries = self._entries
        for at, (run, last, head, checksum) in enumerate(_RECORD.iter_unpack(records)):
            start = at * _SIZE
            if checksum != zlib.crc32(records[start : start + _SIZE - 4]) or (self._end == 0) != (run == _MAGIC):
                if records[start : start + _SIZE] == _ZEROS:
                    return start
                raise StoreBehind(
                    f"{self.path} is damaged at byte {self._end}, so the journal cannot be checked against it"
                )
            if self._end:
                known = entries.pop(run, None)  # processes may write out of order
                entries[run] = (last, head) if known is None or known[0] < last else known
            self._end += _SIZE
            self._records += 1
        return len(records)

    def _extend(self, count: int) -> None:
        assert self._descriptor is not None
        end = (self._end // _SIZE + count + ROOM) * _SIZE
        try:
            while self._room < end:
                self._room += os.pwrite(self._descriptor, bytes(end - self._room), self._room)
        except OSError as error:
            raise store_folder.explain(error, self.path) from error

    def _make(self, entries: Iterable[Entry]) -> None:
        records = [_record(_MAGIC, 0, _NO_DIGEST), *map(_packed, entries), bytes(_SIZE * ROOM)]
        try:
            durable_files.write(self.path, b"".join(records))
        except OSError as error:
            raise store_folder.explain(error, self.path) from error
        self._close()


def behind(place: object, losses: list[Loss]) -> StoreBehind:
    """The error that names what is missing."""
    few = "; ".join(map(str, losses[:5])) + (f"; and {len(losses) - 5} more runs" if len(losses) > 5 else "")
    return StoreBehind(f"{place} has lost acknowledged events: {few}")


def _packed(entry: Entry) -> bytes:
    return _record(_name(entry.run), entry.last, entry.head or _NO_DIGEST)


def _entry(record: tuple[bytes, tuple[int, bytes]]) -> Entry:
    run, (last, head) = record
    return Entry(run.rstrip(b"\0").decode(), last, None if head == _NO_DIGEST else head)


def _name(run: str) -> bytes:
    name = run.encode()
    if len(name) > 64:
        raise ValueError(f"the run id {run!r} is longer than 64 bytes")
    return name.ljust(64, b"\0")


def _record(name: bytes, last: int, head: bytes) -> bytes:
    body = _RECORD.pack(name, last, head, 0)[:-4]
    return body + zlib.crc32(body).to_bytes(4, "big")
