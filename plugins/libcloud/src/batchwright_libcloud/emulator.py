"""Vultr's API as far as Libcloud's driver uses it: what `batchwright emulate libcloud` serves.

Nothing runs in the background: boots, late commits and list lag are times in the rows.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Annotated, Any

from aiohttp import web
from msgspec import Meta, Struct

from batchwright.emulators.base_account import EmulatedAccount
from batchwright.emulators.cloud import CloudEmulator
from batchwright.emulators.front import CallRefused, RestFront
from batchwright.emulators.settings import EmulatorBehaviour
from batchwright.fault_injection.draw import Draw
from batchwright.fault_injection.settings import Seconds
from batchwright.model.fault import FaultClass

TOKEN = "emulated"  # noqa: S105 - the one the emulator takes, and no secret
Rows = list[dict[str, Any]]

REGIONS: Rows = [
    {"id": "ams", "city": "Amsterdam", "country": "NL", "continent": "Europe", "options": []},
    {"id": "ewr", "city": "New Jersey", "country": "US", "continent": "North America", "options": []},
]
PLANS: Rows = [
    {"id": f"vc2-{cpus}c-{ram}gb", "vcpu_count": cpus, "ram": ram * 1024, "disk": 25 * ram, "disk_count": 1}
    | {"bandwidth": 1024, "monthly_cost": 5 * ram, "type": "vc2", "locations": ["ams", "ewr"]}
    for cpus, ram in ((1, 1), (2, 4))
]
SYSTEMS: Rows = [
    {"id": 2136, "name": "Debian 12 x64 (bookworm)", "arch": "x64", "family": "debian"},
    {"id": 2284, "name": "Ubuntu 24.04 LTS x64", "arch": "x64", "family": "ubuntu"},
]
_SOLD: dict[str, Rows] = {"regions": REGIONS, "plans": PLANS, "os": SYSTEMS, "plans-metal": [], "bare-metals": []}
_METAL = {"plans-metal": "plans_metal", "bare-metals": "bare_metals"}  # the driver's names for their rows
_ABSENT = {
    **dict.fromkeys(("v6_main_ip", "v6_network", "netmask_v4", "gateway_v4", "internal_ip", "image_id", "tag"), ""),
    **dict.fromkeys(("v6_network_size", "app_id", "allowed_bandwidth"), 0),
    "features": [],
    "firewall_group_id": "",
}


class VultrBehaviour(EmulatorBehaviour, frozen=True, kw_only=True):
    """Settings that only this cloud has."""

    boot_seconds: Annotated[Seconds, Meta(description="time from create to active")] = 30.0
    page: Annotated[int, Meta(ge=1, description="most entries of one page of a listing")] = 500


class VultrInstance(Struct):
    """A server; times are of the emulator's clock. `asked` is the body it was made with."""

    id: str
    asked: dict[str, Any]
    committed_at: float
    visible_at: float
    ready_at: float
    broken: bool
    gone_at: float = math.inf


class VultrBlock(Struct):
    """A volume; `instance` is empty where it is attached to nothing."""

    id: str
    instance: str = ""


class VultrAccount(EmulatedAccount[VultrBehaviour]):
    """Instances and volumes. Labels need not be unique."""

    def __init__(self, behaviour: VultrBehaviour, clock: Callable[[], float]) -> None:
        super().__init__(behaviour, clock)
        self.instances: list[VultrInstance] = []
        self.blocks: list[VultrBlock] = []

    def existing(self) -> list[VultrInstance]:
        """Instances that exist now, listed or not."""
        now = self.clock()
        return [one for one in self.instances if one.committed_at <= now < one.gone_at]

    def make(self, asked: dict[str, Any], drawn: Draw) -> VultrInstance:
        """Create one more, as late as was drawn."""
        scaled, at = self.behaviour.scaled, self.clock() + drawn.late
        ready = math.inf if "never_ready" in drawn.server else at + scaled(self.behaviour.boot_seconds)
        number = f"{len(self.instances) + 1:08d}-0000-4000-8000-000000000000"
        seen = at + scaled(self.behaviour.list_lag)
        self.instances.append(VultrInstance(number, asked, at, seen, ready, "broken" in drawn.server))
        return self.instances[-1]

    def destroy(self, instance: VultrInstance) -> None:
        """Destroy it at once. What is attached to it stays."""
        instance.gone_at = self.clock()
        for block in self.blocks:
            block.instance = "" if block.instance == instance.id else block.instance

    def attach_volume(self, instance: str) -> VultrBlock:
        """Attach a foreign volume to a server."""
        self.blocks.append(VultrBlock(f"block-{len(self.blocks) + 1}", instance))
        return self.blocks[-1]

    def summary(self) -> dict[str, Any]:
        left = [{"id": i.id, "label": i.asked["label"]} for i in self.instances if i.gone_at == math.inf]
        blocks = [{"id": block.id, "instance": block.instance} for block in self.blocks]
        counted = {"happened": dict(self.happened), "refused": dict(self.refused)}
        return {"instances": left, "blocks": blocks, **counted}


_TOKEN_REFUSED = CallRefused(401, "401", "Invalid API token.")

REFUSALS = {
    FaultClass.TRANSIENT: CallRefused(503, "503", "Service unavailable."),
    FaultClass.THROTTLE: CallRefused(429, "429", "Rate limit exceeded."),
    FaultClass.BUSY: CallRefused(409, "409", "Another action is under way."),
    FaultClass.CAPACITY: CallRefused(400, "400", "Plan is not available in the selected region."),
    FaultClass.QUOTA: CallRefused(400, "400", "You have reached the maximum of active instances."),
    FaultClass.BILLING: CallRefused(402, "402", "Payment is required."),
    FaultClass.AUTH: _TOKEN_REFUSED,
    FaultClass.INVALID: CallRefused(400, "400", "Invalid parameter."),
    FaultClass.NOT_FOUND: CallRefused(404, "404", "Not found."),
    FaultClass.CONFLICT: CallRefused(409, "409", "Conflict."),
    FaultClass.PERMANENT: CallRefused(403, "403", "Not allowed."),
}


