"""What of Hetzner is emulated, and how that is known. `batchwright emulate hetzner --explain` prints it."""

from __future__ import annotations

from collections.abc import Iterator

COVERED = (
    "GET /servers, /ssh_keys: pages, name, label_selector (key, key=value, several by comma)",
    "GET /servers/{id}, /ssh_keys/{id}: 200, 404 not_found",
    "POST /servers, /ssh_keys: 201, 409 uniqueness_error while the name, or the key, is taken",
    "DELETE /servers/{id}: 200, then the status deleting, then 404; DELETE /ssh_keys/{id}: 204",
    "GET /servers/{id}/actions; POST /servers/{id}/actions/shutdown (ends before the server is off), poweroff, poweron",
    "POST /servers/{id}/actions/change_type: only when off, same architecture, no smaller disk; then it is locked",
    "GET, PUT /primary_ips/{id}: one with auto_delete goes with its server; PUT /servers/{id}: its labels",
    "what others attach: POST /volumes {server}, /primary_ips {assignee_id}, /images {server} (backup)",
    "POST /volumes/{id}/actions/detach, GET /images?type=backup",
    "GET /server_types, /locations, /images, /pricing: a few rows; the prices are made up",
)


def coverage() -> Iterator[str]:
    """What is emulated and the evidence for it, as lines for people."""
    yield "Emulated after Hetzner's reference; no part was compared with a real answer:"
    yield from (f"  {line}" for line in COVERED)
    yield "Not emulated: actions not named here, networks, addresses apart from a server, firewalls, snapshots."
