"""UpCloud's JSON read with tolerance: numbers come as text, lists come wrapped, keys are missing. Pure."""

from __future__ import annotations

from typing import Any, NamedTuple

from batchwright.model.call_outcome import Observed, ServerState
from batchwright.model.fault import Fault, FaultClass
from batchwright.model.server_labels import without_marks
from batchwright.providers.base import Attached
from batchwright.providers.host_key_label import LABEL, from_label
from batchwright.providers.lookup import is_wanted

RUN, TOKEN, NAME, IMAGE = (f"batchwright-{word}" for word in ("run", "token", "name", "image"))
DISK = "disk:"  # how the reference of a disk begins; a server's is its bare uuid

_STATES = {
    "maintenance": ServerState.STARTING,
    "started": ServerState.READY,
    "stopped": ServerState.BROKEN,
    "error": ServerState.BROKEN,
    "pending_delete": ServerState.STOPPING,
}


def number(value: Any) -> float:
    """A number that may come as text; 0 for anything else."""
    try:
        return float(value)
    except (TypeError, ValueError):
        return 0.0


def entries(body: Any, *path: str) -> list[dict[str, Any]]:
    """The records at the end of a path; none where it leads nowhere."""
    for step in path:
        body = body.get(step) if isinstance(body, dict) else None
    return [row for row in body if isinstance(row, dict)] if isinstance(body, list) else []


def labels_as_written(row: dict[str, Any]) -> dict[str, str]:
    """A server has {"label": [...]}, a disk a plain list, and some have none."""
    labels = row.get("labels")
    pairs = entries(labels, "label") if isinstance(labels, dict) else entries(row, "labels")
    return {str(pair.get("key", "")): str(pair.get("value", "")) for pair in pairs}


def labels_of(row: dict[str, Any]) -> dict[str, str]:
    """The labels with keys in lower case: those of disks may come in any."""
    return {key.lower(): value for key, value in labels_as_written(row).items()}


def title_mark(run: str, token: str) -> str:
    """What stands in the title of a disk that could not be labelled in its create call."""
    return f"[batchwright {run} {token}]"


def is_labelled(disk: dict[str, Any]) -> bool:
    """Whether it has our label itself, and no mark for one."""
    return any(str(pair.get("key", "")).lower() == RUN for pair in entries(disk, "labels"))


def is_ours(row: dict[str, Any], run: str | None, token: str | None) -> bool:
    """Whether it carries the labels; a filter of the API is never trusted alone."""
    labels = labels_of(row)
    return is_wanted((labels.get(RUN, ""), labels.get(TOKEN, "")), run, token)


def address_of(row: dict[str, Any]) -> str:
    """The address to reach a server at, from its full record; empty where it has none yet."""
    return best_address(entries(row, "ip_addresses", "ip_address"))


def best_address(addresses: list[dict[str, Any]]) -> str:
    """Public before internal, IPv4 before IPv6."""
    order = [("public", "IPv4"), ("public", "IPv6"), ("utility", "IPv4"), ("private", "IPv4")]
    kinds = {(str(a.get("access")), str(a.get("family"))): str(a.get("address") or "") for a in reversed(addresses)}
    return next((kinds[kind] for kind in order if kinds.get(kind)), "")


class Addresses(NamedTuple):
    """Of a server: its own that its deletion would leave behind, still billed; floating ones; and others that would go.

    An address has no label. A create asks for one address of a kind, so the first of a kind is the server's own.
    """

    kept: list[str]
    floating: list[str]
    added: list[str]


def addresses_of(row: dict[str, Any]) -> Addresses:
    """From the full record of a server."""
    found, kinds = Addresses([], [], []), set[tuple[str, str]]()
    for interface in entries(row, "networking", "interfaces", "interface"):
        for address in entries(interface, "ip_addresses", "ip_address"):
            text, kind = str(address.get("address") or ""), (str(interface.get("type")), str(address.get("family")))
            if not text or kind[0] == "private":  # an address of a private network is not the account's
                continue
            kept = address.get("release_policy") == "keep"
            if address.get("floating") == "yes":
                found.floating.append(text)
            elif kind not in kinds:
                kinds.add(kind)
                found.kept.extend([text] if kept else [])
            elif not kept:
                found.added.append(text)
    return found


