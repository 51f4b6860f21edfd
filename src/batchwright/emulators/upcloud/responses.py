"""Rows of the account as UpCloud writes them: the keys and types are those of recorded answers."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from batchwright.emulators.upcloud.account import Address, Disk, EmulatedServer
from batchwright.emulators.upcloud.catalog import PLANS


def short_server(server: EmulatedServer, now: float) -> dict[str, Any]:
    """A server as it stands in a listing."""
    plan = PLANS[server.asked["plan"]]
    return {
        "core_number": str(plan["core_number"]),
        "created": int(server.committed_at),
        "host": 7653311107,
        "hostname": server.asked["hostname"],
        "labels": {"label": server.labels},
        "license": 0,
        "memory_amount": str(plan["memory_amount"]),
        "plan": plan["name"],
        "plan_ipv4_bytes": "0",
        "plan_ipv6_bytes": "0",
        "server_group": None,
        "simple_backup": server.asked.get("simple_backup", "no"),
        "state": server.state(now),
        "tags": {"tag": []},
        "title": server.title,
        "uuid": server.uuid,
        "zone": server.asked["zone"],
    }


def full_server(server: EmulatedServer, now: float) -> dict[str, Any]:
    """As in the answer to a look at one."""
    asked = server.asked
    fixed = {
        "boot_order": "cdrom,disk",
        "firewall": asked.get("firewall", "off"),
        "metadata": asked.get("metadata", "no"),
        "nic_model": "virtio",
        "remote_access_enabled": "no",
        "remote_access_password": "",
        "remote_access_type": "vnc",
        "timezone": asked.get("timezone", "UTC"),
        "video_model": "vga",
    }
    return {
        **short_server(server, now),
        **fixed,
        "ip_addresses": {
            "ip_address": [{"access": a.access, "address": a.address, "family": a.family} for a in server.addresses]
        },
        "networking": {"interfaces": {"interface": [_face(number, a) for number, a in enumerate(server.addresses, 1)]}},
        "storage_devices": {"storage_device": [_device(disk) for disk in server.disks]},
    }


def created_server(server: EmulatedServer, now: float) -> dict[str, Any]:
    """As in the answer to a create: with a password, and no host yet."""
    body = full_server(server, now) | {"progress": "0", "state": "maintenance", "username": "root"}
    del body["host"]
    return body | {"password": f"emulated-secret-{server.uuid[:8]}", "remote_access_password": "emulated-secret"}


def _face(index: int, address: Address) -> dict[str, Any]:
    policy = {"release_policy": "keep"} if address.keep else {}
    shown = {
        "address": address.address,
        "dhcp_provided": "yes",
        "family": address.family,
        "floating": "yes" if address.floating else "no",
        **policy,
    }
    network = f"03000000-0000-4000-8{index:03d}-000000000000"
    return {
        "bootable": "no",
        "index": index,
        "ip_addresses": {"ip_address": [shown]},
        "mac": address.mac,
        "network": network,
        "source_ip_filtering": "yes",
        "type": address.access,
    }


def _device(disk: Disk) -> dict[str, Any]:
    return {
        "address": f"virtio:{disk.device}",
        "boot_disk": "0",
        "labels": disk.labels,
        "storage": disk.uuid,
        "storage_encrypted": disk.encrypted,
        "storage_size": disk.size,
        "storage_tier": disk.tier,
        "storage_title": disk.title,
        "type": "disk",
    }


def short_disk(disk: Disk) -> dict[str, Any]:
    """As in a listing; what it hangs on is not told there."""
    return {
        "access": "private",
        "created": datetime.fromtimestamp(int(disk.committed_at), UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "labels": disk.labels,
        "license": 0,
        "size": disk.size,
        "state": "online",
        "tier": disk.tier,
        "title": disk.title,
        "type": disk.type,
        "uuid": disk.uuid,
        "zone": disk.zone,
    }


def full_disk(disk: Disk, backups: Sequence[str] = ()) -> dict[str, Any]:
    """As in the answer to a look at one."""
    return {
        **short_disk(disk),
        "backup_rule": {},
        "backups": {"backup": list(backups)},
        "encrypted": disk.encrypted,
        "origin": disk.origin,
        "servers": {"server": [disk.server] if disk.server else []},
    }


def address(row: Address) -> dict[str, Any]:
    """As in a listing and in the answer to a look at one."""
    name = f"{row.address.replace('.', '-').replace(':', '-')}.v4.upcloud.example"
    return {
        "access": row.access,
        "address": row.address,
        "family": row.family,
        "mac": row.mac,
        "ptr_record": name,
        "server": row.server,
        "zone": row.zone,
    }
