"""The content of the emulated account. Nothing runs in the background: boots, stops, late commits and list lag are
times in the rows, so a later look sees what has happened meanwhile.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

from msgspec import Struct

from batchwright.emulators.base_account import EmulatedAccount
from batchwright.emulators.upcloud.catalog import PLANS, TEMPLATES
from batchwright.emulators.upcloud.settings import UpCloudBehaviour
from batchwright.fault_injection.draw import Draw, lognormal

_BOOTS, _STOPS = (23 / 34, 133 / 34), (0.5, 35 / 12)  # the recorded extremes, as multiples of the median
_STILL_STARTED = 0.1  # of a stop: how long the state still is what it was, as the recorded answers show
Labels = list[dict[str, str]]


class Address(Struct):
    """A public or internal address; `server` is empty when it has outlived it."""

    address: str
    family: str
    access: str
    mac: str
    server: str
    zone: str
    keep: bool = False
    floating: bool = False


class Disk(Struct):
    """A disk or a backup of one; `server` is empty when it has outlived it, or was never attached.

    `device` is its number among the devices of the server that it hangs on.
    """

    uuid: str
    title: str
    size: int
    tier: str
    zone: str
    labels: Labels
    origin: str
    encrypted: str
    server: str
    committed_at: float
    visible_at: float
    gone_at: float = math.inf
    type: str = "normal"
    device: int = 0


class EmulatedServer(Struct):
    """A server; times are of the emulator's clock. `asked` is the body it was created with."""

    uuid: str
    asked: dict[str, Any]
    labels: Labels
    title: str
    committed_at: float
    visible_at: float
    ready_at: float
    broken: bool
    left_disk: bool
    disks: list[Disk]
    addresses: list[Address]
    stop_at: float = math.inf
    stopped_at: float = math.inf

    def exists(self, now: float) -> bool:
        """A late one does not, yet."""
        return now >= self.committed_at

    def state(self, now: float) -> str:
        """The server's state, in UpCloud's words."""
        if now >= self.stopped_at:
            return "stopped"
        if now >= self.stop_at + _STILL_STARTED * (self.stopped_at - self.stop_at):
            return "maintenance"
        if now < self.ready_at:
            return "maintenance"
        return "error" if self.broken else "started"


