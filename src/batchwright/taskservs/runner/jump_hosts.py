"""A way through jump hosts for pyinfra, hop by hop, with known host keys only."""

from __future__ import annotations

import contextlib
import io
from typing import Any

from paramiko import AuthenticationException, HostKeys, RejectPolicy, SSHClient, SSHException
from paramiko.hostkeys import HostKeyEntry

from batchwright.model.openssh_command import known_hosts
from batchwright.model.ssh_access import SshAccess
from batchwright.taskservs.runner.deploys import DeployFailed

# paramiko signs with one algorithm per connection, the first that is not disabled, where a server names none
RSA_TRIES: tuple[dict[str, list[str]], ...] = ({}, {"pubkeys": ["rsa-sha2-512", "ssh-rsa"]})


def tunnel(access: SshAccess, seconds: float) -> Any:
    """A channel to the server through its jump hosts. Raises DeployFailed."""
    assert access.jump is not None
    jump = access.jump
    try:
        for disabled in RSA_TRIES:
            client = SSHClient()
            client.set_missing_host_key_policy(RejectPolicy())
            keys: HostKeys = client.get_host_keys()
            for line in io.StringIO(known_hosts([jump])):
                entry = HostKeyEntry.from_line(line)
                if entry is not None and entry.key is not None:
                    keys.add(entry.hostnames[0], entry.key.get_name(), entry.key)
            with contextlib.suppress(*([AuthenticationException] if disabled is not RSA_TRIES[-1] else [])):
                client.connect(
                    jump.host,
                    jump.port,
                    jump.user,
                    key_filename=jump.key or None,
                    timeout=seconds,
                    allow_agent=not jump.key,
                    look_for_keys=not jump.key,
                    sock=tunnel(jump, seconds) if jump.jump is not None else None,
                    disabled_algorithms=disabled,
                )
                break
        transport = client.get_transport()
        assert transport is not None
        channel = transport.open_channel("direct-tcpip", (access.host, access.port), ("127.0.0.1", 0), timeout=seconds)
    except (SSHException, OSError, EOFError) as error:
        raise DeployFailed(f"cannot connect through {jump.host}: {error}") from error
    channel.batchwright_client = client  # type: ignore[attr-defined]  # lives as long as what goes through it
    return channel
