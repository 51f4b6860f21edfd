"""The content of the emulated project. Nothing runs in the background: boots, deletes, late commits and list lag are
times in the rows, so a later look sees what has happened meanwhile.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from msgspec import Struct

from batchwright.emulators.base_account import EmulatedAccount
from batchwright.emulators.front import CallRefused
from batchwright.emulators.hetzner.catalog import TYPES
from batchwright.emulators.hetzner.settings import HetznerBehaviour
from batchwright.fault_injection.draw import Draw

_TYPES = {row["name"]: row for row in TYPES}


class ServerAction(Struct):
    """Something that was asked of a server; `error` is the code with which it ends, empty if it succeeds."""

    id: int
    command: str
    began_at: float
    ends_at: float
    error: str = ""


class HetznerResource(Struct):
    """A server or a key; times are of the emulator's clock. `asked` is the body it was made with."""

    id: int
    name: str
    asked: dict[str, Any]
    committed_at: float
    visible_at: float
    ready_at: float = 0.0
    broken: bool = False
    volumes: list[int] = []
    ipv4: int = 0  # of a primary IP that was put in the place of its own; 0: its own
    deleted_at: float = math.inf  # when the delete was asked for
    gone_at: float = math.inf
    off_at: float = math.inf
    boots_from: float = 0.0
    types: list[tuple[float, str]] = []  # of a server: since when it has which
    disk_gb: int = 0
    actions: list[ServerAction] = []

    def type_at(self, now: float) -> str:
        """The type of a server."""
        return next(name for since, name in reversed(self.types) if since <= now or since == self.types[0][0])

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