def added_to(row: dict[str, Any]) -> list[Attached]:
    """Addresses that were added to a server and cannot be kept without it."""
    why = "UpCloud releases it with the server"
    return [Attached(str(row["uuid"]), f"added address {one}", why) for one in addresses_of(row).added]


def observed_server(row: dict[str, Any], address: str) -> Observed:
    """A server's record, short or full."""
    labels, told = labels_of(row), str(row.get("state", ""))
    state = _STATES.get(told, ServerState.STARTING)
    if state is ServerState.READY and not address:
        state = ServerState.STARTING
    fault = (
        Fault(FaultClass.TRANSIENT, f"UpCloud says it is in the state {told}") if state is ServerState.BROKEN else None
    )
    return Observed(
        str(row["uuid"]),
        state,
        name=labels.get(NAME) or str(row.get("hostname", "")),
        run=labels.get(RUN, ""),
        token=labels.get(TOKEN, ""),
        address=address,
        plan=str(row.get("plan", "")),
        zone=str(row.get("zone", "")),
        image=labels.get(IMAGE, ""),
        fault=fault,
        host_keys=from_label(labels.get(LABEL, "")),
        labels=without_marks(labels_as_written(row)),
    )


def observed_disk(row: dict[str, Any]) -> Observed:
    """A disk that has lost its server. It shows no token: a search for a token is a search for a server."""
    labels = labels_of(row)
    name = f"disk of {labels.get(NAME) or row.get('title', '')}"
    ref, run, token = f"{DISK}{row['uuid']}", labels.get(RUN, ""), labels.get(TOKEN, "")
    return Observed(ref, ServerState.READY, name=name, run=run, made_with=token)


def made_with(disk: dict[str, Any], server: dict[str, Any]) -> bool:
    """Whether a disk carries the labels of the server's own create call, or, without labels, the mark in its title."""
    labels = labels_of(server)
    run, token = labels.get(RUN, ""), labels.get(TOKEN, "")
    marked = not is_labelled(disk) and str(disk.get("title", "")).endswith(title_mark(run, token))
    return bool(run) and (is_ours(disk, run, token) or marked)


def servers_of(row: dict[str, Any]) -> list[str]:
    """Servers that a disk hangs on, from its full record."""
    inner = row.get("servers")
    found = inner.get("server") if isinstance(inner, dict) else None
    return [str(one) for one in found] if isinstance(found, list) else []


def backups_of(disk: dict[str, Any]) -> list[str]:
    """Backups of a disk, from its full record: storages of their own, which nobody here makes."""
    inner = disk.get("backups")
    found = inner.get("backup") if isinstance(inner, dict) else None
    return [str(one) for one in found] if isinstance(found, list) else []


def disks_of(row: dict[str, Any]) -> dict[str, str]:
    """Disks of a server, from its full record, each with the address of its device, such as `virtio:0`."""
    devices = entries(row, "storage_devices", "storage_device")
    disks = [device for device in devices if device.get("type") == "disk" and device.get("storage")]
    return {str(disk["storage"]): str(disk.get("address", "")) for disk in disks}


def is_disk(storage: dict[str, Any]) -> bool:
    """Whether a storage is a disk, and no backup or image."""
    return str(storage.get("type", "normal")) == "normal"


def shown_addresses(rows: list[dict[str, Any]]) -> dict[str, str]:
    """Server -> its best address, from a listing of addresses."""
    of: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        of.setdefault(str(row.get("server") or ""), []).append(row)
    return {server: best_address(addresses) for server, addresses in of.items() if server}
