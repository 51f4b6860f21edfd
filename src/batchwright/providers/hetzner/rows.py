"""Parses Hetzner's JSON, and defines the labels that mark our servers. Pure."""

from __future__ import annotations

import hashlib
from datetime import datetime
from typing import Any

from batchwright.model.call_outcome import Observed, ServerState
from batchwright.model.server_labels import without_marks
from batchwright.providers.host_key_label import LABEL, from_label
from batchwright.providers.lookup import is_wanted

RUN, TOKEN, IMAGE, ADDRESSES = (f"batchwright-{word}" for word in ("run", "token", "image", "addresses"))
SAME_AGE = 5.0  # seconds between a server and what was created with it
KEY = "key:"  # prefix of the reference of an SSH key; a server's reference is its bare number

_STATES = {
    "running": ServerState.READY,
    "stopping": ServerState.STOPPING,
    "deleting": ServerState.STOPPING,
}  # all other states pass; a server that stays off runs into the time-out of its step


def key_name(run: str) -> str:
    """The name of a run's SSH key."""
    return f"batchwright-{run}"


def shared_key_name(public: str) -> str:
    """The name of an SSH key that several runs use: the operator's identity."""
    return f"batchwright-login-{hashlib.sha256(public.encode()).hexdigest()[:12]}"


def is_key(row: dict[str, Any], public: str) -> bool:
    """Whether an SSH key of the project is this one, whatever its name and comment."""
    return str(row.get("public_key", "")).split()[:2] == public.split()[:2]


def selector(run: str | None, token: str | None) -> list[tuple[str, str]]:
    """Query parameters that narrow a listing to a run or a token. The result is still checked: a filter is never
    trusted.
    """
    wanted = [RUN if run is None else f"{RUN}={run}"]
    return [("label_selector", ",".join([*wanted, f"{TOKEN}={token}"] if token else wanted))]


def labels_of(row: dict[str, Any]) -> dict[str, str]:
    """The labels; empty if it has none."""
    labels = row.get("labels")
    return labels if isinstance(labels, dict) else {}


def is_ours(row: dict[str, Any], run: str | None, token: str | None) -> bool:
    """Whether it carries the labels."""
    labels = labels_of(row)
    return is_wanted((labels.get(RUN, ""), labels.get(TOKEN, "")), run, token)


def observed_server(row: dict[str, Any]) -> Observed:
    """A server, from its record."""
    labels, address = labels_of(row), _address(row)
    state = _STATES.get(str(row.get("status")), ServerState.STARTING)
    place = row.get("location") or _record(row, "datacenter").get("location")
    return Observed(
        str(row["id"]),
        ServerState.STARTING if state is ServerState.READY and not address else state,
        name=str(row.get("name", "")),
        run=labels.get(RUN, ""),
        token=labels.get(TOKEN, ""),
        address=address,
        plan=plan_of(row),
        zone=str(place.get("name", "")) if isinstance(place, dict) else "",
        image=labels.get(IMAGE, ""),
        disk_gb=int(row.get("primary_disk_size") or 0),
        host_keys=from_label(labels.get(LABEL, "")),
        labels=without_marks(labels),
    )


def plan_of(row: dict[str, Any]) -> str:
    """The name of a server's type."""
    return str(_record(row, "server_type").get("name", ""))


def observed_key(row: dict[str, Any]) -> Observed:
    """An SSH key that no server of its run needs any more. It has no token: it is not tied to one server."""
    run, name = labels_of(row).get(RUN, ""), f"key {row.get('name', '')}"
    return Observed(f"{KEY}{row['id']}", ServerState.READY, name=name, run=run, needed_by="")


def address_ids(body: dict[str, Any]) -> list[int]:
    """The ids of a server's addresses, which are resources of their own (/primary_ips)."""
    net = _record(_record(body, "server"), "public_net")
    return [int(found["id"]) for family in ("ipv4", "ipv6") if (found := _record(net, family)).get("id")]


def numbers_of(row: dict[str, Any], *path: str) -> list[int]:
    """The ids at the end of a path in a server's record: `volumes`, or `public_net`, `floating_ips`."""
    *folders, last = path
    for step in folders:
        row = _record(row, step)
    found = row.get(last)
    return [one for one in found if isinstance(one, int)] if isinstance(found, list) else []


def own_address(server: dict[str, Any], address: dict[str, Any]) -> bool:
    """Whether a primary IP, which has no label, was created with the server it is assigned to.

    The server's label lists them once its create was answered. Otherwise an address counts if it has no labels and is
    as old as the server.
    """
    if told := labels_of(server).get(ADDRESSES):
        return str(address.get("id")) in told.split("-")
    apart = seconds(address.get("created")) - seconds(server.get("created"))
    return not labels_of(address) and -SAME_AGE <= apart <= SAME_AGE


def seconds(text: Any) -> float:
    """A time of the API, in seconds since the epoch; 0 if it is none."""
    try:
        return datetime.fromisoformat(str(text)).timestamp()
    except ValueError:
        return 0.0


def _address(row: dict[str, Any]) -> str:
    """IPv4, or the first address of the IPv6 network, which is the one it listens on."""
    net = _record(row, "public_net")
    four, six = (str(_record(net, family).get("ip") or "") for family in ("ipv4", "ipv6"))
    return four or (six.partition("/")[0] + "1" if six else "")


def _record(row: dict[str, Any], key: str) -> dict[str, Any]:
    found = row.get(key)
    return found if isinstance(found, dict) else {}
