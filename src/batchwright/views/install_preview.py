"""What the installs of a plan would change, found out without changing it."""

from __future__ import annotations

from msgspec import Struct


class InstallPreview(Struct, frozen=True):
    """What an install would change on a server. `new`: the server does not exist yet, so everything is installed."""

    step: str
    taskserv: str
    server: str
    new: bool
    changes: tuple[str, ...] = ()
    trouble: str = ""
