"""All that the emulated project holds. Nothing runs in the background: a boot, a delete, a late commit, list lag are
times in the rows, so whoever looks later sees what happened meanwhile."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from msgspec import Struct

from batchwright.emulators.fates import CallRefused, Draws
from batchwright.emulators.hetzner.catalog import IMAGES, LOCATIONS, TYPES
from batchwright.emulators.hetzner.settings import HetznerBehaviour


class Thing(Struct):
    """A server or a key; times are of the emulator's clock. `asked` is the body it was made with."""

    id: int
    name: str
    asked: dict[str, Any]
    committed_at: float
    visible_at: float
    ready_at: float = 0.0
    volumes: list[int] = []
    ipv4: int = 0  # of a primary IP that was put in the place of its own; 0: its own
    deleted_at: float = math.inf  # when the delete was asked for
    gone_at: float = math.inf

    def exists(self, now: float) -> bool:
        """A late one does not, yet."""
        return self.committed_at <= now < self.gone_at


class HetznerVolume(Struct):
    """A volume; `server` is 0 where it hangs on nothing."""

    id: int
    name: str
    server: int = 0
    labels: dict[str, str] = {}


class PrimaryIp(Struct):
    """An address that was made apart from a server; `server` is 0 where it is assigned to none."""

    id: int
    name: str
    ip: str
    created: float
    server: int = 0
    auto_delete: bool = True
    labels: dict[str, str] = {}


class Backup(Struct):
    """An image that goes with its server, until it is made a snapshot."""

    id: int
    server: int
    snapshot: bool = False


