"""The body of a create call. Pure."""

from __future__ import annotations

from batchwright.model.ids import Token
from batchwright.operations.server_batch import ServerRequest
from batchwright.providers.hetzner.rows import IMAGE, RUN, TOKEN
from batchwright.providers.host_key_label import LABEL, to_label


def create_body(
    request: ServerRequest, token: Token, user_data: str, key_name: str, host_key: str
) -> dict[str, object]:
    """Everything in one call. The address goes with the server; the SSH key exists already (see adapter.py)."""
    facts = request.resolved
    marks = {RUN: token.run, TOKEN: token.value, IMAGE: request.image}
    marks |= {LABEL: to_label(host_key)} if host_key else {}
    body: dict[str, object] = {
        "name": request.name,
        "server_type": request.plan,
        "location": request.zone,
        "image": int(facts["image"]),
        "ssh_keys": [key_name],
        "user_data": user_data,
        "labels": {**request.labels, **marks},
        "start_after_create": True,
        "public_net": {"enable_ipv4": True, "enable_ipv6": True},
    }
    return body | ({"networks": [int(facts["network"])]} if "network" in facts else {})