class HetznerAccount(EmulatedAccount[HetznerBehaviour]):
    """Servers and keys. A name is taken once, and whoever commits first has it."""

    def __init__(self, behaviour: HetznerBehaviour, clock: Callable[[], float]) -> None:
        super().__init__(behaviour, clock)
        self._things: dict[str, dict[int, HetznerResource]] = {"servers": {}, "ssh_keys": {}}
        self.volumes: dict[int, HetznerVolume] = {}
        self.primary_ips: dict[int, PrimaryIp] = {}
        self.backups: dict[int, Backup] = {}
        self.kept_own: set[int] = set()  # ids of servers' own addresses whose auto_delete was taken away
        self._serial = 1000

    def all(self, kind: str) -> list[HetznerResource]:
        """What exists now, listed or not."""
        now = self.clock()
        return [thing for thing in self._things[kind].values() if thing.exists(now)]

    def listed(self, kind: str) -> list[HetznerResource]:
        """What a listing shows now."""
        return [thing for thing in self.all(kind) if thing.visible_at <= self.clock()]

    def one(self, kind: str, number: str) -> HetznerResource:
        """A server or key by id. Raises CallRefused."""
        found = [thing for thing in self.all(kind) if str(thing.id) == number]
        if not found:
            raise CallRefused(404, "not_found", f"{kind} with ID '{number}' not found")
        return found[0]

    def make(self, kind: str, asked: dict[str, Any], drawn: Draw) -> HetznerResource:
        """Create one more, as late as was drawn. Raises CallRefused."""
        e, name, at = self.behaviour, asked["name"], self.clock() + drawn.late
        if any(thing.name == name for thing in self.all(kind)):
            self.happened[f"{kind} named twice"] += 1
            raise CallRefused(409, "uniqueness_error", f"{kind.removesuffix('s')} name is already used")
        key = _bare(asked)
        if key and any(_bare(thing.asked) == key for thing in self.all(kind)):
            raise CallRefused(409, "uniqueness_error", "SSH key is already used")
        mine = self._things[kind]
        for other in [thing for thing in mine.values() if thing.name == name and thing.committed_at > self.clock()]:
            if drawn.late:
                raise CallRefused(409, "uniqueness_error", "the other late one has the name")
            del mine[other.id]  # it is late, and its name is taken by now
        self._serial += 1
        lag = max(e.list_lag, e.lag_servers if kind == "servers" else e.lag_ssh_keys)
        ready = math.inf if "never_ready" in drawn.server else at + e.scaled(e.boot_seconds)
        thing = HetznerResource(self._serial, name, asked, at, at + e.scaled(lag), ready, "broken" in drawn.server)
        if kind == "servers":
            thing.boots_from, thing.types = at, [(at, asked["server_type"])]
            thing.disk_gb = _TYPES[asked["server_type"]]["disk"]
        mine[thing.id] = thing
        return thing

    def cores(self) -> int:
        """The cores of all servers."""
        now = self.clock()
        return sum(int(_TYPES[server.type_at(now)]["cores"]) for server in self.all("servers"))

    def began(self, server: HetznerResource, command: str, ends_at: float, error: str = "") -> ServerAction:
        """Note that something was asked of a server."""
        action = ServerAction(self._number(), command, self.clock(), ends_at, error)
        server.actions = [*server.actions, action]
        return action

    def delete(self, kind: str, thing: HetznerResource) -> None:
        """Delete it: a key at once, a server after some time."""
        now = self.clock()
        thing.deleted_at = now
        thing.gone_at = now + (self.behaviour.scaled(self.behaviour.delete_seconds) if kind == "servers" else 0.0)

        if kind == "servers":
            self._part(thing)

    def _part(self, server: HetznerResource) -> None:
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

    def attach_volume(self, server: HetznerResource) -> HetznerVolume:
        """A volume of somebody's, on a server."""
        volume = HetznerVolume(self._number(), f"data-{self._serial}", server.id)
        self.volumes[volume.id] = volume
        server.volumes = [*server.volumes, volume.id]
        return volume

    def detach_volume(self, number: str) -> None:
        """Detach a volume. Raises CallRefused."""
        volume = self.volumes.get(int(number)) if number.isdecimal() else None
        if volume is None or not volume.server:
            raise CallRefused(422, "volume_not_attached", "volume is not attached")
        for server in self.all("servers"):
            server.volumes = [one for one in server.volumes if one != volume.id]
        volume.server = 0

    def assign_address(self, server: HetznerResource) -> PrimaryIp:
        """A primary IP of somebody's in the place of the server's own, which goes with the server."""
        number = self._number()
        address = PrimaryIp(number, f"dns-{number}", f"203.0.113.{number & 255}", self.clock(), server.id)
        self.primary_ips[number] = address
        server.ipv4 = number
        return address

    def back_up(self, server: HetznerResource) -> Backup:
        """Somebody enabled backups, and there is one."""
        backup = Backup(self._number(), server.id)
        self.backups[backup.id] = backup
        return backup

    def keep_address(self, number: int, auto_delete: bool) -> None:
        """Change whether an address goes with its server."""
        if (other := self.primary_ips.get(number)) is not None:
            other.auto_delete = auto_delete
        elif not auto_delete:
            self.kept_own.add(number)

    def status(self, thing: HetznerResource) -> str:
        """Hetzner's word for a server's state; a broken one stays off."""
        now = self.clock()
        if now >= thing.deleted_at:
            return "deleting"
        if any(one.command == "change_server_type" and one.ends_at > now for one in thing.actions):
            return "migrating"
        if now >= thing.off_at:
            return "off"
        half = thing.boots_from + (thing.ready_at - thing.boots_from) / 2
        if now < thing.ready_at:
            return "initializing" if now < half and not thing.actions else "starting"
        return "off" if thing.broken else "running"

    def summary(self) -> dict[str, Any]:
        kept = {k: [t for t in things.values() if t.gone_at == math.inf] for k, things in self._things.items()}
        rows = {
            kind: [{"id": t.id, "name": t.name, "labels": t.asked.get("labels", {})} for t in things]
            for kind, things in kept.items()
        }
        for row, thing in zip(rows["servers"], kept["servers"], strict=True):
            row |= {"type": thing.types[-1][1], "status": self.status(thing)}
        rows["volumes"] = [{"id": v.id, "name": v.name, "server": v.server} for v in self.volumes.values()]
        rows["primary_ips"] = [{"id": a.id, "name": a.name, "server": a.server} for a in self.primary_ips.values()]
        rows["primary_ips"] += [{"id": number, "name": "kept", "server": 0} for number in self.kept_own]
        return {**rows, "happened": dict(self.happened), "refused": dict(self.refused)}


def _bare(asked: dict[str, Any]) -> list[str]:
    """A public key without its comment."""
    return str(asked.get("public_key", "")).split()[:2]
