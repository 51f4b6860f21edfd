"""An archive of runs: one file, gzip over lines of JSON, that holds what a store deletes of them.

    {"type": "archive", "version": 1, "at": ...}
    {"type": "run", "summary": {...}, "head": {"seq": 7, "digest": "..."}}
    {"type": "page", "first": 1, "last": 7, "version": 2, "chain": "...", "body": [events, byte for byte as stored]}
    {"type": "signal", "signal": {...}}
    {"type": "end", "runs": 1, "digest": "SHA-256 of all lines before"}

Each run's pages follow its line, its signals follow its pages. Keys are not in it.
"""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import io
import os
import stat
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import IO

import msgspec
from msgspec import Struct

from batchwright import durable_files
from batchwright.errors import ArchiveRefused, StoreCorrupt, StoreFull
from batchwright.journal import hash_chain, store_folder
from batchwright.journal.base import ArchivedRun, Head
from batchwright.journal.event_rows import EventRow
from batchwright.model.run_signal import Signal
from batchwright.model.run_summary import RunSummary

VERSION = 1
LINE_MAX = 512 * 1024 * 1024  # bytes; the plan of a very large run is one event
LEVEL = 3  # of the compression: 6 takes twice as long and saves a tenth

_DAMAGE = (EOFError, zlib.error, gzip.BadGzipFile, msgspec.MsgspecError, UnicodeDecodeError, ValueError, StoreCorrupt)


class _Header(Struct, frozen=True, tag="archive"):
    version: int
    at: float


class _Run(Struct, frozen=True, tag="run"):
    summary: RunSummary
    head: Head


class _Page(Struct, frozen=True, tag="page"):
    first: int
    last: int
    version: int
    chain: str
    body: msgspec.Raw


class _Signal(Struct, frozen=True, tag="signal"):
    signal: Signal


class _End(Struct, frozen=True, tag="end"):
    runs: int
    digest: str


_Line = _Header | _Run | _Page | _Signal | _End
_line: msgspec.json.Decoder[_Line] = msgspec.json.Decoder(_Line)


class ArchiveWriter:
    """Writes an archive under another name; only `finish` gives it its own, once it is durable.

    Without `finish` nothing is left of it. One writer for each file. Methods raise StoreError.
    """

    def __init__(self, path: Path, at: float) -> None:
        self._path, self._fresh = path, path.with_name(f".{path.name}.part")
        self._digest = hashlib.sha256()
        self._runs = 0
        with _explained(path):
            if path.exists():
                raise ArchiveRefused(f"{path} exists already", hint="Name another file, or a folder.")
            self._fresh.unlink(missing_ok=True)  # what a killed process left
            handle = os.open(self._fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
            self._file = os.fdopen(handle, "wb")
            self._lines = gzip.GzipFile("", "wb", LEVEL, self._file, mtime=0)
        self._write(_Header(VERSION, at))

    def __enter__(self) -> ArchiveWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Remove what was not finished."""
        with contextlib.suppress(OSError, ValueError):  # ValueError: `finish` has closed it
            self._lines.close()
        with contextlib.suppress(OSError):
            self._file.close()
        self._fresh.unlink(missing_ok=True)

    def run(self, summary: RunSummary, head: Head) -> None:
        """Begin a run; its pages follow."""
        self._runs += 1
        self._write(_Run(summary, head))

    def pages(self, pages: Iterable[EventRow]) -> int:
        """Add pages of the run; gives their size in bytes."""
        size = 0
        for page in pages:
            chain = (page.chain or b"").hex()
            self._write(_Page(page.first, page.last, page.version, chain, msgspec.Raw(page.body)))
            size += len(page.body)
        return size

    def signals(self, signals: Iterable[Signal]) -> None:
        """Add the run's signals, in their order."""
        for signal in signals:
            self._write(_Signal(signal))

    def finish(self) -> None:
        """Make the file durable and give it its name."""
        self._write(_End(self._runs, self._digest.hexdigest()))
        with _explained(self._path):
            self._lines.close()
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
            self._fresh.rename(self._path)
            durable_files.sync_folder(self._path.parent)

    def _write(self, line: _Line) -> None:
        text = msgspec.json.encode(line) + b"\n"
        self._digest.update(text)
        with _explained(self._path):
            self._lines.write(text)


def read_archive(path: Path) -> Iterator[ArchivedRun | EventRow | Signal]:
    """Each run with its summary and head, then its pages, then its signals.

    Pages are checked against the run's chain and head as they come, the whole against its digest at the end: only
    what is read to its end is proven. Raises ArchiveRefused.
    """
    try:
        with _opened(path) as lines:
            yield from _proven(lines)
    except _DAMAGE as error:
        message = error.message if isinstance(error, StoreCorrupt) else str(error)
        raise ArchiveRefused(
            f"{path} is not a complete archive of runs: {message}", hint="Use another copy of it."
        ) from None
    except OSError as error:
        raise ArchiveRefused(f"{path} cannot be read: {error.strerror or error}") from None


def _proven(lines: IO[bytes]) -> Iterator[ArchivedRun | EventRow | Signal]:
    digest, runs, run = hashlib.sha256(), 0, None
    header = _line.decode(_next(lines, digest))
    if not isinstance(header, _Header):
        raise ValueError("it does not begin as one")
    if header.version > VERSION:
        raise ValueError(f"it has version {header.version}; this Batchwright knows versions up to {VERSION}")
    while True:
        before = digest.copy()
        line = _line.decode(_next(lines, digest))
        if isinstance(line, _Run | _End) and run is not None:
            run.check_end()
        match line:
            case _Run(summary, head):
                run, runs = _RunCheck(ArchivedRun(summary, head)), runs + 1
                yield run.line
            case _Page() if run is not None:
                yield run.page(line)
            case _Signal(signal) if run is not None:
                yield signal
            case _End(count, wanted):
                if (count, wanted) != (runs, before.hexdigest()) or lines.read(1):
                    raise ValueError("its content is not what its digest says")
                return
            case _:
                raise ValueError("its lines are out of order")


class _RunCheck:
    """Checks the pages of one run as they come."""

    def __init__(self, line: ArchivedRun) -> None:
        self.line, self._run = line, line.summary.run
        self._at, self._chain = 0, b""

    def page(self, line: _Page) -> EventRow:
        chain = bytes.fromhex(line.chain)
        page = EventRow(line.first, line.last, line.version, bytes(line.body), chain or None)
        if not self._at < page.first == self._at + 1 <= page.last:
            raise ValueError(f"events of run {self._run} are missing after number {self._at}")
        hash_chain.verify(self._run, self._chain or None, page)
        self._at, self._chain = page.last, chain
        return page

    def check_end(self) -> None:
        if Head(self._at, self._chain.hex()) != self.line.head:
            raise ValueError(f"run {self._run} does not end with the event that was recorded as its last")


def _next(lines: IO[bytes], digest: hashlib._Hash) -> bytes:
    line = lines.readline(LINE_MAX + 1)
    if not line.endswith(b"\n"):
        raise ValueError(f"a line is longer than {LINE_MAX:,} bytes" if len(line) > LINE_MAX else "its end is missing")
    digest.update(line)
    return line


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[IO[bytes]]:
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    with os.fdopen(handle, "rb") as file:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise ValueError("it is not a regular file")
        with gzip.GzipFile("", "rb", fileobj=file) as lines:
            yield io.BufferedReader(lines, 1024 * 1024)


@contextlib.contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        explained = store_folder.explain(error, path)
        if isinstance(explained, StoreFull):
            explained.hint = "Nothing was deleted. Free some space there, or choose another place with --archive."
        raise explained from error