class HetznerAccount(Draws):
    """Servers and keys. A name is taken once, and whoever commits first has it."""

    def __init__(self, emulation: HetznerBehaviour, clock: Callable[[], float]) -> None:
        super().__init__(emulation, clock)
        self.emulation = emulation
        self._things: dict[str, dict[int, Thing]] = {"servers": {}, "ssh_keys": {}}
        self.volumes: dict[int, HetznerVolume] = {}
        self.primary_ips: dict[int, PrimaryIp] = {}
        self.backups: dict[int, Backup] = {}
        self._kept_own: set[int] = set()  # ids of servers' own addresses whose auto_delete was taken away
        self._serial = 1000

    def all(self, kind: str) -> list[Thing]:
        """What exists now, listed or not."""
        now = self.clock()
        return [thing for thing in self._things[kind].values() if thing.exists(now)]

    def listed(self, kind: str) -> list[Thing]:
        """What a listing shows now."""
        return [thing for thing in self.all(kind) if thing.visible_at <= self.clock()]

    def one(self, kind: str, number: str) -> Thing:
        """Raises CallRefused."""
        found = [thing for thing in self.all(kind) if str(thing.id) == number]
        if not found:
            raise CallRefused(404, "not_found", f"{kind} with ID '{number}' not found")
        return found[0]

    def make(self, kind: str, asked: dict[str, Any], late: float) -> Thing:
        """One more, `late` scaled seconds from now. Raises CallRefused."""
        e, name, at = self.emulation, asked["name"], self.clock() + late
        if any(thing.name == name for thing in self.all(kind)):
            self.happened[f"{kind} named twice"] += 1
            raise CallRefused(409, "uniqueness_error", f"{kind.removesuffix('s')} name is already used")
        mine = self._things[kind]
        for other in [thing for thing in mine.values() if thing.name == name and thing.committed_at > self.clock()]:
            if late:
                raise CallRefused(409, "uniqueness_error", "the other late one has the name")
            del mine[other.id]  # it comes too late, and finds its name taken
        self._serial += 1
        lag = max(e.list_lag, e.lag_servers if kind == "servers" else e.lag_ssh_keys)
        thing = Thing(self._serial, name, asked, at, at + e.scaled(lag), at + e.scaled(e.boot_seconds))
        mine[thing.id] = thing
        return thing

    def delete(self, kind: str, thing: Thing) -> None:
        """A key goes at once, a server takes its time."""
        now = self.clock()
        thing.deleted_at = now
        thing.gone_at = now + (self.emulation.scaled(self.emulation.delete_seconds) if kind == "servers" else 0.0)

        if kind == "servers":
            self._part(thing)

    def _part(self, server: Thing) -> None:
        """Volumes are detached, addresses with auto_delete and backups go."""
        for volume in self.volumes.values():
            volume.server = 0 if volume.server == server.id else volume.server
        server.volumes = []
        for address in [one for one in self.primary_ips.values() if one.server == server.id]:
            address.server = 0
            if address.auto_delete:
                del self.primary_ips[address.id]
        for backup in [one for one in self.backups.values() if one.server == server.id and not one.snapshot]:
            del self.backups[backup.id]

    # -- what others attach -------------------------------------------------------------------------------------

    def _number(self) -> int:
        self._serial += 1
        return self._serial

    def attach_volume(self, server: Thing) -> HetznerVolume:
        """A volume of somebody's, on a server."""
        volume = HetznerVolume(self._number(), f"data-{self._serial}", server.id)
        self.volumes[volume.id] = volume
        server.volumes = [*server.volumes, volume.id]
        return volume

    def detach_volume(self, number: str) -> None:
        """Raises CallRefused."""
        volume = self.volumes.get(int(number)) if number.isdecimal() else None
        if volume is None or not volume.server:
            raise CallRefused(422, "volume_not_attached", "volume is not attached")
        for server in self.all("servers"):
            server.volumes = [one for one in server.volumes if one != volume.id]
        volume.server = 0

    def assign_address(self, server: Thing) -> PrimaryIp:
        """A primary IP of somebody's in the place of the server's own, which goes with the server."""
        number = self._number()
        address = PrimaryIp(number, f"dns-{number}", f"203.0.113.{number & 255}", self.clock(), server.id)
        self.primary_ips[number] = address
        server.ipv4 = number
        return address

    def back_up(self, server: Thing) -> Backup:
        """Somebody enabled backups, and there is one."""
        backup = Backup(self._number(), server.id)
        self.backups[backup.id] = backup
        return backup

    def shown(self, kind: str, thing: Thing) -> dict[str, Any]:
        """The record as Hetzner writes it."""
        asked = thing.asked
        told = {"id": thing.id, "name": thing.name, "labels": asked.get("labels", {})}
        told |= {"created": _at(thing.committed_at)}
        if kind == "ssh_keys":
            return {**told, "public_key": asked["public_key"], "fingerprint": f"{thing.id:032x}"}
        place = next(row for row in LOCATIONS if row["name"] == asked["location"])
        return {
            **told,
            "status": self._status(thing),
            "server_type": next(row for row in TYPES if row["name"] == asked["server_type"]),
            "image": next(row for row in IMAGES if row["id"] == asked["image"]),
            "location": place,
            "public_net": {
                "ipv4": self._shown_four(thing),
                "ipv6": {"id": 2 * thing.id + 1, "ip": _six(thing), "blocked": False},
                "floating_ips": [],
            },
            "private_net": [],
            "volumes": thing.volumes,
            "backup_window": "22-02" if any(b.server == thing.id for b in self.backups.values()) else None,
            "protection": {"delete": False, "rebuild": False},
        }

    def address(self, number: str) -> dict[str, Any]:
        """An address as a thing of its own: there as long as its server is (auto_delete). Raises CallRefused."""
        if number.isdecimal() and (other := self.primary_ips.get(int(number))) is not None:
            told = {"id": other.id, "name": other.name, "type": "ipv4", "ip": other.ip, "labels": other.labels}
            told |= {"assignee_type": "server", "assignee_id": other.server or None}
            return {**told, "auto_delete": other.auto_delete, "created": _at(other.created)}
        for thing in self.all("servers"):
            for identity, kind, address in (
                (2 * thing.id, "ipv4", _four(thing)),
                (2 * thing.id + 1, "ipv6", _six(thing)),
            ):
                if number == str(identity):
                    told = {"id": identity, "name": f"primary_ip-{identity}", "type": kind, "ip": address}
                    told |= {"assignee_type": "server", "labels": {}, "created": _at(thing.committed_at)}
                    return {**told, "assignee_id": thing.id, "auto_delete": identity not in self._kept_own}
        raise CallRefused(404, "not_found", f"primary_ip with ID '{number}' not found")

    def keep_address(self, number: str, auto_delete: bool) -> dict[str, Any]:
        """Change whether it goes with its server. Raises CallRefused."""
        told = self.address(number)
        if (other := self.primary_ips.get(told["id"])) is not None:
            other.auto_delete = auto_delete
        elif not auto_delete:
            self._kept_own.add(told["id"])
        return self.address(number)

    def _shown_four(self, thing: Thing) -> dict[str, Any]:
        if (other := self.primary_ips.get(thing.ipv4)) is not None:
            return {"id": other.id, "ip": other.ip, "blocked": False}
        return {"id": 2 * thing.id, "ip": _four(thing), "blocked": False}

    def _status(self, thing: Thing) -> str:
        now = self.clock()
        if now >= thing.deleted_at:
            return "deleting"
        half = thing.committed_at + (thing.ready_at - thing.committed_at) / 2
        return "initializing" if now < half else "starting" if now < thing.ready_at else "running"

    def summary(self) -> dict[str, Any]:
        kept = {k: [t for t in things.values() if t.gone_at == math.inf] for k, things in self._things.items()}
        rows = {
            kind: [{"id": t.id, "name": t.name, "labels": t.asked.get("labels", {})} for t in things]
            for kind, things in kept.items()
        }
        rows["volumes"] = [{"id": v.id, "name": v.name, "server": v.server} for v in self.volumes.values()]
        rows["primary_ips"] = [{"id": a.id, "name": a.name, "server": a.server} for a in self.primary_ips.values()]
        rows["primary_ips"] += [{"id": number, "name": "kept", "server": 0} for number in self._kept_own]
        return {**rows, "happened": dict(self.happened)}


def _at(seconds: float) -> str:
    return datetime.fromtimestamp(int(seconds), UTC).strftime("%Y-%m-%dT%H:%M:%S+00:00")


def _four(server: Thing) -> str:
    return f"198.18.{server.id >> 8 & 255}.{server.id & 255}"


def _six(server: Thing) -> str:
    return f"2001:db8:{server.id:x}::/64"
