"""Rows of the project as Hetzner writes them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from batchwright.emulators.hetzner.account import HetznerAccount, HetznerResource, HetznerVolume, ServerAction
from batchwright.emulators.hetzner.catalog import IMAGES, LOCATIONS, TYPES

Shown = dict[str, Any]


def _common(thing: HetznerResource) -> Shown:
    created = _at(thing.committed_at)
    return {"id": thing.id, "name": thing.name, "labels": thing.asked.get("labels", {}), "created": created}


def ssh_key(thing: HetznerResource) -> Shown:
    """An SSH key, as GET /ssh_keys shows it."""
    return {**_common(thing), "public_key": thing.asked["public_key"], "fingerprint": f"{thing.id:032x}"}


def server(thing: HetznerResource, account: HetznerAccount) -> Shown:
    """A server, as GET /servers shows it."""
    asked = thing.asked
    return {
        **_common(thing),
        "status": account.status(thing),
        "server_type": next(row for row in TYPES if row["name"] == thing.type_at(account.clock())),
        "primary_disk_size": thing.disk_gb,
        "image": next(row for row in IMAGES if row["id"] == asked["image"]),
        "location": next(row for row in LOCATIONS if row["name"] == asked["location"]),
        "public_net": {
            "ipv4": _ipv4(thing, account),
            "ipv6": {"id": 2 * thing.id + 1, "ip": _own_ipv6(thing), "blocked": False},
            "floating_ips": [],
        },
        "private_net": [],
        "volumes": thing.volumes,
        "backup_window": "22-02" if any(b.server == thing.id for b in account.backups.values()) else None,
        "protection": {"delete": False, "rebuild": False},
    }


def action(row: ServerAction, now: float) -> Shown:
    """Something that was asked of a server, as GET /servers/{id}/actions shows it."""
    ended = now >= row.ends_at
    status = "running" if not ended else "error" if row.error else "success"
    error = {"code": row.error, "message": row.error.replace("_", " ")} if status == "error" else None
    shown = {"id": row.id, "command": row.command, "status": status, "progress": 100 if ended else 0, "error": error}
    return {**shown, "started": _at(row.began_at), "finished": _at(row.ends_at) if ended else None}


def volume(row: HetznerVolume) -> Shown:
    """A volume, as GET /volumes shows it."""
    return {"id": row.id, "name": row.name, "labels": row.labels, "server": row.server or None}


def primary_ip(number: int, account: HetznerAccount) -> Shown | None:
    """As in GET /primary_ips; None where there is none."""
    if (other := account.primary_ips.get(number)) is not None:
        shown = {"id": other.id, "name": other.name, "type": "ipv4", "ip": other.ip, "labels": other.labels}
        shown |= {"assignee_type": "server", "assignee_id": other.server or None}
        return {**shown, "auto_delete": other.auto_delete, "created": _at(other.created)}
    for thing in account.all("servers"):
        own = ((2 * thing.id, "ipv4", _own_ipv4(thing)), (2 * thing.id + 1, "ipv6", _own_ipv6(thing)))
        for identity, kind, address in own:
            if number == identity:
                shown = {"id": identity, "name": f"primary_ip-{identity}", "type": kind, "ip": address}
                shown |= {"assignee_type": "server", "labels": {}, "created": _at(thing.committed_at)}
                return {**shown, "assignee_id": thing.id, "auto_delete": identity not in account.kept_own}
    return None


def _ipv4(thing: HetznerResource, account: HetznerAccount) -> Shown:
    if (other := account.primary_ips.get(thing.ipv4)) is not None:
        return {"id": other.id, "ip": other.ip, "blocked": False}
    return {"id": 2 * thing.id, "ip": _own_ipv4(thing), "blocked": False}


def _at(seconds: float) -> str:
    return datetime.fromtimestamp(int(seconds), UTC).strftime("%Y-%m-%dT%H:%M:%S+00:00")


def _own_ipv4(server: HetznerResource) -> str:
    return f"198.18.{server.id >> 8 & 255}.{server.id & 255}"


def _own_ipv6(server: HetznerResource) -> str:
    return f"2001:db8:{server.id:x}::/64"
