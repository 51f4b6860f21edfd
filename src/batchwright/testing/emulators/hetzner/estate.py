"""All that the emulated project holds. Nothing runs in the background: a boot, a delete, a late commit, list lag are
times in the rows, so whoever looks later sees what happened meanwhile."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from msgspec import Struct

from batchwright.testing.emulators.fates import Draws, Refused
from batchwright.testing.emulators.hetzner.goods import IMAGES, LOCATIONS, TYPES
from batchwright.testing.emulators.hetzner.settings import Emulation


class Thing(Struct):
    """A server or a key; times are of the emulator's clock. `asked` is the body it was made with."""

    id: int
    name: str
    asked: dict[str, Any]
    committed_at: float
    visible_at: float
    ready_at: float = 0.0
    deleted_at: float = math.inf  # when the delete was asked for
    gone_at: float = math.inf

    def exists(self, now: float) -> bool:
        """A late one does not, yet."""
        return self.committed_at <= now < self.gone_at


class Estate(Draws):
    """Servers and keys. A name is taken once, and whoever commits first has it."""

    def __init__(self, emulation: Emulation, clock: Callable[[], float]) -> None:
        super().__init__(emulation, clock)
        self.emulation = emulation
        self._things: dict[str, dict[int, Thing]] = {"servers": {}, "ssh_keys": {}}
        self._serial = 1000

    def all(self, kind: str) -> list[Thing]:
        """What exists now, listed or not."""
        now = self.clock()
        return [thing for thing in self._things[kind].values() if thing.exists(now)]

    def listed(self, kind: str) -> list[Thing]:
        """What a listing shows now."""
        return [thing for thing in self.all(kind) if thing.visible_at <= self.clock()]

    def one(self, kind: str, number: str) -> Thing:
        """Raises Refused."""
        found = [thing for thing in self.all(kind) if str(thing.id) == number]
        if not found:
            raise Refused(404, "not_found", f"{kind} with ID '{number}' not found")
        return found[0]

    def make(self, kind: str, asked: dict[str, Any], late: float) -> Thing:
        """One more, `late` scaled seconds from now. Raises Refused."""
        e, name, at = self.emulation, asked["name"], self.clock() + late
        if any(thing.name == name for thing in self.all(kind)):
            self.happened[f"{kind} named twice"] += 1
            raise Refused(409, "uniqueness_error", f"{kind.removesuffix('s')} name is already used")
        mine = self._things[kind]
        for other in [thing for thing in mine.values() if thing.name == name and thing.committed_at > self.clock()]:
            if late:
                raise Refused(409, "uniqueness_error", "the other late one has the name")
            del mine[other.id]  # it comes too late, and finds its name taken
        self._serial += 1
        thing = Thing(self._serial, name, asked, at, at + e.scaled(e.list_lag), at + e.scaled(e.boot_seconds))
        mine[thing.id] = thing
        return thing

    def delete(self, kind: str, thing: Thing) -> None:
        """A key goes at once, a server takes its time."""
        now = self.clock()
        thing.deleted_at = now
        thing.gone_at = now + (self.emulation.scaled(self.emulation.delete_seconds) if kind == "servers" else 0.0)

    def shown(self, kind: str, thing: Thing) -> dict[str, Any]:
        """The record as Hetzner writes it."""
        asked = thing.asked
        at = datetime.fromtimestamp(int(thing.committed_at), UTC).strftime("%Y-%m-%dT%H:%M:%S+00:00")
        told = {"id": thing.id, "name": thing.name, "labels": asked.get("labels", {}), "created": at}
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
                "ipv4": {"id": 2 * thing.id, "ip": _four(thing), "blocked": False},
                "ipv6": {"id": 2 * thing.id + 1, "ip": _six(thing), "blocked": False},
                "floating_ips": [],
            },
            "private_net": [],
            "volumes": [],
            "protection": {"delete": False, "rebuild": False},
        }

    def address(self, number: str) -> dict[str, Any]:
        """An address as a thing of its own: there as long as its server is (auto_delete). Raises Refused."""
        for thing in self.all("servers"):
            for identity, kind, address in (
                (2 * thing.id, "ipv4", _four(thing)),
                (2 * thing.id + 1, "ipv6", _six(thing)),
            ):
                if number == str(identity):
                    told = {"id": identity, "type": kind, "ip": address, "assignee_type": "server"}
                    return {**told, "assignee_id": thing.id, "auto_delete": True}
        raise Refused(404, "not_found", f"primary_ip with ID '{number}' not found")

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
        return {**rows, "happened": dict(self.happened)}


def _four(server: Thing) -> str:
    return f"198.18.{server.id >> 8 & 255}.{server.id & 255}"


def _six(server: Thing) -> str:
    return f"2001:db8:{server.id:x}::/64"
