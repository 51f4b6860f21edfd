"""Servers as a configuration file of OpenSSH."""

from __future__ import annotations

from collections.abc import Iterable

from batchwright.errors import UsageError
from batchwright.model.openssh_command import config_block
from batchwright.views.host_aliases import LoginHost

HEAD = """\
# Written by: batchwright servers --ssh-config
# Use it with: ssh -F FILE NAME. Or write it into a file of its own, and begin ~/.ssh/config with: Include FILE
"""


def ssh_config(hosts: Iterable[LoginHost]) -> str:
    """One block per server. Raises UsageError for a path that the file cannot hold."""
    try:
        blocks = [config_block(host.alias, host.access, host.known_hosts) for host in hosts]
    except ValueError as error:
        raise UsageError(
            f"a configuration file of OpenSSH cannot hold this path: {error}",
            hint="Use a state folder and a key file whose paths have no quotes, backslashes and control characters.",
        ) from None
    return "\n".join([HEAD, *blocks])
