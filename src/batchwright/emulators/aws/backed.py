"""The emulated account backed by other servers, and cloud-init's handling of user data as one script."""

from __future__ import annotations

import base64
import email
import shlex
from collections.abc import Sequence
from typing import Any

import yaml

from batchwright.emulators.aws.account import AwsAccount
from batchwright.emulators.aws.catalog import VCPUS
from batchwright.emulators.aws.resources import Instance
from batchwright.emulators.backend_reconciler import DesiredServer

_HOST = "/etc/ssh/ssh_host_ed25519_key"
# AWS images let their user become root by sudo. A backing server may have no sudo, so there that user is root
SUDO = """#!/bin/sh
while :; do
    case "$1" in
    --) shift; break ;;
    -u | -g | -p | -C) shift 2 ;;
    -* | *=*) shift ;;
    *) break ;;
    esac
done
exec "$@"
"""


class BackedAwsAccount:
    """An account whose instances boot when their backing servers are ready."""

    run = "awsemulated2"  # the label of all servers that back an emulated account

    def __init__(self, account: AwsAccount) -> None:
        self._account = account

    def begin(self) -> None:
        """From now on instances run only when they are reported to be up."""
        self._account.back()

    def wanted(self) -> Sequence[DesiredServer]:
        """Instances that have not ended."""
        return [self._wanted(one, public) for one, public in self._account.to_be_backed()]

    def _wanted(self, one: Instance, public_key: str) -> DesiredServer:
        cpus, memory = VCPUS[one.arguments["InstanceType"]]
        told = base64.b64decode(one.arguments.get("UserData", "")).decode()
        login = one.tags.get("batchwright-login", "ec2-user")
        script = first_boot(told, login, [public_key] if public_key else [])
        return DesiredServer(one.id, one.tags.get("Name") or one.id, cpus, memory, script)

    def is_up(self, server: str, address: str) -> None:
        """The instance is running from now on."""
        self._account.boot(server, address)


def first_boot(user_data: str, login: str, keys: Sequence[str]) -> str:
    """The host key, the user that may log in, then the user's own scripts."""
    config: dict[str, Any] = {}
    scripts = []
    for part in email.message_from_string(user_data).walk():
        raw = part.get_payload(decode=True)
        text = raw.decode() if isinstance(raw, bytes) else ""
        if part.get_content_type() == "text/cloud-config":
            config |= yaml.safe_load(text) or {}
        elif part.get_content_type() == "text/x-shellscript":
            scripts.append(text)
    lines = ["#!/bin/sh", "set -e"]
    if private := config.get("ssh_keys", {}).get("ed25519_private"):
        lines += ["umask 077", *_file(_HOST, private), "umask 022", f"ssh-keygen -y -f {_HOST} > {_HOST}.pub"]
        lines += ["systemctl restart ssh"]
    lines += _login(login, [*keys, *config.get("ssh_authorized_keys", ())])
    for number, script in enumerate(scripts):
        place = f"/var/lib/batchwright-part-{number}"
        lines += [*_file(place, script), f"chmod 700 {place}", place]
    return "\n".join([*lines, ""])


def _login(name: str, keys: Sequence[str]) -> list[str]:
    home = f"/opt/{name}" if name != "root" else "/root"
    lines = [] if name == "root" else [f"useradd -o -u 0 -g 0 -m -d {home} -s /bin/sh {shlex.quote(name)}"]
    lines += ["command -v sudo >/dev/null || {", *_file("/usr/local/bin/sudo", SUDO), "chmod 755 /usr/local/bin/sudo"]
    lines += ["}", f"mkdir -p -m 700 {home}/.ssh", *_file(f"{home}/.ssh/authorized_keys", "\n".join([*keys, ""]))]
    return lines


def _file(place: str, text: str) -> list[str]:
    encoded = base64.b64encode(text.encode()).decode()
    return [f"echo {encoded} | base64 -d > {place}"]
