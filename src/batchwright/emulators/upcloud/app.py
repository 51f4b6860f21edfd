"""The emulated UpCloud as an HTTP service: what it says, and which path does what."""

from __future__ import annotations

import base64
import re
import time
from collections.abc import Callable
from typing import Any

from aiohttp import web

from batchwright.emulators.front import CallRefused, EmulatedCall, RestFront
from batchwright.emulators.upcloud import catalog, responses
from batchwright.emulators.upcloud.account import Disk, EmulatedServer, UpCloudAccount
from batchwright.emulators.upcloud.settings import UpCloudBehaviour
from batchwright.emulators.upcloud.validation import check_create, check_labels, check_modify, check_resize, inner
from batchwright.fault_injection.draw import Draw, lognormal
from batchwright.model.fault import FaultClass

Result = tuple[int, Any]  # status and body, None for none

TOKEN = "ucat_emulated"  # noqa: S105 - the one the emulator takes, and no secret
USER = "emulated"
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_BASIC = "Basic " + base64.b64encode(f"{USER}:{USER}".encode()).decode()


_UNAUTHORIZED = CallRefused(
    401, "AUTHENTICATION_FAILED", "Authentication failed using the given username and password."
)
# The codes of servers, as far as they are known; nobody has recorded the 4xx of a scripted fault
REFUSALS = {
    FaultClass.TRANSIENT: CallRefused(503, "SERVICE_UNAVAILABLE", "The service is not available."),
    FaultClass.THROTTLE: CallRefused(429, "TOO_MANY_REQUESTS", "Too many requests."),
    FaultClass.BUSY: CallRefused(409, "SERVER_STATE_ILLEGAL", "The server is in another state."),
    FaultClass.CAPACITY: CallRefused(409, "SERVER_RESOURCES_UNAVAILABLE", "The zone has no room."),
    FaultClass.QUOTA: CallRefused(403, "SERVER_CORE_LIMIT_REACHED", "The limit of the account is reached."),
    FaultClass.BILLING: CallRefused(402, "INSUFFICIENT_CREDITS", "The account has not enough credits."),
    FaultClass.AUTH: _UNAUTHORIZED,
    FaultClass.INVALID: CallRefused(400, "PLAN_INVALID", "The attribute plan has an invalid value."),
    FaultClass.NOT_FOUND: CallRefused(404, "ZONE_NOT_FOUND", "The zone does not exist."),
    FaultClass.PERMANENT: CallRefused(422, "REQUEST_REFUSED", "The request is refused."),
}


