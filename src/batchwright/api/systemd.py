"""What systemd passes to a service and wants to hear from it: a socket that listens already, and how far it is.

See sd_listen_fds(3) and sd_notify(3). Without systemd nothing here does anything.
"""

from __future__ import annotations

import os
import socket
from collections.abc import MutableMapping

from batchwright.errors import AddressRefused

FIRST = 3  # the descriptor of the first socket that is passed
_PASSED = ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES")


def passed_socket(environ: MutableMapping[str, str]) -> socket.socket | None:
    """The TCP socket that was passed to this process, None if there is none; programs started from here get none.

    Raises AddressRefused for more than one, or another kind.
    """
    mine = environ.get("LISTEN_PID") == str(os.getpid())
    count = int(environ.get("LISTEN_FDS", "0")) if mine else 0
    for name in _PASSED:
        environ.pop(name, None)
    if not count:
        return None
    if count > 1:
        raise AddressRefused(
            f"systemd passes {count} sockets, and the service listens on one",
            hint="Keep one ListenStream= in batchwright.socket.",
        )
    try:
        sock = socket.socket(fileno=FIRST)
    except OSError as error:
        raise AddressRefused(
            f"what systemd passes is not a socket: {error.strerror}", hint="Keep ListenStream= in batchwright.socket."
        ) from error
    os.set_inheritable(FIRST, False)
    if sock.family not in (socket.AF_INET, socket.AF_INET6) or sock.type != socket.SOCK_STREAM:
        sock.close()
        raise AddressRefused(
            "the socket that systemd passes is not of TCP",
            hint="Write ListenStream=127.0.0.1:9090 in batchwright.socket; the service makes its Unix socket itself.",
        )
    if not sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        sock.close()
        raise AddressRefused(
            "the socket that systemd passes is one connection, not a socket that listens",
            hint="Remove Accept=yes from batchwright.socket.",
        )
    return sock


def notify(words: str, environ: MutableMapping[str, str]) -> None:
    """Tell systemd something, such as READY=1, if it listens. Raises OSError if it does not take it."""
    name = environ.get("NOTIFY_SOCKET", "")
    if not name:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.sendto(words.encode(), "\0" + name[1:] if name.startswith("@") else name)
