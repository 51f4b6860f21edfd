"""The argument lists that log in to a server with OpenSSH's client, and the known_hosts file for them."""

from __future__ import annotations

import shlex
from collections.abc import Iterable

from batchwright.model.ssh_access import SshAccess


def known_hosts(accesses: Iterable[SshAccess]) -> str:
    """The text of a known_hosts file that trusts these servers' keys, those of their jump hosts, and no others."""
    lines = {f"{_host_pattern(hop)} {key}\n" for access in accesses for hop in access.hops() for key in hop.host_keys}
    return "".join(sorted(lines))


def ssh_command(access: SshAccess, known_hosts_file: str = "", command: Iterable[str] = ()) -> list[str]:
    """The argument list of OpenSSH's client. With `known_hosts_file`, only its keys are trusted, without a question.

    A jump host is reached by a ProxyCommand and not by -J, which would not use its key and its known hosts.
    """
    return with_command(["ssh", *_options(access, known_hosts_file), _destination(access)], command)


def with_command(login: list[str], command: Iterable[str] | str) -> list[str]:
    """The argument list that logs in, with a command for the server's shell.

    Separate words are passed unchanged; a single text is a line for that shell.
    """
    words = [command] if isinstance(command, str) else [shlex.quote(word) for word in command]
    if not words:
        return login
    return [*login[:-1], "--", login[-1], *words]  # what follows is not for ssh


def _host_pattern(access: SshAccess) -> str:
    """How known_hosts writes a host; see sshd(8), SSH_KNOWN_HOSTS FILE FORMAT."""
    return access.host if access.port == 22 else f"[{access.host}]:{access.port}"


def _destination(access: SshAccess) -> str:
    return f"{access.user}@{access.host}"


def _options(access: SshAccess, known_hosts_file: str) -> list[str]:
    options = [*_identity(access.key), "-o", "IdentitiesOnly=yes"] if access.key else []
    if access.port != 22:
        options += ["-p", str(access.port)]
    if known_hosts_file:
        options += ["-o", f'UserKnownHostsFile="{_literal(known_hosts_file)}"']
        options += ["-o", "GlobalKnownHostsFile=/dev/null", "-o", "StrictHostKeyChecking=yes"]
    if access.jump is not None:
        jump = ["ssh", *_options(access.jump, known_hosts_file)]
        options += ["-o", f"ProxyCommand={_literal(shlex.join(jump))} -W '[%h]:%p' {_destination(access.jump)}"]
    return options


def _identity(key: str) -> list[str]:
    """-i, which people know; it cannot name a file with a % in its path."""
    return ["-i", key] if "%" not in key else ["-o", f'IdentityFile="{_literal(key)}"']


def _literal(text: str) -> str:
    """Without a meaning for ssh, which replaces words such as %h."""
    return text.replace("%", "%%")