class UpCloudAccount(EmulatedAccount[UpCloudBehaviour]):
    """Servers, disks and addresses."""

    def __init__(self, behaviour: UpCloudBehaviour, clock: Callable[[], float]) -> None:
        super().__init__(behaviour, clock)
        self.backed = False  # whether backing servers decide when a server is ready, and where
        self.all_servers: dict[str, EmulatedServer] = {}
        self.all_disks: dict[str, Disk] = {}
        self.all_addresses: dict[str, Address] = {}
        self._serial = 0

    # -- what exists --------------------------------------------------------------------------------------------

    def servers(self) -> list[EmulatedServer]:
        """What exists now, listed or not."""
        now = self.clock()
        return [server for server in self.all_servers.values() if server.exists(now)]

    def server(self, uuid: str) -> EmulatedServer | None:
        """The server with this id, if it exists now."""
        server = self.all_servers.get(uuid)
        return server if server is not None and server.exists(self.clock()) else None

    def disks(self) -> list[Disk]:
        """What exists now, listed or not."""
        now = self.clock()
        return [disk for disk in self.all_disks.values() if disk.committed_at <= now < disk.gone_at]

    def disk(self, uuid: str) -> Disk | None:
        """The disk with this id, if it exists now."""
        disk = self.all_disks.get(uuid)
        return disk if disk is not None and disk.committed_at <= self.clock() < disk.gone_at else None

    def addresses(self) -> Iterator[Address]:
        """Those of servers that exist, and those that outlived theirs."""
        return (a for a in self.all_addresses.values() if not a.server or self.server(a.server) is not None)

    def used(self) -> dict[str, int]:
        """What is used, under the names of the account's limits."""
        servers, disks = self.servers(), self.disks()
        plans = [PLANS[server.asked["plan"]] for server in servers]
        public = Counter(address.family for address in self.addresses() if address.access == "public")
        size = sum(disk.size for disk in disks)
        return {
            "cores": sum(plan["core_number"] for plan in plans),
            "memory": sum(plan["memory_amount"] for plan in plans),
            "public_ipv4": public["IPv4"],
            "public_ipv6": public["IPv6"],
            "storage_total": size,
            "storage_maxiops": sum(disk.size for disk in disks if disk.tier == "maxiops"),
        }

    def limits(self) -> dict[str, int]:
        """The account's limits."""
        e = self.behaviour
        limits = {"cores": e.cores, "memory": e.memory, "public_ipv4": e.public_ipv4, "public_ipv6": e.public_ipv4}
        return {**limits, "storage_total": e.storage_total, "storage_maxiops": e.storage_total}

    # -- what happens to it -------------------------------------------------------------------------------------

    def create(self, asked: dict[str, Any], drawn: Draw) -> EmulatedServer:
        """A server with its disks and addresses, as late as it was drawn."""
        e, at = self.behaviour, self.clock() + drawn.late
        self._serial += 1
        uuid, visible = self._uuid("00"), at + e.scaled(max(e.list_lag, e.lag_servers))
        listed = at + e.scaled(max(e.list_lag, e.lag_disks))
        addresses = self._new_addresses(asked, uuid, drawn.fraction("keep") < e.keep_addresses)
        never = self.backed or "never_ready" in drawn.server
        server = EmulatedServer(
            uuid=uuid,
            asked=asked,
            labels=list(asked.get("labels", {}).get("label", [])),
            title=asked["title"],
            committed_at=at,
            visible_at=visible,
            ready_at=math.inf if never else at + self._boot_seconds(drawn.seed),
            broken="broken" in drawn.server,
            left_disk=drawn.fraction("left") < e.left_disks,
            disks=[self._disk(device, uuid, asked["zone"], at, listed) for device in _devices(asked)],
            addresses=[] if self.backed else list(addresses),
        )
        for number, disk in enumerate(server.disks):
            disk.device = number
        self.all_servers[uuid] = server
        self.all_disks |= {disk.uuid: disk for disk in server.disks}
        self.all_addresses |= {address.address: address for address in server.addresses}
        return server

    def _boot_seconds(self, seed: str) -> float:
        return lognormal(self.behaviour.scaled(self.behaviour.boot_seconds), 0.5, f"{seed}/boot", *_BOOTS)

    def _uuid(self, kind: str) -> str:
        self._serial += 1
        h = hashlib.sha256(f"{self.behaviour.seed}/{self._serial}".encode()).hexdigest()
        return f"{kind}{h[:6]}-{h[6:10]}-4{h[10:13]}-8{h[13:16]}-{h[16:28]}"

    def _disk(self, device: dict[str, Any], server: str, zone: str, at: float, visible: float) -> Disk:
        size = device.get("size") or TEMPLATES[device["storage"]]["size"]
        tier, encrypted = device.get("tier", "maxiops"), device.get("encrypted", "no")
        labels = list(device.get("labels", []))
        origin = device.get("storage", "")
        return Disk(
            self._uuid("01"), device["title"], int(size), tier, zone, labels, origin, encrypted, server, at, visible
        )

    def _new_addresses(self, asked: dict[str, Any], server: str, keep: bool) -> Iterator[Address]:
        for index, face in enumerate(asked["networking"]["interfaces"]["interface"]):
            self._serial += 1
            n = self._serial
            mac = f"ee:1b:db:{n >> 16 & 255:02x}:{n >> 8 & 255:02x}:{n & 255:02x}"
            for wish in face["ip_addresses"]["ip_address"]:
                public = face["type"] == "public"
                if wish["family"] == "IPv6":
                    address = f"2001:db8::{n >> 16:x}:{n & 65535:x}"
                else:
                    address = f"{'198.18' if public else '10.1'}.{n >> 8 & 255}.{n & 255}"
                kept = keep and public and index == 0
                yield Address(address, wish["family"], face["type"], mac, server, asked["zone"], kept)

    def stop(self, server: EmulatedServer, seed: str) -> None:
        """Stop the server; it takes some seconds."""
        seconds = self.behaviour.scaled(self.behaviour.stop_seconds)
        server.stop_at = self.clock()
        server.stopped_at = server.stop_at + lognormal(seconds, 0.5, f"{seed}/stop", *_STOPS)

    def start(self, server: EmulatedServer, seed: str) -> None:
        """Start the server; it takes some seconds."""
        server.stop_at = server.stopped_at = math.inf
        server.ready_at = self.clock() + self._boot_seconds(seed)

    def delete(self, server: EmulatedServer, *, with_disks: bool) -> None:
        """Delete the server. Its disks go a second later if asked for; its addresses at once, except those with the
        policy keep.
        """
        del self.all_servers[server.uuid]
        for disk in server.disks:
            disk.server = ""
            if with_disks and not server.left_disk:
                disk.gone_at = self.clock() + self.behaviour.scaled(1.0)
        for address in server.addresses:
            if address.keep or address.floating:
                address.server = ""
            else:
                self.all_addresses.pop(address.address, None)

    def delete_disk(self, disk: Disk, *, with_backups: bool) -> None:
        """Delete the disk at once. The real service schedules it."""
        disk.gone_at = self.clock()
        for backup in [one for one in self.disks() if with_backups and one.type == "backup"]:
            if backup.origin == disk.uuid:
                backup.gone_at = self.clock()

    # -- what others do to it -----------------------------------------------------------------------------------

    def new_disk(self, title: str, zone: str, size: int = 10, labels: Labels | None = None) -> Disk:
        """Create a disk that is attached to nothing."""
        now = self.clock()
        disk = Disk(self._uuid("01"), title, size, "maxiops", zone, labels or [], "", "no", "", now, now)
        self.all_disks[disk.uuid] = disk
        return disk

    def attach(self, server: EmulatedServer, disk: Disk) -> None:
        """Attach a disk to a server, at the first device number that is free."""
        disk.server = server.uuid
        disk.device = min(set(range(len(server.disks) + 1)) - {one.device for one in server.disks})
        server.disks.append(disk)

    def detach(self, server: EmulatedServer, disk: Disk) -> None:
        """Detach a disk from its server."""
        server.disks.remove(disk)
        disk.server = ""

    def backup(self, disk: Disk, title: str) -> Disk:
        """A backup, which is a storage of its own and carries no labels."""
        made = self.new_disk(title, disk.zone, disk.size)
        made.type, made.origin = "backup", disk.uuid
        return made

    def new_address(self, server: EmulatedServer, *, floating: bool) -> Address:
        """One more public IPv4 address of a server; a floating one belongs to the account."""
        self._serial += 1
        n = self._serial
        mac = server.addresses[0].mac if floating and server.addresses else f"ee:1b:db:{n >> 16 & 255:02x}:99:00"
        text = f"203.0.{113 + (n >> 8 & 3)}.{n & 255}"
        address = Address(text, "IPv4", "public", mac, server.uuid, server.asked["zone"], floating, floating)
        server.addresses.append(address)
        self.all_addresses[text] = address
        return address

    def summary(self) -> dict[str, Any]:
        disks = [disk for disk in self.all_disks.values() if disk.gone_at == math.inf]
        return {
            "servers": [
                {"uuid": s.uuid, "title": s.title, "labels": {x["key"]: x["value"] for x in s.labels},
                 "state": s.state(self.clock()), "zone": s.asked["zone"], "plan": s.asked["plan"]}
                for s in self.all_servers.values()
            ],
            "disks": [{"uuid": d.uuid, "title": d.title, "server": d.server} for d in disks],
            "addresses": [{"address": a.address, "server": a.server} for a in self.all_addresses.values()],
            "happened": dict(self.happened),
            "refused": dict(self.refused),
        }  # fmt: skip


def _devices(asked: dict[str, Any]) -> list[dict[str, Any]]:
    devices: list[dict[str, Any]] = asked["storage_devices"]["storage_device"]
    return devices
