"""Whether UpCloud would take a request: strict about unknown keys, as the published schema says it is."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from batchwright.emulators.front import CallRefused
from batchwright.emulators.upcloud.account import EmulatedServer, UpCloudAccount
from batchwright.emulators.upcloud.catalog import PLANS, TEMPLATES, ZONES

HOSTNAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,126}[A-Za-z0-9])?")
_SERVER = {
    *("title", "hostname", "zone", "plan", "core_number", "memory_amount", "metadata", "user_data", "timezone"),
    *("password_delivery", "simple_backup", "firewall", "server_group", "avoid_host", "host", "labels", "login_user"),
    *("networking", "storage_devices", "remote_access_enabled", "remote_access_type", "remote_access_password"),
}
_MODIFIED = {"title", "hostname", "plan", "labels"}  # what is emulated of it
_DEVICE = {"action", "storage", "title", "size", "tier", "encrypted", "backup_rule", "labels", "address", "type"}
_LIMITS = (
    ("cores", "SERVER_CORE_LIMIT_REACHED"),
    ("memory", "SERVER_MEMORY_LIMIT_REACHED"),
    ("public_ipv4", "SERVER_IP_LIMIT_REACHED"),
    ("storage_total", "MAXIOPS_STORAGE_LIMIT_REACHED"),
)


def inner(body: Any, key: str) -> dict[str, Any]:
    """What is in the wrapper that a request must have."""
    if not isinstance(body, dict) or not isinstance(body.get(key), dict):
        wrong = next(iter(body), "") if isinstance(body, dict) else ""
        raise CallRefused(400, "UNKNOWN_ATTRIBUTE", f"The attribute {wrong} is unknown; {key} is expected.")
    found: dict[str, Any] = body[key]
    return found


def check_create(server: dict[str, Any], account: UpCloudAccount) -> None:
    """Check the body of a create request. Raises CallRefused."""
    _only(server, _SERVER - ({"login_user"} if account.behaviour.no_login_user else set()))
    for field in ("title", "hostname", "zone", "storage_devices"):
        if not server.get(field):
            raise CallRefused(400, f"{field.upper()}_MISSING", f"The required attribute {field} is missing.")
    if not 1 <= len(server["title"]) <= 255:
        raise CallRefused(400, "TITLE_INVALID", "The attribute title has an invalid value.")
    if not HOSTNAME.fullmatch(server["hostname"]):
        raise CallRefused(400, "HOSTNAME_INVALID", "The attribute hostname has an invalid value.")
    if server["zone"] not in ZONES:
        raise CallRefused(404, "ZONE_NOT_FOUND", f"The zone {server['zone']} does not exist.")
    plan = PLANS.get(str(server.get("plan")))
    if plan is None:
        raise CallRefused(400, "PLAN_INVALID", "The attribute plan has an invalid value.")
    check_labels(server.get("labels", {}).get("label", []))
    _check_login(server)
    if not server.get("networking", {}).get("interfaces", {}).get("interface"):
        raise CallRefused(400, "INTERFACE_MISSING", "At least one interface is needed.")
    devices = server["storage_devices"].get("storage_device") or []
    if not 1 <= len(devices) <= 16:
        raise CallRefused(400, "STORAGE_DEVICES_INVALID", "From 1 to 16 storage devices are needed.")
    for device in devices:
        _check_device(device, server, account)
    _check_room(server, plan, sum(int(device.get("size", 10)) for device in devices), account)


def check_modify(server: dict[str, Any]) -> None:
    """Check the body of a request that modifies a server. Raises CallRefused."""
    _only(server, _MODIFIED)
    if "plan" in server and server["plan"] not in PLANS:
        raise CallRefused(400, "PLAN_INVALID", "The attribute plan has an invalid value.")
    if "labels" in server:
        check_labels(server["labels"].get("label", []))


def check_resize(server: EmulatedServer, plan: str, account: UpCloudAccount) -> None:
    """Check the account's limits for another plan. Raises CallRefused."""
    old, new, used, limits = PLANS[server.asked["plan"]], PLANS[plan], account.used(), account.limits()
    for key, field, code in (
        ("cores", "core_number", "SERVER_CORE_LIMIT_REACHED"),
        ("memory", "memory_amount", "SERVER_MEMORY_LIMIT_REACHED"),
    ):
        if new[field] > old[field] and used[key] - old[field] + new[field] > limits[key]:
            raise CallRefused(403, code, f"The account's limit of {key} is reached.")


