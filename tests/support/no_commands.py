"""For children that run nothing on a server."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import Any, cast

from batchwright.model.ssh_access import SshAccess
from batchwright.taskservs.runner.command_relay import CommandRelay


def no_commands() -> CommandRelay:
    """A relay without a connection."""
    return CommandRelay(SshAccess(""), cast(Any, None), AsyncExitStack())
