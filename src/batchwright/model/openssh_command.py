"""What OpenSSH's client needs to log in to a server: argument lists, a configuration file, a known_hosts file."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable
from itertools import pairwise

from msgspec.structs import replace

from batchwright.model.ssh_access import SshAccess

# Hosts and users come from clouds and files: one that begins with a dash would be an option, a blank or a newline more
# than one word.
_HOST = re.compile(r"[A-Za-z0-9_:][A-Za-z0-9._:%-]{0,252}")
_USER = re.compile(r"[A-Za-z0-9_.][A-Za-z0-9_.-]{0,62}\$?")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_UNQUOTABLE = re.compile(r'["\\\x00-\x1f\x7f]|\$\{')


def is_plain(access: SshAccess) -> bool:
    """Whether hosts and users of all hops are plain words."""
    return all(_HOST.fullmatch(hop.host) and _USER.fullmatch(hop.user) for hop in access.hops())


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


def config_block(alias: str, access: SshAccess, known_hosts_file: str) -> str:
    """The block of an OpenSSH configuration file for one server; see ssh_config(5). Only its host keys are trusted.

    Raises ValueError for a path that such a file cannot hold.
    """
    options = config_options(access, known_hosts_file)
    lines = [("HostName", access.host.replace("%", "%%")), ("User", access.user), ("Port", str(access.port))]
    if access.key:
        lines.append(("IdentityFile", f'"{_literal(access.key)}"'))
    lines += [tuple(option.split("=", 1)) for option in options]  # type: ignore[misc]
    for name, value in lines:
        unfit = _CONTROL if name == "ProxyCommand" else _UNQUOTABLE  # which is a line for a shell
        if unfit.search(value.removeprefix('"').removesuffix('"')):
            raise ValueError(value)
    return "".join([f"Host {alias}\n", *(f"    {name} {value}\n" for name, value in lines)])


def config_options(access: SshAccess, known_hosts_file: str) -> list[str]:
    """The options of a login beside its host, port, user and key file, "NAME=VALUE" each."""
    words = _options(replace(access, port=22), known_hosts_file)
    return [value for flag, value in pairwise(words) if flag == "-o" and not value.startswith("IdentityFile=")]


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
