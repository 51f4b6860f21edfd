"""Guards the engine's log while it is opened.

The engine repairs a damaged log by cutting it off at the damage, without a message, even if years of commits follow.
For a commit that a crash cut short this is right. For anything else it would destroy acknowledged events. So the log
gets a second name in another folder while it is opened, and is restored if more than the last commit was cut.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from batchwright.errors import StoreCorrupt
from batchwright.journal import store_folder

_MARK = re.compile(rb"<bw:[0-9a-f]+>")  # each commit that changes a run writes one of its own
_MARK_LENGTH = 40
_BLOCK = 1024 * 1024
_HEADER = 512  # more than the fields at a file's beginning, which are written in any order


def keep(database: Path) -> None:
    """Before the engine opens: give each file of the log a second name. Names left by a killed opener stay."""
    kept = _kept(database)
    try:
        kept.mkdir(mode=0o700, exist_ok=True)
        for segment in (database / "clog").glob("*"):
            if not (kept / segment.name).exists():
                os.link(segment, kept / segment.name)
    except OSError as error:
        raise store_folder.explain(error, kept) from error


def judge(database: Path) -> None:
    """After the engine opened and before it writes: raises StoreCorrupt if it cut off more than one commit."""
    for original in sorted(_kept(database).glob("*.clog")):
        current = database / "clog" / original.name
        if current.exists() and current.samefile(original):
            continue
        length = current.stat().st_size if current.exists() else 0
        if _begins_like(original, current, length) and len(_marks_after(original, length)) > 1:
            raise StoreCorrupt(f"{current} is damaged at byte {length}, and intact entries follow")


def put_back(database: Path) -> None:
    """After the engine closed: restore the log."""
    for original in _kept(database).glob("*.clog"):
        original.replace(database / "clog" / original.name)
    forget(database)


def forget_untouched(database: Path) -> None:
    """After the engine could not open: keep the second names only of the files that it has changed."""
    for original in _kept(database).glob("*"):
        current = database / "clog" / original.name
        if current.exists() and current.samefile(original):
            original.unlink()


def forget(database: Path) -> None:
    """Remove the hard links to the log files."""
    for original in _kept(database).glob("*"):
        original.unlink()
    if _kept(database).exists():
        _kept(database).rmdir()


def was_never_used(database: Path) -> bool:
    """Whether a database that cannot be opened was just being created: its log holds no commit yet."""
    files = [file for file in database.rglob("*") if file.is_file() and file.parent.name != "manifest"]
    return all(file.stat().st_size <= _HEADER and not _MARK.search(file.read_bytes()) for file in files)


def _kept(database: Path) -> Path:
    return database.parent / "kept"


def _begins_like(original: Path, current: Path, length: int) -> bool:
    """Whether the log was cut; else the engine has rewritten it for reasons of its own."""
    if length <= _HEADER:
        return True
    with original.open("rb") as before, current.open("rb") as after:
        before.seek(_HEADER)
        after.seek(_HEADER)
        while block := after.read(_BLOCK):
            if before.read(len(block)) != block:
                return False
    return True


def _marks_after(original: Path, length: int) -> set[bytes]:
    found: set[bytes] = set()
    rest = b""
    with original.open("rb") as file:
        file.seek(length)
        while block := file.read(_BLOCK):
            found.update(_MARK.findall(rest + block))
            rest = block[-_MARK_LENGTH:]
    return found
