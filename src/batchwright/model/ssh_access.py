"""How a server is reached over SSH; the provider says it, and the rooms that log in use it."""

from __future__ import annotations

import shlex
from collections.abc import Iterable

from msgspec import Struct


class SshAccess(Struct, frozen=True, omit_defaults=True):
    """How to log in to a server over SSH.

    `key` is the path of a private key file; empty: the user's own keys. Only `host_keys` ("ssh-ed25519 AAAA...") are
    trusted. `jump` is the server to go through first.

    >>> access = SshAccess("10.0.0.5", user="admin", port=2222, jump=SshAccess("gate.example.org"))
    >>> [str(hop) for hop in access.hops()]
    ['10.0.0.5 port 2222', 'gate.example.org']
    """

    host: str
    user: str = "root"
    port: int = 22
    key: str = ""
    host_keys: tuple[str, ...] = ()
    jump: SshAccess | None = None

    def __str__(self) -> str:
        return self.host if self.port == 22 else f"{self.host} port {self.port}"

    def hops(self) -> list[SshAccess]:
        """The server itself, then its jump host, and so on."""
        return [self, *(self.jump.hops() if self.jump is not None else ())]


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
