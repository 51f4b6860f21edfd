"""What can be done with an emulated server that is there: shut it down, power it off and on, give it another type."""

from __future__ import annotations

import math
from typing import Any

from batchwright.emulators.front import CallRefused
from batchwright.emulators.hetzner.account import HetznerAccount, HetznerResource, ServerAction
from batchwright.emulators.hetzner.catalog import TYPES
from batchwright.fault_injection.draw import Draw

_TYPES = {row["name"]: row for row in TYPES}


def act(account: HetznerAccount, server: HetznerResource, verb: str, body: dict[str, Any], drawn: Draw) -> ServerAction:
    """Begin an action. Raises CallRefused."""
    now, e = account.clock(), account.behaviour
    if any(one.ends_at > now for one in server.actions) or account.status(server) in ("deleting", "initializing"):
        raise CallRefused(423, "locked", "server is locked")
    match verb:
        case "shutdown" | "poweroff":
            command = "shutdown_server" if verb == "shutdown" else "stop_server"
            takes = e.scaled(e.stop_seconds) if verb == "shutdown" else 0.0
            server.off_at = min(server.off_at, now + takes)
            return account.began(server, command, now)  # the action of a shutdown is over before the server is off
        case "poweron":
            if account.status(server) == "off":
                server.off_at, server.boots_from = math.inf, now
                server.ready_at = now + e.scaled(e.boot_seconds)
            return account.began(server, "start_server", now)
        case "change_type":
            return _changed_type(account, server, body, drawn)
    raise CallRefused(404, "not_found", f"the action {verb} is not emulated")


def _changed_type(account: HetznerAccount, server: HetznerResource, body: dict[str, Any], drawn: Draw) -> ServerAction:
    """It takes some time, in which the server is locked, and may fail at its end."""
    now, e = account.clock(), account.behaviour
    new, old = _TYPES.get(str(body.get("server_type"))), _TYPES[server.type_at(now)]
    if new is None or not isinstance(body.get("upgrade_disk"), bool):
        raise CallRefused(422, "invalid_input", "invalid input in field 'server_type' or 'upgrade_disk'")
    if account.status(server) != "off":
        raise CallRefused(422, "server_not_stopped", "server is not stopped")
    if new["architecture"] != old["architecture"] or new["disk"] < server.disk_gb:
        raise CallRefused(422, "invalid_server_type", "server type does not fit")
    if e.quota_cores and account.cores() - old["cores"] + new["cores"] > e.quota_cores:
        raise CallRefused(403, "resource_limit_exceeded", "core limit exceeded")
    ends = now + e.scaled(e.resize_seconds)
    if drawn.fraction("resize") < e.failed_resizes:
        return account.began(server, "change_server_type", ends, "resource_unavailable")
    server.types = [*server.types, (ends, new["name"])]
    server.disk_gb = new["disk"] if body["upgrade_disk"] else server.disk_gb
    return account.began(server, "change_server_type", ends)
