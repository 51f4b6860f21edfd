"""Checks of a server configuration that need no request to Hetzner. Pure."""

from __future__ import annotations

import re

from batchwright.model.diagnostic import Diagnostic
from batchwright.model.workflow import ServerConfig
from batchwright.providers.user_data import against

USER_DATA_MAX = 32 * 1024  # bytes


_PLAN = re.compile(r"[a-z]{2,4}\d{1,3}")


_ZONE = re.compile(r"[a-z]{3}\d?")


_LABEL = re.compile(r"[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?")


def problems(config: ServerConfig) -> list[Diagnostic]:
    """Problems that do not depend on Hetzner's current offers."""
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
