"""How pyinfra's library logs in: with one key, and through jump hosts with known host keys only."""

from __future__ import annotations

import contextlib
import io
from typing import Any

from paramiko import Agent, AuthenticationException, HostKeys, RejectPolicy, SSHClient, SSHException
from paramiko.hostkeys import HostKeyEntry

from batchwright.login_key_file import KeyFileUnusable, LoginKeyFile, read_key_file
from batchwright.model.openssh_command import known_hosts
from batchwright.model.public_key import fingerprint
from batchwright.model.ssh_access import SshAccess
from batchwright.taskservs.runner.deploys import DeployFailed

# paramiko signs with one algorithm per connection, the first that is not disabled, where a server names none
RSA_TRIES: tuple[dict[str, list[str]], ...] = ({}, {"pubkeys": ["rsa-sha2-512", "ssh-rsa"]})


def needs_agent(access: SshAccess) -> bool:
    """Whether the SSH agent signs for a login on this way; False for a key that cannot be read."""
    with contextlib.suppress(DeployFailed):
        return any(not hop.key or _signed_by_agent(hop.key) is not None for hop in access.hops())
    return False


def credentials(key: str) -> dict[str, Any]:
    """The arguments of paramiko's connect that log in with this key file and no other key. Raises DeployFailed."""
    if not key:
        return {"allow_agent": True, "look_for_keys": True}
    only: dict[str, Any] = {"allow_agent": False, "look_for_keys": False}
    public = _signed_by_agent(key)
    if public is None:
        return {**only, "key_filename": key}
    for held in Agent().get_keys():
        if held.asbytes() == public.blob:
            return {**only, "pkey": held}
    raise DeployFailed(f"the SSH agent does not have the key {fingerprint(public.public)}")


def _signed_by_agent(key: str) -> LoginKeyFile | None:
    try:
        file = read_key_file(key)
    except (OSError, KeyFileUnusable) as error:
        raise DeployFailed(str(error)) from error
    return file if file.in_agent else None


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
                    timeout=seconds,
                    **credentials(jump.key),
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
