"""How a server of a workflow is reached: its options, the files they name, and the host keys that are known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import asyncssh

from batchwright.model.diagnostic import Diagnostic
from batchwright.model.ssh_access import SshAccess
from batchwright.model.workflow import ServerConfig
from batchwright.user_home import expanded

KNOWN_HOSTS = "~/.ssh/known_hosts"


def missing(config: ServerConfig) -> list[Diagnostic]:
    """What the contract of static servers would have refused, for a configuration that did not pass it."""
    if config.options.get("address"):
        return []
    return [Diagnostic("address-missing", f'"{config.name}" has no address', "Give it an address.", field="address")]


def access_of(config: ServerConfig) -> SshAccess | list[Diagnostic]:
    """How the server is reached, or why that is not known; looks only at files of this machine."""
    problems = missing(config)
    if problems:
        return problems
    trusted = str(config.options.get("known_hosts", KNOWN_HOSTS))
    jump = config.options.get("jump")
    through = _hop(jump, trusted, "jump.", problems) if jump else None
    access = _hop(config.options, trusted, "", problems, through)
    return problems or access


def _hop(
    options: dict[str, Any], trusted: str, prefix: str, problems: list[Diagnostic], jump: SshAccess | None = None
) -> SshAccess:
    key = str(options.get("key", ""))
    access = SshAccess(options["address"], options.get("user", "root"), options.get("port", 22), key, (), jump)
    if key and not (path := expanded(key)).is_file():
        problems.append(
            Diagnostic("key-missing", f"there is no private key {path}", "Correct the path.", field=f"{prefix}key")
        )
    try:
        keys = [options["host_key"]] if "host_key" in options else _known(access, expanded(trusted))
        known = tuple(dict.fromkeys(_bare(key) for key in keys))
    except (OSError, ValueError):  # their words may quote the file, and a workflow may name any file
        field, place = (f"{prefix}host_key", "`host_key`") if "host_key" in options else ("known_hosts", trusted)
        message = f"the host key of {access} cannot be read from {place}"
        problems.append(Diagnostic("host-key-unreadable", message, 'It looks like "ssh-ed25519 AAAA...".', field=field))
        return access
    if not known:
        problems.append(_unknown(access, trusted, prefix))
    return SshAccess(access.host, access.user, access.port, key, known, jump)


def _known(access: SshAccess, file: Path) -> list[str]:
    """The host keys that a known_hosts file holds for it, hashed names too, without those it revokes."""
    if not file.is_file():  # a pipe would be waited for, a device has no end
        return []
    port = access.port if access.port != 22 else None
    keys, _, revoked, *_ = asyncssh.read_known_hosts(str(file)).match(access.host, "", port)
    return [key.export_public_key().decode() for key in keys if key not in revoked]


def _bare(key: str) -> str:
    """Algorithm and key, without the comment. Raises ValueError where it is none."""
    return " ".join(asyncssh.import_public_key(key).export_public_key().decode().split()[:2])


def _unknown(access: SshAccess, trusted: str, prefix: str) -> Diagnostic:
    port = f"-p {access.port} " if access.port != 22 else ""
    return Diagnostic(
        "host-key-unknown",
        f"the host key of {access} is not known: it is neither in `host_key` nor in {trusted}, "
        "and Batchwright trusts no key on first use",
        "Read it in a way you trust, such as the server's console (cat /etc/ssh/ssh_host_ed25519_key.pub), and put "
        f"it into `host_key`. `ssh-keyscan {port}{access.host}` shows what answers there now: compare it, "
        "do not just copy it.",
        field=f"{prefix}host_key",
    )
