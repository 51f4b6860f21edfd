"""Connections to the service's own socket in the state folder; only its user reaches it, so it needs no token."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path

FOLDER, NAME = "service", "batchwright.sock"


def path_of(state_dir: Path) -> Path:
    """Where a service of this state folder listens."""
    return state_dir / FOLDER / NAME


def connect(path: Path, seconds: float) -> socket.socket:
    """A connection to it. Raises OSError."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.settimeout(seconds)
        with short_name(path) as name:
            sock.connect(name)
    except OSError:
        sock.close()
        raise
    return sock


@contextlib.contextmanager
def short_name(path: Path) -> Iterator[str]:
    """A name of at most 108 bytes (unix(7)), however deep the state folder lies."""
    if len(os.fsencode(path)) < 100:
        yield str(path)
        return
    descriptor = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{descriptor}/{path.name}"
    finally:
        os.close(descriptor)


class OverSocket(HTTPConnection):
    """A connection to a service's own socket."""

    def __init__(self, path: Path, seconds: float) -> None:
        super().__init__("localhost", timeout=seconds)
        self._path, self._seconds = path, seconds

    def connect(self) -> None:
        """Connect to the Unix socket instead of a host and port. Raises OSError."""
        self.sock = connect(self._path, self._seconds)
