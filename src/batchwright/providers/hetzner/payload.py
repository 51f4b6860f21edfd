"""The body of a create call, and what can be said against a configuration without asking anybody. Pure."""

from __future__ import annotations

import re

from batchwright.model.diagnostic import Diagnostic
from batchwright.model.ids import Token
from batchwright.model.workflow import ServerConfig
from batchwright.operations.server_batch import ServerRequest
from batchwright.providers.hetzner.rows import IMAGE, RUN, TOKEN, key_name
from batchwright.providers.user_data import against

USER_DATA_MAX = 32 * 1024  # bytes
_PLAN = re.compile(r"[a-z]{2,4}\d{1,3}")
_ZONE = re.compile(r"[a-z]{3}\d?")
_LABEL = re.compile(r"[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?")


def problems(config: ServerConfig) -> list[Diagnostic]:
    """What is wrong whatever Hetzner offers at the moment."""
    found = []
    if not _PLAN.fullmatch(config.plan):
        message = f'"{config.plan}" is not a server type of Hetzner: it has the form cx23, cpx22 or cax11'
        found.append(Diagnostic("unknown-plan", message, "hetzner.com/cloud lists the server types.", field="plan"))
    if not _ZONE.fullmatch(config.zone):
        message = f'"{config.zone}" is not a location of Hetzner: it has the form fsn1'
        found.append(Diagnostic("unknown-zone", message, "They are fsn1, nbg1, hel1, ash, hil and sin.", field="zone"))
    if why := against(config.user_data or "", config.ssh_keys, USER_DATA_MAX, "Hetzner"):
        found.append(
            Diagnostic("bad-user-data", f"the user_data cannot be used: {why}", "Make it a script.", field="user_data")
        )
    if config.network is not None and not config.network.isdecimal():
        message = f'"{config.network}" is not the id of a network of Hetzner, which is a number'
        found.append(
            Diagnostic("unknown-network", message, "The Hetzner console shows it in the address.", field="network")
        )
    for key, value in config.labels.items():
        if not _LABEL.fullmatch(key) or key.startswith("batchwright-") or not _LABEL.fullmatch(value or "x"):
            message = f'"{key}" cannot be a label on Hetzner: up to 63 letters, digits, -, _ and . in key and value'
            found.append(
                Diagnostic("bad-label", message, "It must begin and end with a letter or a digit.", field="labels")
            )
    return found


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
