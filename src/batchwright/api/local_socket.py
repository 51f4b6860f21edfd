"""Listens on the service's own socket in the state folder, so that only its user reaches it."""

from __future__ import annotations

import contextlib
import os
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

from batchwright.client.local_socket import connect, path_of, short_name
from batchwright.errors import AddressRefused
from batchwright.journal.store_folder import alone, make_private

BACKLOG = 1_024


@contextlib.contextmanager
def listening(state_dir: Path) -> Iterator[socket.socket | None]:
    """The socket, bound with mode 0600 in a folder with 0700; None while another service of this folder has it.

    Raises AddressRefused where it cannot be made private, StoreError.
    """
    path = path_of(state_dir)
    make_private(path.parent)
    folder = path.parent.lstat()
    if not stat.S_ISDIR(folder.st_mode) or folder.st_uid != os.geteuid():
        raise AddressRefused(
            f"{path.parent} does not belong to this user",
            hint="Remove it, or choose another state folder with --state-dir.",
        )
    path.parent.chmod(0o700)
    with alone(path.parent):
        sock = None if _is_served(path) else _bound(path)
        made = path.lstat() if sock is not None else None
    try:
        yield sock
    finally:
        if sock is not None and made is not None:
            sock.close()
            with contextlib.suppress(FileNotFoundError), alone(path.parent):
                now = path.lstat()
                if (now.st_dev, now.st_ino) == (made.st_dev, made.st_ino):
                    path.unlink()


def _is_served(path: Path) -> bool:
    try:
        connect(path, 1.0).close()
    except (FileNotFoundError, ConnectionRefusedError):
        return False
    except OSError:  # its backlog is full, or it is no socket: not ours to remove
        return True
    return True


def _bound(path: Path) -> socket.socket:
    path.unlink(missing_ok=True)  # of a service that was killed
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with short_name(path) as name:
            sock.bind(name)
        path.chmod(0o600)
        sock.listen(BACKLOG)  # at once: a process that starts now must see that it is taken
    except OSError as error:
        sock.close()
        raise AddressRefused(f"cannot listen on {path}: {error.strerror or error}") from error
    return sock
