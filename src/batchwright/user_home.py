"""The user's home folder, also where HOME is not set: under cron, systemd, sudo, in a container."""

from __future__ import annotations

import os
import pwd
from collections.abc import Mapping
from pathlib import Path

from msgspec.structs import replace

from batchwright.errors import UsageError
from batchwright.model.ssh_access import SshAccess


def home(environ: Mapping[str, str] = os.environ) -> Path:
    """HOME, else the path from the password database. Raises UsageError if neither is an absolute path."""
    found = environ.get("HOME", "")
    if not Path(found).is_absolute():
        try:
            found = pwd.getpwuid(os.getuid()).pw_dir
        except KeyError:  # a user id without a name
            found = ""
    if not Path(found).is_absolute():
        raise UsageError(
            f"HOME is not set to a folder, and the password database has none for user id {os.getuid()}",
            hint="Set HOME, or name the state folder with --state-dir or BATCHWRIGHT_STATE_DIR.",
        )
    return Path(found)


def expanded(path: Path | str, environ: Mapping[str, str] = os.environ) -> Path:
    """The path with `~` and `~name` at its beginning replaced. Raises UsageError if there is no such home."""
    path = Path(path)
    if path.parts[:1] == ("~",):
        return home(environ).joinpath(*path.parts[1:])
    try:
        return path.expanduser()
    except RuntimeError:
        raise UsageError(f"{path.parts[0]} is not a user of this machine", hint="Write the full path.") from None


def with_own_home(access: SshAccess) -> SshAccess:
    """The access with the paths of its keys on this machine: a plan has them as the file does. Raises UsageError."""
    jump = with_own_home(access.jump) if access.jump is not None else None
    return replace(access, key=str(expanded(access.key)) if access.key else "", jump=jump)
