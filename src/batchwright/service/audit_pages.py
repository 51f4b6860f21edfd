"""The audit trail in pages, the newest line first. The file is read from its end and never as a whole."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import msgspec
from msgspec import Struct

from batchwright.app.settings import Settings
from batchwright.errors import AuditUnreadable
from batchwright.service.audit import AUDIT_FILE, AuditEntry

PIECE = 65_536  # bytes read at a time
BYTES_MOST = 4_000_000  # searched by one request
LIMIT_MOST = 500


class AuditQuery(Struct, frozen=True):
    """Which lines. Filters that are empty let everything through.

    `who` is a caller's name and `run` the beginning of a run's id; `find` is a text in any case. `before` is the place
    where an earlier page ended; None: the end of the file.
    """

    who: str = ""
    run: str = ""
    find: str = ""
    before: int | None = None
    limit: int = 100


class AuditPage(Struct, frozen=True):
    """Lines of the audit trail, the newest first. `before` leads to older ones, None after the last.

    One request searches BYTES_MOST bytes, so a page may be short, or empty, and not the last. `unreadable` lines were
    left out: an interrupted writer leaves half a line.
    """

    items: tuple[AuditEntry, ...]
    before: int | None
    unreadable: int = 0


def audit_page(settings: Settings, query: AuditQuery) -> AuditPage:
    """A page; no lines if nothing was ever written. Raises AuditUnreadable."""
    path = settings.state_dir / AUDIT_FILE
    found: list[AuditEntry] = []
    unreadable = 0
    try:
        for start, searched, line in _lines(path, query.before):
            if searched > BYTES_MOST or len(found) == query.limit:
                return AuditPage(tuple(found), start + len(line) + 1, unreadable)
            if not line.strip():
                continue
            try:
                entry = msgspec.json.decode(line, type=AuditEntry)
            except msgspec.MsgspecError:
                unreadable += 1
                continue
            if fits(entry, query):
                found.append(entry)
    except FileNotFoundError:
        pass
    except OSError as error:
        raise AuditUnreadable(f"{path} cannot be read: {error.strerror or error}") from error
    return AuditPage(tuple(found), None, unreadable)


def _lines(path: Path, before: int | None) -> Iterator[tuple[int, int, bytes]]:
    """The lines that end before this place, the last first: where each begins, how much was read, and the line."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        size = os.fstat(descriptor).st_size
        end = at = size if before is None else min(before, size)
        rest = b""
        while at:
            step = min(PIECE, at)
            at -= step
            first, *lines = (os.pread(descriptor, step, at) + rest).split(b"\n")
            place = at + len(first) + 1 + sum(len(line) + 1 for line in lines)
            for line in reversed(lines):
                place -= len(line) + 1
                yield place, end - place, line
            rest = first
            if len(rest) > PIECE:  # no line is so long: something else was written into the file
                yield at, end - at, rest
                rest = b""
        if rest:
            yield 0, end, rest
    finally:
        os.close(descriptor)


def fits(entry: AuditEntry, query: AuditQuery) -> bool:
    """Whether a page with these filters has the line."""
    if (query.who and entry.who != query.who) or not entry.run.startswith(query.run):
        return False
    words = f"{entry.who} {entry.what} {entry.run} {entry.code} {entry.address} {entry.query}".casefold()
    return query.find.casefold() in words