def _only(given: Iterable[str], known: set[str]) -> None:
    for key in given:
        if key not in known:
            raise CallRefused(400, "UNKNOWN_ATTRIBUTE", f"The attribute {key} is unknown.")


def check_labels(labels: list[dict[str, str]]) -> None:
    """Check the labels of a request. Raises CallRefused."""
    keys = [str(label.get("key", "")) for label in labels]
    if len(set(keys)) < len(keys):
        raise CallRefused(400, "DUPLICATE_LABEL_KEYS", "A label's key stands there twice.")
    for label in labels:
        key, value = label.get("key", ""), label.get("value", "")
        if not 2 <= len(key) <= 32 or not key.isascii() or not key.isprintable() or key.startswith("_"):
            raise CallRefused(400, "INVALID_LABEL_KEY", f"The label key {key} is invalid.")
        if len(value) > 255:
            raise CallRefused(400, "INVALID_LABEL_VALUE", f"The value of the label {key} is invalid.")


def _check_login(server: dict[str, Any]) -> None:
    login = server.get("login_user")
    if login is None:
        return
    _only(login, {"username", "create_password", "ssh_keys"})
    keys = login.get("ssh_keys", {}).get("ssh_key", [])
    if login.get("create_password") == "yes" and keys:
        raise CallRefused(400, "SSH_KEYS_ILLEGAL", "create_password and ssh_keys exclude each other.")
    if login.get("create_password") == "no" and not 1 <= len(keys) <= 32:
        raise CallRefused(400, "SSH_KEYS_INVALID", "From 1 to 32 keys are needed.")


def _check_device(device: dict[str, Any], server: dict[str, Any], account: UpCloudAccount) -> None:
    _only(device, _DEVICE - ({"labels"} if account.behaviour.no_disk_labels else set()))
    if device.get("action") != "clone":
        raise CallRefused(400, "ACTION_INVALID", "The emulator only clones.")
    template = TEMPLATES.get(str(device.get("storage")))
    if template is None:
        raise CallRefused(404, "STORAGE_NOT_FOUND", f"The storage {device.get('storage')} does not exist.")
    if template["template_type"] == "cloud-init" and server.get("metadata") != "yes":
        raise CallRefused(400, "METADATA_DISABLED_ON_CLOUD-INIT", "A cloud-init template needs the metadata service.")
    if not device.get("title"):
        raise CallRefused(400, "STORAGE_TITLE_MISSING", "The required attribute title is missing.")
    if not 10 <= int(device.get("size", 10)) <= 4096:
        raise CallRefused(400, "SIZE_INVALID", "The attribute size has an invalid value.")
    check_labels(device.get("labels", []))


def _check_room(server: dict[str, Any], plan: dict[str, Any], disk: int, account: UpCloudAccount) -> None:
    e, now = account.behaviour, account.clock()
    if e.creating_limit and sum(now < s.ready_at for s in account.servers()) >= e.creating_limit:
        raise CallRefused(403, "SERVER_CREATING_LIMIT_REACHED", "Too many servers are being created at the moment.")
    used, limits = account.used(), account.limits()
    more = {"cores": plan["core_number"], "memory": plan["memory_amount"], "public_ipv4": 1, "storage_total": disk}
    for key, code in _LIMITS:
        if used[key] + more[key] > limits[key]:
            raise CallRefused(403, code, f"The account's limit of {key} is reached.")
    if e.capacity and sum(s.asked["zone"] == server["zone"] for s in account.servers()) >= e.capacity:
        raise CallRefused(409, "SERVER_RESOURCES_UNAVAILABLE", f"The zone {server['zone']} has no room at the moment.")