class UpCloudEmulator(RestFront[UpCloudAccount]):
    """One account behind one port. How its 429 really looks was never recorded."""

    prefix = "/1.3"
    accepted = (f"Bearer {TOKEN}", _BASIC)
    servers = "/server"
    credentials = dict.fromkeys(("expired", "wrong"), _UNAUTHORIZED)
    denied = CallRefused(403, "ACTION_FORBIDDEN", "The token may not do this.")
    failed = CallRefused(500, "INTERNAL_ERROR", "Internal error.")
    refusals = REFUSALS

    def __init__(self, behaviour: UpCloudBehaviour | None = None, clock: Callable[[], float] = time.time) -> None:
        super().__init__(UpCloudAccount(behaviour or UpCloudBehaviour(), clock))

    def _shape(self, path: str) -> str:
        known = {"private", "normal", "public", "template", "backup", "cdrom", "resource-usage", "stop", "start"}
        first, *rest = path.strip("/").split("/")
        return "/".join(["", first, *(part if part in known else "*" for part in rest)])

    def _made(self, path: str, body: Any) -> str | None:
        if path != "/server":
            return None
        return str(body.get("server", {}).get("hostname", "")) if isinstance(body, dict) else ""

    def _seconds(self, call: EmulatedCall) -> float:
        seconds = self.account.behaviour.scaled(self.account.behaviour.answer_seconds)
        return lognormal(seconds, 0.5, self.account.attempt(f"answer/{call.about}")[0], 0.3, 4.0)

    def _refused(self, _request: web.Request, refusal: CallRefused) -> web.Response:
        """Errors in the older format; an internal error in the newer one, RFC 7807."""
        if refusal is not self.failed:
            error = {"error_code": refusal.code, "error_message": refusal.message}
            return web.json_response({"error": error}, status=refusal.status)
        kind = f"https://developers.upcloud.com/1.3/errors#ERROR_{refusal.code}"
        body = {"type": kind, "title": refusal.message, "correlation_id": "emulated", "status": refusal.status}
        return web.json_response(body, status=refusal.status, content_type="application/problem+json")

    def _route(self, request: web.Request, path: str, body: Any, drawn: Draw) -> Result:
        match request.method, path.strip("/").split("/"):
            case "GET", ["account"]:
                limits = self.account.limits()
                return 200, {"account": {"credits": 10000.0, "username": USER, "resource_limits": limits}}
            case "GET", ["account", "resource-usage"]:
                return 200, self.account.used()
            case "GET", ["plan"]:
                return 200, catalog.plans()
            case "GET", ["zone"]:
                return 200, catalog.zones()
            case "GET", ["price"]:
                return 200, catalog.prices()
            case method, ["server", *rest]:
                return self._server_route(request, method, rest, body, drawn)
            case method, ["storage", *rest]:
                return self._storage_route(request, method, rest, body)
            case method, ["ip_address", *rest]:
                return self._address_route(request, method, rest, body)
        raise CallRefused(404, "NOT_FOUND", f"{request.method} {path} is not emulated.")

    # -- servers ------------------------------------------------------------------------------------------------

    def _server_route(self, request: web.Request, method: str, rest: list[str], body: Any, drawn: Draw) -> Result:
        now = self.account.clock()
        match method, rest:
            case "GET", []:
                listed = [s for s in self.account.servers() if now >= s.visible_at]
                rows = [responses.short_server(s, now) for s in listed if _labelled(request, s.labels, fold=False)]
                return 200, {"servers": {"server": self._page(request, rows)}}
            case "POST", []:
                asked = inner(body, "server")
                check_create(asked, self.account)
                return 202, {"server": responses.created_server(self.account.create(asked, drawn), now)}
            case "GET", [uuid]:
                return 200, {"server": responses.full_server(self._server(uuid), now)}
            case "PUT", [uuid]:
                return self._modified(self._server(uuid), inner(body, "server"))
            case "DELETE", [uuid]:
                return self._deleted(self._server(uuid), request)
            case "POST", [uuid, "stop"]:
                return self._stopped(self._server(uuid), inner(body, "stop_server"), drawn.seed)
            case "POST", [uuid, "start"]:
                return self._started(self._server(uuid), drawn.seed)
            case "POST", [uuid, "storage", "attach" | "detach" as verb]:
                return self._hung(self._server(uuid), verb, inner(body, "storage_device"))
        raise CallRefused(404, "NOT_FOUND", f"{method} on a server is not emulated like this.")

    def _server(self, uuid: str) -> EmulatedServer:
        if not _UUID.fullmatch(uuid):
            raise CallRefused(400, "SERVER_INVALID", "The attribute server has an invalid value.")
        server = self.account.server(uuid)
        if server is None:
            raise CallRefused(404, "SERVER_NOT_FOUND", f"The server {uuid} does not exist.")
        return server

    def _modified(self, server: EmulatedServer, asked: dict[str, Any]) -> Result:
        check_modify(asked)
        if "plan" in asked and asked["plan"] != server.asked["plan"]:
            self._must_be(server, "stopped")
            check_resize(server, asked["plan"], self.account)
            server.asked = {**server.asked, "plan": asked["plan"]}
        if "labels" in asked:
            server.labels = list(asked["labels"].get("label", []))
        server.title = asked.get("title", server.title)
        return 202, {"server": responses.full_server(server, self.account.clock())}

    def _stopped(self, server: EmulatedServer, asked: dict[str, Any], seed: str) -> Result:
        if asked.get("stop_type", "soft") not in ("soft", "hard"):
            raise CallRefused(400, "STOP_TYPE_INVALID", "The attribute stop_type has an invalid value.")
        self._must_be(server, "started")
        body = responses.full_server(server, self.account.clock())  # still says started, as the recorded answers do
        self.account.stop(server, seed)
        return 200, {"server": body}

    def _started(self, server: EmulatedServer, seed: str) -> Result:
        self._must_be(server, "stopped")
        self.account.start(server, seed)
        return 200, {"server": responses.full_server(server, self.account.clock()) | {"state": "started"}}

    def _deleted(self, server: EmulatedServer, request: web.Request) -> Result:
        self._must_be(server, "stopped", "error")
        self.account.delete(server, with_disks=request.query.get("storages") in ("1", "true"))
        return 204, None

    def _must_be(self, server: EmulatedServer, *states: str) -> None:
        state = server.state(self.account.clock())
        if state not in states or (state == "started" and server.stop_at <= self.account.clock()):
            raise CallRefused(409, "SERVER_STATE_ILLEGAL", f"The server {server.uuid} is in the state {state}.")

    def _hung(self, server: EmulatedServer, verb: str, asked: dict[str, Any]) -> Result:
        if verb == "attach":
            disk = self._disk(str(asked.get("storage")))
            if disk.server:
                raise CallRefused(409, "STORAGE_IN_USE", f"The storage {disk.uuid} is attached to a server.")
            self.account.attach(server, disk)
        else:
            self._must_be(server, "started", "stopped", "error")
            disks = [disk for disk in server.disks if asked.get("address") == f"virtio:{disk.device}"]
            if not disks:
                raise CallRefused(404, "STORAGE_DEVICE_NOT_FOUND", "There is no such storage device.")
            self.account.detach(server, disks[0])
        return 200, {"server": responses.full_server(server, self.account.clock())}

    # -- disks and addresses ------------------------------------------------------------------------------------

    def _storage_route(self, request: web.Request, method: str, rest: list[str], body: Any) -> Result:
        match method, rest:
            case "POST", []:
                asked = inner(body, "storage")
                labels = list(asked.get("labels", []))
                made = self.account.new_disk(str(asked["title"]), str(asked["zone"]), int(asked["size"]), labels)
                return 201, {"storage": responses.full_disk(made)}
            case "POST", [uuid, "backup"]:
                title = str(inner(body, "storage").get("title", ""))
                return 201, {"storage": responses.full_disk(self.account.backup(self._disk(uuid), title))}
            case "PUT", [uuid]:
                return self._relabelled(self._disk(uuid), inner(body, "storage"))
            case "GET", [] | ["private" | "normal" | "public" | "template" | "backup" | "cdrom"]:
                return 200, {"storages": {"storage": self._page(request, self._storages(request, rest))}}
            case "GET", [uuid]:
                disk = self._disk(uuid)
                backups = [one.uuid for one in self.account.disks() if one.type == "backup" and one.origin == uuid]
                return 200, {"storage": responses.full_disk(disk, backups)}
            case "DELETE", [uuid]:
                disk = self._disk(uuid)
                if disk.server:
                    raise CallRefused(409, "STORAGE_IN_USE", f"The storage {uuid} is attached to a server.")
                self.account.delete_disk(disk, with_backups=request.query.get("backups") == "delete")
                return 204, None
        raise CallRefused(404, "NOT_FOUND", f"{method} on a storage is not emulated like this.")

    def _relabelled(self, disk: Disk, asked: dict[str, Any]) -> Result:
        if "labels" in asked:
            check_labels(asked["labels"])
            disk.labels = list(asked["labels"])
        disk.title = asked.get("title", disk.title)
        return 202, {"storage": responses.full_disk(disk)}

    def _storages(self, request: web.Request, which: list[str]) -> list[dict[str, Any]]:
        if self.account.behaviour.no_label_filter and "label" in request.query:
            raise CallRefused(400, "UNKNOWN_ATTRIBUTE", "The attribute label is unknown.")
        now, templates = self.account.clock(), list(catalog.TEMPLATES.values())
        disks = [responses.short_disk(d) for d in self.account.disks() if now >= d.visible_at]
        normal, backup = ([row for row in disks if row["type"] == kind] for kind in ("normal", "backup"))
        rows = {"private": disks, "normal": normal, "backup": backup, "public": templates, "template": templates}
        chosen = rows.get(which[0], []) if which else disks
        return [row for row in chosen if _labelled(request, row["labels"], fold=True)]

    def _disk(self, uuid: str) -> Disk:
        if not _UUID.fullmatch(uuid):
            raise CallRefused(400, "STORAGE_INVALID", "The attribute storage has an invalid value.")
        disk = self.account.disk(uuid)
        if disk is None:
            raise CallRefused(404, "STORAGE_NOT_FOUND", f"The storage {uuid} does not exist.")
        return disk

    def _address_route(self, request: web.Request, method: str, rest: list[str], body: Any) -> Result:
        if method == "POST" and not rest:
            asked = inner(body, "ip_address")
            made = self.account.new_address(self._server(str(asked["server"])), floating=asked.get("floating") == "yes")
            return 201, {"ip_address": responses.address(made)}
        known = {row.address: row for row in self.account.addresses()}
        if method == "GET" and not rest:
            rows = [responses.address(row) for row in known.values()]
            return 200, {"ip_addresses": {"ip_address": self._page(request, rows)}}
        row = known.get(rest[0]) if len(rest) == 1 else None
        if row is None:
            raise CallRefused(404, "IP_ADDRESS_NOT_FOUND", "The address does not exist.")
        if method == "GET":
            return 200, {"ip_address": responses.address(row)}
        if method == "PATCH" and row.floating and inner(body, "ip_address").get("mac", "") is None:
            self.account.all_servers[row.server].addresses.remove(row)
            row.server = row.mac = ""
            return 202, {"ip_address": responses.address(row)}
        if method != "DELETE":
            raise CallRefused(404, "NOT_FOUND", f"{method} on an address is not emulated.")
        server = self.account.server(row.server) if row.server else None
        if server is not None:
            self._must_be(server, "stopped", "error")  # as it is for the server itself
            server.addresses.remove(row)
        del self.account.all_addresses[row.address]
        return 204, None

    def _page(self, request: web.Request, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        try:
            limit = int(request.query.get("limit", self.account.behaviour.default_limit))
            offset = int(request.query.get("offset", 0))
        except ValueError:
            raise CallRefused(400, "LIMIT_INVALID", "limit and offset are whole numbers.") from None
        if not 1 <= limit <= 1000 or offset < 0:
            raise CallRefused(400, "LIMIT_INVALID", "limit is from 1 to 1000, offset not below 0.")
        return self._in_order(rows)[offset : offset + limit]


def _labelled(request: web.Request, labels: list[dict[str, str]], *, fold: bool) -> bool:
    """Every `label=key` or `label=key=value` of the query must hold; keys of disks in any case."""
    have = {label["key"].lower() if fold else label["key"]: label["value"] for label in labels}
    for wanted in request.query.getall("label", []):
        key, equals, value = wanted.partition("=")
        key = key.lower() if fold else key
        if key not in have or (equals and have[key] != value):
            return False
    return True
