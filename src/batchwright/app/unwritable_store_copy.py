"""Reads a state folder that is not writable from a copy, since opening a store writes to it."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

from batchwright.errors import StoreReadOnly, StoreUnavailable
from batchwright.journal.base import Journal

STORES = ("journal.*", "surrealdb*")
TRIES = 3
_WRITES = frozenset(
    (
        *("create", "append", "copy", "write_environment", "write_delivery", "accept_loss", "save_snapshot"),
        *("acquire", "renew", "release", "signal", "archive", "put_back", "unarchive", "compact"),
    )
)


def is_read_only(folder: Path) -> bool:
    """Whether the folder exists and can be read but not written."""
    return folder.is_dir() and os.access(folder, os.R_OK | os.X_OK) and not os.access(folder, os.W_OK)


def copied(folder: Path) -> TemporaryDirectory[str]:
    """A copy of the stores in a private folder, removed on exit. Raises StoreUnavailable."""
    copy = TemporaryDirectory(prefix="batchwright-")
    try:
        for _ in range(TRIES):
            before = _seen(folder)
            _copy(folder, Path(copy.name))
            if _seen(folder) == before:
                return copy
            copy.cleanup()
            copy = TemporaryDirectory(prefix="batchwright-")
    except (OSError, shutil.Error) as error:
        copy.cleanup()
        raise StoreUnavailable(
            f"{folder} cannot be written, and a copy to read cannot be made: {error}",
            hint="Set TMPDIR to a folder that only you can read, with room for a copy.",
        ) from None
    copy.cleanup()
    raise StoreUnavailable(
        f"{folder} cannot be written, and it changed while it was being copied",
        hint="Query the service that writes to it: give its address with --url or BATCHWRIGHT_URL.",
    )


def _copy(folder: Path, to: Path) -> None:
    for pattern in STORES:
        for one in folder.glob(pattern):
            if one.is_dir():
                shutil.copytree(one, to / one.name, ignore=_no_plain_files)
            elif one.is_file():
                shutil.copy(one, to / one.name)
    for one in to.rglob("*"):
        one.chmod(0o700 if one.is_dir() else 0o600)


def _no_plain_files(folder: str, names: list[str]) -> list[str]:
    """Sockets, above all."""
    return [name for name in names if not (Path(folder, name).is_file() or Path(folder, name).is_dir())]


def _seen(folder: Path) -> dict[str, tuple[int, int]]:
    files = [one for pattern in STORES for top in folder.glob(pattern) for one in (top, *top.rglob("*"))]
    found = {str(one): one.stat() for one in files if not one.name.endswith("-shm")}
    return {name: (seen.st_size, seen.st_mtime_ns) for name, seen in found.items()}


class _ReadOnly:
    """A journal over a copy: everything that would change it is refused."""

    def __init__(self, journal: Journal, folder: Path) -> None:
        self._journal = journal
        self._folder = folder

    def __getattr__(self, name: str) -> Any:
        return self._refuse if name in _WRITES else getattr(self._journal, name)

    async def _refuse(self, *_: object, **__: object) -> None:
        raise StoreReadOnly(f"{self._folder} cannot be written")


def read_only(journal: Journal, folder: Path) -> Journal:
    """The journal, without its methods that write. Those raise StoreReadOnly and name `folder`."""
    return cast(Journal, _ReadOnly(journal, folder))
