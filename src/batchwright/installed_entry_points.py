"""The entry points of installed packages: which plug-ins there are."""

from __future__ import annotations

import sys
from functools import lru_cache
from importlib import metadata
from importlib.metadata import EntryPoint
from pathlib import Path


def entry_points(group: str) -> tuple[EntryPoint, ...]:
    """The entry points of this group. They are read again once a folder of sys.path has changed."""
    return _read(group, tuple((folder, _changed_at(folder)) for folder in sys.path))


@lru_cache(maxsize=16)  # to read those of all packages takes milliseconds, and each plan needs them several times
def _read(group: str, _folders: tuple[tuple[str, int], ...]) -> tuple[EntryPoint, ...]:
    return tuple(metadata.entry_points(group=group))


def _changed_at(folder: str) -> int:
    try:
        return Path(folder).stat().st_mtime_ns
    except OSError:
        return 0
