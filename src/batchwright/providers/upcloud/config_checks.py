"""Checks of a server configuration that need no request to UpCloud. Pure."""

from __future__ import annotations

import re

from batchwright.model.diagnostic import Diagnostic
from batchwright.model.workflow import ServerConfig
from batchwright.providers.upcloud.user_data import against

KEYS_MAX = 31  # of the 32 that UpCloud takes, one is the run's own


_PLAN = re.compile(r"(?:[A-Z]+-)*\d+xCPU-\d+GB(?:-[0-9A-Za-z]+)*")


_ZONE = re.compile(r"[a-z][a-z0-9-]{0,14}[a-z0-9]")


_HOST = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", re.IGNORECASE)


_NETWORK = re.compile(r"03[0-9a-f]{6}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


_LABEL = re.compile(r"[a-z0-9.-][a-z0-9._-]{1,31}")  # lower case: UpCloud compares keys of disks without regard to it


def problems(config: ServerConfig) -> list[Diagnostic]:
    """What is wrong whatever UpCloud offers at the moment."""
    found = []
    if not _PLAN.fullmatch(config.plan):
        message = f'"{config.plan}" is not a plan of UpCloud: it has the form 2xCPU-4GB or DEV-1xCPU-1GB-10GB'
        found.append(Diagnostic("unknown-plan", message, "upcloud.com lists the plans.", field="plan"))
    if not _ZONE.fullmatch(config.zone):
        message = f'"{config.zone}" is not a zone of UpCloud: it has the form de-fra1'
        found.append(Diagnostic("unknown-zone", message, "upcloud.com lists the zones.", field="zone"))
    if not _HOST.fullmatch(config.name):
        found.append(
            Diagnostic("bad-name", f'"{config.name}" is not a host name', "Use letters, digits, hyphens.", field="name")
        )
    if len(config.ssh_keys) > KEYS_MAX:
        message = f"UpCloud allows {KEYS_MAX} of your keys per server, not {len(config.ssh_keys)}"
        found.append(Diagnostic("too-many-keys", message, "Add the others once it runs.", field="ssh_keys"))
    if why := against(config.user_data or ""):
        found.append(
            Diagnostic("bad-user-data", f"the user_data cannot be used: {why}", "Make it a script.", field="user_data")
        )
    if config.network is not None and not _NETWORK.fullmatch(config.network):
        message = f'"{config.network}" is not the id of a private network of UpCloud, which begins with 03'
        found.append(
            Diagnostic("unknown-network", message, "The UpCloud control panel shows the ids.", field="network")
        )
    for key, value in config.labels.items():
        if not _LABEL.fullmatch(key) or key.startswith("batchwright-") or len(value) > 255:
            message = f'"{key}" cannot be a label on UpCloud: 2 to 32 of a-z, 0-9, ., _, -, up to 255 letters of value'
            found.append(Diagnostic("bad-label", message, "It must not begin with _ or batchwright-.", field="labels"))
    return found