class VultrEmulator(RestFront[VultrAccount]):
    """One account behind one port. Refusals have a status but no code."""

    prefix = "/v2"
    accepted = (f"Bearer {TOKEN}",)
    servers = "/instances"
    credentials = dict.fromkeys(("expired", "wrong"), _TOKEN_REFUSED)
    denied = CallRefused(403, "403", "Unauthorized IP address or missing privilege.")
    failed = CallRefused(500, "500", "Internal error.")
    refusals = REFUSALS

    def __init__(self, behaviour: VultrBehaviour | None = None, clock: Callable[[], float] = time.time) -> None:
        super().__init__(VultrAccount(behaviour or VultrBehaviour(), clock))

    def _made(self, path: str, body: Any) -> str | None:
        return str(body.get("label", "")) if path == self.servers else None

    def _refused(self, _request: web.Request, refusal: CallRefused) -> web.Response:
        return web.json_response({"error": refusal.message, "status": refusal.status}, status=refusal.status)

    def _route(self, request: web.Request, path: str, body: Any, drawn: Draw) -> tuple[int, Any]:
        now = self.account.clock()
        match request.method, path.strip("/").split("/"):
            case "GET", [kind] if kind in _SOLD:
                return 200, self._page(request, _METAL.get(kind, kind), _SOLD[kind])
            case "GET", ["instances"]:
                seen = [_shown(one, now) for one in self.account.existing() if one.visible_at <= now]
                return 200, self._page(request, "instances", seen)
            case "POST", ["instances"]:
                self._check(body)
                return 202, {"instance": _shown(self.account.make(body, drawn), now)}
            case "DELETE", ["instances", number]:
                self.account.destroy(self._one(self.account.existing(), number))
                return 204, None
            case "GET", ["blocks"]:
                return 200, self._page(request, "blocks", [_block(block) for block in self.account.blocks])
            case "POST", ["blocks", number, "detach"]:
                self._one(self.account.blocks, number).instance = ""
                return 204, None
        raise self.refusals[FaultClass.NOT_FOUND]

    def _one(self, rows: Sequence[Any], number: str) -> Any:
        found = [row for row in rows if row.id == number]
        if not found:
            raise self.refusals[FaultClass.NOT_FOUND]
        return found[0]

    def _check(self, body: dict[str, Any]) -> None:
        """Check a create request."""
        known = {"region": REGIONS, "plan": PLANS, "os_id": SYSTEMS}
        for field, rows in known.items():
            if str(body.get(field)) not in [str(row["id"]) for row in rows]:  # the driver sends numbers as text
                raise CallRefused(400, "400", f"Invalid {field}.")
        there = [one for one in self.account.existing() if one.asked["region"] == body["region"]]
        if self.account.behaviour.capacity and len(there) >= self.account.behaviour.capacity:
            raise self.refusals[FaultClass.CAPACITY]

    def _page(self, request: web.Request, kind: str, rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
        begin, size = int(request.query.get("cursor") or 0), self.account.behaviour.page
        rows = self._in_order(rows)
        following = str(begin + size) if begin + size < len(rows) else ""
        return {kind: rows[begin : begin + size], "meta": {"total": len(rows), "links": {"next": following}}}


def _shown(instance: VultrInstance, now: float) -> dict[str, Any]:
    """An instance as in a listing. One that never comes up stays off."""
    asked, is_ready = instance.asked, now >= instance.ready_at
    plan = next(row for row in PLANS if row["id"] == asked["plan"])
    size = {field: plan[field] for field in ("ram", "disk", "vcpu_count")}
    is_on = is_ready and not instance.broken
    return {
        **_ABSENT,
        **size,
        "id": instance.id,
        "label": asked["label"],
        "region": asked["region"],
        "plan": asked["plan"],
        "os_id": asked["os_id"],
        "os": "",
        "date_created": "2026-01-01T00:00:00+00:00",
        "main_ip": f"203.0.113.{int(instance.id[:8]) % 254 + 1}" if is_ready else "0.0.0.0",  # noqa: S104
        "status": "active" if is_ready else "pending",
        "power_status": "running" if is_on else "stopped",
        "server_status": "ok" if is_on else "none",
    }


def _block(block: VultrBlock) -> dict[str, Any]:
    told = {"id": block.id, "label": block.id, "attached_to_instance": block.instance, "mount_id": ""}
    return {**told, "size_gb": 10, "cost": 1, "region": "ams", "status": "active", "date_created": ""}


def coverage() -> Iterator[str]:
    """What is emulated, and the evidence for it."""
    yield "Vultr's API 2 as far as Libcloud's driver uses it: instances, plans, regions, systems, volumes."
    yield "Paths, fields and states are those that the driver of Libcloud 3.9 sends and reads."
    yield "Assumed: texts of refusals, boot times, what a delete leaves behind, and when new servers are listed."
    yield "Not emulated: bare metal (its lists are empty), networks, keys, snapshots, limits of an account."


EMULATOR = CloudEmulator(
    title="Vultr for Libcloud",
    port=9183,
    behaviour=VultrBehaviour,
    emulator=VultrEmulator,
    environ={"LIBCLOUD_DRIVER": "vultr", "LIBCLOUD_URL": "{url}", "LIBCLOUD_KEY": TOKEN},
    coverage=coverage,
)
