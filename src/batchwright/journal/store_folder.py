"""The folder of a store: created private, checked for writing, and locked while a store is opened."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from batchwright import durable_files
from batchwright.errors import StoreError, StoreFull, StoreReadOnly, StoreUnavailable

OPENING_SECONDS = 30.0  # longest wait for another process that is opening the same store
_NEARLY_NOTHING = 64 * 1024


def make_private(folder: Path) -> None:
    """Create the folder and its missing parents with mode 0700. Raises StoreReadOnly, StoreFull, StoreUnavailable."""
    try:
        durable_files.make_private(folder)
    except OSError as error:
        raise explain(error, folder) from error
    if not folder.is_dir():
        raise StoreUnavailable(f"{folder} is not a folder", hint="Choose another state folder with --state-dir.")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise StoreReadOnly(f"{folder} cannot be written")


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Lock the folder while a store is opened; the kernel releases the lock if the process dies."""
    with ExitStack() as held:
        try:
            held.enter_context(durable_files.alone(folder, OPENING_SECONDS))
        except durable_files.FolderHeld as error:
            message = f"another process has been opening {folder} for {OPENING_SECONDS:.0f} seconds"
            raise StoreUnavailable(message) from error
        except OSError as error:
            raise explain(error, folder) from error
        yield


def has_no_space(folder: Path) -> bool:
    """Whether the disk under the folder is full."""
    try:
        disk = os.statvfs(folder)
    except OSError:
        return False
    return disk.f_bavail * disk.f_frsize < _NEARLY_NOTHING


def explain(error: OSError, place: Path) -> StoreError:
    """The StoreError for an operating system error, for the user of the store at `place`."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return StoreFull(f"the disk that holds {place} is full")
    if error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
        return StoreReadOnly(f"{place} cannot be written: {error.strerror}")
    return StoreUnavailable(f"{place} cannot be used: {error.strerror or error}")
