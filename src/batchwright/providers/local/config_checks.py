"""Checks of a server configuration on this machine that start nothing. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection

from batchwright.model.diagnostic import Diagnostic
from batchwright.model.workflow import ServerConfig
from batchwright.providers.local.sizes import size_of

ZONES = ("here", "local")
NETWORKS = ("shared", "own")
USER_DATA_MOST = 64 * 1024

_KEY = re.compile(r"[a-z0-9@.-]+ [A-Za-z0-9+/]+={0,3}( [^\r\n]*)?")


def problems(config: ServerConfig, images: Collection[str], own_network: bool) -> list[Diagnostic]:
    """All that stands against a server here. `images` are what the base trees are called."""
    found = []
    if size_of(config.plan) is None:
        message = f'local has no plan "{config.plan}"'
        hint = "Write <n>xCPU-<m>GB or <n>xCPU-<m>MB, such as 1xCPU-512MB; at least 64 MB."
        found.append(Diagnostic("plan-unknown", message, hint, field="plan"))
    if config.zone not in ZONES:
        message = f'local has no zone "{config.zone}"'
        found.append(Diagnostic("zone-unknown", message, 'This machine is the zone "here".', field="zone"))
    if config.image is not None and config.image not in images:
        message = f'local has no image "{config.image}"'
        known = " or ".join(f'"{image}"' for image in images)
        found.append(Diagnostic("image-unknown", message, f"Leave it out, or write {known}.", field="image"))
    if config.network is not None and config.network not in NETWORKS:
        message = f'local has no network "{config.network}"'
        hint = '"shared" (an address of this machine\'s loopback network) or "own" (a network namespace of its own).'
        found.append(Diagnostic("network-unknown", message, hint, field="network"))
    elif config.network == "own" and not own_network:
        message = "a server with a network of its own needs root, and iproute2, on this machine"
        found.append(Diagnostic("network-unavailable", message, "See: batchwright providers", field="network"))
    if any(not _KEY.fullmatch(key.strip()) for key in config.ssh_keys):
        message = "a key in ssh_keys is not a public key"
        found.append(
            Diagnostic("ssh-key-invalid", message, "Write it as in a .pub file: ssh-ed25519 AAAA...", field="ssh_keys")
        )
    found += _user_data_problems(config.user_data)
    return found


def _user_data_problems(script: str | None) -> list[Diagnostic]:
    if not script:
        return []
    if not script.startswith("#!"):
        message = "local runs user_data as a program, and this does not begin with #!"
        return [Diagnostic("user-data-invalid", message, "Begin it with #!/bin/sh.", field="user_data")]
    if len(script.encode()) > USER_DATA_MOST:
        message = f"user_data is longer than {USER_DATA_MOST // 1024} kB"
        return [Diagnostic("user-data-invalid", message, "Let it download what it needs.", field="user_data")]
    return []
