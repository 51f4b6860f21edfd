"""Reads files that another user may have created: only regular files, up to a size limit, and never blocking."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

MOST = 4 * 1024 * 1024  # bytes of a file of settings


def contents(path: Path, most: int = MOST) -> bytes:
    """The content of a regular file. Raises OSError, also for a pipe, a device, or more than `most` bytes."""
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    with os.fdopen(handle, "rb") as file:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise OSError(errno.EINVAL, "it is not a regular file", str(path))
        content = file.read(most + 1)
    if len(content) > most:
        raise OSError(errno.EFBIG, f"it is larger than {most:,} bytes", str(path))
    return content
