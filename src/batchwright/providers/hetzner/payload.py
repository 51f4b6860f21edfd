"""The body of a create call. Pure."""

from __future__ import annotations

from batchwright.model.ids import Token
from batchwright.operations.server_batch import ServerRequest
from batchwright.providers.hetzner.rows import IMAGE, RUN, TOKEN, key_name


def create_body(request: ServerRequest, token: Token, user_data: str) -> dict[str, object]:
    """Everything in one call. The address goes with the server; the key is there already (see adapter.py)."""
    facts = request.resolved
    body: dict[str, object] = {
        "name": request.name,
        "server_type": request.plan,
        "location": request.zone,
        "image": int(facts["image"]),
        "ssh_keys": [key_name(token.run)],
        "user_data": user_data,
        "labels": {**request.labels, RUN: token.run, TOKEN: token.value, IMAGE: request.image},
        "start_after_create": True,
        "public_net": {"enable_ipv4": True, "enable_ipv6": True},
    }
    return body | ({"networks": [int(facts["network"])]} if "network" in facts else {})
