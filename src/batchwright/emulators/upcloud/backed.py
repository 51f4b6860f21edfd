"""The emulated account in front of other servers, and what cloud-init would do with a user_data, as one script."""

from __future__ import annotations

import email
import re
from collections.abc import Sequence

from batchwright.emulators.backend_reconciler import DesiredServer
from batchwright.emulators.upcloud.account import Address, EmulatedServer, UpCloudAccount
from batchwright.emulators.upcloud.catalog import PLANS

_HOST = "/etc/ssh/ssh_host_ed25519_key"
_PRIVATE = re.compile(r"^  ed25519_private: \|\n((?:    .*\n)+)", re.MULTILINE)


class BackedUpCloudAccount:
    """An account whose servers are started when their backing servers are ready."""

    run = "upcloudemu"  # the label of all that backs an emulated account

    def __init__(self, account: UpCloudAccount) -> None:
        self._account = account

    def begin(self) -> None:
        """From now on servers are started only when they are reported to be up."""
        self._account.backed = True

    def wanted(self) -> Sequence[DesiredServer]:
        """Every server that exists."""
        return [self._wanted(server) for server in self._account.servers()]

    def _wanted(self, server: EmulatedServer) -> DesiredServer:
        asked, plan = server.asked, PLANS[server.asked["plan"]]
        keys = asked.get("login_user", {}).get("ssh_keys", {}).get("ssh_key", [])
        script = first_boot(str(asked.get("user_data", "")), keys)
        return DesiredServer(server.uuid, asked["hostname"], plan["core_number"], plan["memory_amount"], script)

    def is_up(self, server: str, address: str) -> None:
        """The server is started from now on, with the address of its backing server."""
        row = self._account.all_servers.get(server)
        if row is not None:  # else it was deleted meanwhile
            public = Address(address, "IPv4", "public", "ee:1b:db:00:00:00", server, row.asked["zone"])
            row.addresses, row.ready_at = [public], self._account.clock()
            self._account.all_addresses[address] = public


def first_boot(user_data: str, keys: Sequence[str]) -> str:
    """The host key, the keys that may log in, then the user's scripts."""
    host_key, scripts = "", []
    for part in email.message_from_string(user_data).walk():
        raw = part.get_payload(decode=True)
        text = raw.decode() if isinstance(raw, bytes) else ""
        if found := _PRIVATE.search(text):
            host_key = "".join(f"{line[4:]}\n" for line in found.group(1).splitlines())
        elif part.get_content_type() == "text/x-shellscript":
            scripts.append(text)
    lines = ["#!/bin/sh", "set -e", "umask 077", "mkdir -p ~root/.ssh"]
    lines += ["cat >> ~root/.ssh/authorized_keys <<'KEYS'", *keys, "KEYS"] if keys else []
    if host_key:
        lines += [f"cat > {_HOST} <<'KEY'", f"{host_key}KEY", f"ssh-keygen -y -f {_HOST} > {_HOST}.pub"]
        lines += ["systemctl restart ssh"]
    lines += ["umask 022"]
    for number, script in enumerate(scripts):
        place = f"/var/lib/batchwright-part-{number}"
        lines += [f"cat > {place} <<'PART'", script.rstrip("\n"), "PART", f"chmod 700 {place}", place]
    return "\n".join([*lines, ""])
