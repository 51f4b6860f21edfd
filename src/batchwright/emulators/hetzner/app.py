"""The emulated Hetzner as an HTTP service: what it says, and which path does what."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from aiohttp import web

from batchwright.emulators.front import CallRefused, RestFront
from batchwright.emulators.hetzner import catalog, responses
from batchwright.emulators.hetzner.account import HetznerAccount, HetznerResource
from batchwright.emulators.hetzner.server_actions import act
from batchwright.emulators.hetzner.settings import HetznerBehaviour
from batchwright.fault_injection.draw import Draw
from batchwright.model.fault import FaultClass

Result = tuple[int, Any]  # status and body, None for none

TOKEN = "emulated"  # noqa: S105 - the one the emulator takes, and no secret
PAGE_MAX = 50
LABELLED = ("servers", "ssh_keys")
_SOLD = {"server_types": catalog.TYPES, "locations": catalog.LOCATIONS, "images": catalog.IMAGES}


_UNAUTHORIZED = CallRefused(401, "unauthorized", "unable to authenticate")
REFUSALS = {
    FaultClass.TRANSIENT: CallRefused(503, "unavailable", "unavailable"),
    FaultClass.THROTTLE: CallRefused(429, "rate_limit_exceeded", "limit of 3600 requests per hour reached"),
    FaultClass.BUSY: CallRefused(409, "conflict", "the resource was changed during the request"),
    FaultClass.CAPACITY: CallRefused(412, "resource_unavailable", "resources in this location are not available"),
    FaultClass.QUOTA: CallRefused(403, "resource_limit_exceeded", "server limit exceeded"),
    FaultClass.AUTH: _UNAUTHORIZED,
    FaultClass.INVALID: CallRefused(422, "invalid_input", "invalid input"),
    FaultClass.NOT_FOUND: CallRefused(404, "not_found", "resource not found"),
    FaultClass.CONFLICT: CallRefused(409, "uniqueness_error", "name is already used"),
    FaultClass.PERMANENT: CallRefused(403, "protected", "the action is protected"),
}


class HetznerEmulator(RestFront[HetznerAccount]):
    """One project behind one port."""

    prefix = "/v1"
    accepted = (f"Bearer {TOKEN}",)
    servers = "/servers"
    credentials = dict.fromkeys(("expired", "wrong"), _UNAUTHORIZED)
    denied = CallRefused(403, "token_readonly", "token is readonly")
    failed = CallRefused(500, "server_error", "internal error")
    refusals = REFUSALS

    def __init__(self, behaviour: HetznerBehaviour | None = None, clock: Callable[[], float] = time.time) -> None:
        super().__init__(HetznerAccount(behaviour or HetznerBehaviour(), clock))

    def _made(self, path: str, body: Any) -> str | None:
        return None if "/actions/" in path else str(body.get("name", ""))

    def _refused(self, _request: web.Request, refusal: CallRefused) -> web.Response:
        error = {"code": refusal.code, "message": refusal.message, "details": None}
        headers = {"RateLimit-Remaining": "0"} if refusal.status == 429 else None
        return web.json_response({"error": error}, status=refusal.status, headers=headers)

    def _route(self, request: web.Request, path: str, body: Any, drawn: Draw) -> Result:
        match request.method, path.strip("/").split("/"):
            case "GET", ["pricing"]:
                return 200, catalog.PRICING
            case "GET", [kind] if kind in _SOLD and request.query.get("type") != "backup":
                return 200, self._page(request, kind, list(_SOLD[kind]))
            case "GET", [kind] if kind in LABELLED:
                rows = [self._shown(kind, thing) for thing in self.account.listed(kind)]
                return 200, self._page(request, kind, [row for row in rows if _wanted(request, row)])
            case "GET", [kind, number] if kind in LABELLED:
                return 200, {kind.removesuffix("s"): self._shown(kind, self.account.one(kind, number))}
            case method, ["primary_ips" | "volumes" | "images" as kind, *rest]:
                return self._attached_route(request, method, kind, rest, body)
            case "POST", ["ssh_keys"]:
                return 201, {"ssh_key": self._shown("ssh_keys", self._make("ssh_keys", body, drawn))}
            case "POST", ["servers"]:
                self._check(body)
                server = self._shown("servers", self._make("servers", body, drawn))
                return 201, {"server": server, "action": _action("create_server"), "next_actions": []} | {
                    "root_password": None
                }
            case "GET", ["servers", number, "actions"]:
                latest = sorted(self.account.one("servers", number).actions, key=lambda one: -one.id)
                return 200, {"actions": [responses.action(one, self.account.clock()) for one in latest]}
            case "POST", ["servers", number, "actions", verb]:
                began = act(self.account, self.account.one("servers", number), verb, body, drawn)
                return 201, {"action": responses.action(began, self.account.clock())}
            case "PUT", ["servers", number]:
                thing = self.account.one("servers", number)
                thing.asked = thing.asked | {"labels": body.get("labels", thing.asked.get("labels", {}))}
                return 200, {"server": self._shown("servers", thing)}
            case "DELETE", [kind, number] if kind in LABELLED:
                thing = self.account.one(kind, number)
                if thing.deleted_at <= self.account.clock():
                    raise CallRefused(423, "locked", "server is locked")
                self.account.delete(kind, thing)
                return (200, {"action": _action("delete_server")}) if kind == "servers" else (204, None)
        raise CallRefused(404, "not_found", f"{request.method} {path} is not emulated")

    def _attached_route(self, request: web.Request, method: str, kind: str, rest: list[str], body: Any) -> Result:
        """What others may attach to a server. An assigned primary IP and a backup are made in one call here."""
        match method, kind, rest:
            case "GET", "images", []:
                rows: list[dict[str, Any]] = [
                    {"id": b.id, "type": "backup", "bound_to": b.server, "name": None, "labels": {}}
                    for b in self.account.backups.values()
                    if not b.snapshot
                ]
                return 200, self._page(request, "images", rows)
            case "POST", "images" | "primary_ips" | "volumes", []:
                server = self.account.one("servers", str(body.get("server") or body.get("assignee_id")))
                acts: dict[str, Callable[[HetznerResource], Any]] = {
                    "images": self.account.back_up,
                    "primary_ips": self.account.assign_address,
                }
                return 201, {kind.removesuffix("s"): {"id": acts.get(kind, self.account.attach_volume)(server).id}}
            case "POST", "volumes", [number, "actions", "detach"]:
                self.account.detach_volume(number)
                return 201, {"action": _action("detach_volume")}
            case "GET", "volumes", [number] if number.isdecimal() and int(number) in self.account.volumes:
                volume = self.account.volumes[int(number)]
                return 200, {"volume": responses.volume(volume)}
            case "GET", "primary_ips", [number]:
                return 200, {"primary_ip": self._address(number)}
            case "PUT", "primary_ips", [number]:
                self._address(number)
                self.account.keep_address(int(number), bool(body.get("auto_delete", True)))
                return 200, {"primary_ip": self._address(number)}
        raise CallRefused(404, "not_found", f"{method} on {kind} is not emulated like this")

    def _make(self, kind: str, body: dict[str, Any], drawn: Draw) -> HetznerResource:
        if not isinstance(body.get("name"), str) or not body["name"]:
            raise CallRefused(422, "invalid_input", "invalid input in field 'name'")
        return self.account.make(kind, body, drawn)

    def _shown(self, kind: str, thing: HetznerResource) -> dict[str, Any]:
        return responses.server(thing, self.account) if kind == "servers" else responses.ssh_key(thing)

    def _address(self, number: str) -> dict[str, Any]:
        """An address as a thing of its own: there as long as its server is (auto_delete). Raises CallRefused."""
        found = responses.primary_ip(int(number), self.account) if number.isdecimal() else None
        if found is None:
            raise CallRefused(404, "not_found", f"primary_ip with ID '{number}' not found")
        return found

    def _check(self, body: dict[str, Any]) -> None:
        """What Hetzner looks at before it makes a server."""
        e, servers = self.account.behaviour, self.account.all("servers")
        for field, known in (("server_type", catalog.TYPES), ("location", catalog.LOCATIONS)):
            if body.get(field) not in [row["name"] for row in known]:
                raise CallRefused(422, "invalid_input", f"invalid input in field '{field}'")
        if body.get("image") not in [row["id"] for row in catalog.IMAGES]:
            raise CallRefused(422, "invalid_input", "invalid input in field 'image'")
        if len(body.get("user_data", "")) > 32 * 1024:
            raise CallRefused(422, "invalid_input", "invalid input in field 'user_data'")
        there = {key.name for key in self.account.all("ssh_keys")}
        if missing := [key for key in body.get("ssh_keys", ()) if key not in there]:
            raise CallRefused(404, "not_found", f"SSH key '{missing[0]}' not found")
        if e.quota_servers and len(servers) >= e.quota_servers:
            raise self.refusals[FaultClass.QUOTA]
        if e.capacity and sum(one.asked["location"] == body["location"] for one in servers) >= e.capacity:
            raise self.refusals[FaultClass.CAPACITY]

    def _page(self, request: web.Request, kind: str, rows: list[dict[str, Any]]) -> dict[str, Any]:
        try:
            number, size = int(request.query.get("page", 1)), int(request.query.get("per_page", 25))
        except ValueError:
            raise CallRefused(400, "invalid_input", "page and per_page are whole numbers") from None
        if "sort" in request.query and (
            self.account.behaviour.unsorted or kind not in ("servers", "ssh_keys", "images")
        ):
            raise CallRefused(400, "invalid_input", "invalid input in field 'sort'")
        size, rows = min(max(1, size), PAGE_MAX), self._in_order(rows)
        last = max(1, -(-len(rows) // size))
        shown = {"page": number, "per_page": size, "previous_page": number - 1 if number > 1 else None}
        shown |= {"next_page": number + 1 if number < last else None, "last_page": last, "total_entries": len(rows)}
        return {kind: rows[(number - 1) * size : number * size], "meta": {"pagination": shown}}


def _action(command: str) -> dict[str, Any]:
    return {"id": 1, "command": command, "status": "running", "progress": 0, "error": None}


def _wanted(request: web.Request, row: dict[str, Any]) -> bool:
    """By name, and by every `key` or `key=value` of the selector."""
    if request.query.get("name", row["name"]) != row["name"]:
        return False
    for part in filter(None, request.query.get("label_selector", "").split(",")):
        key, equals, value = part.partition("=")
        if key not in row["labels"] or (equals and row["labels"][key] != value):
            return False
    return True
