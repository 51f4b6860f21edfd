"""Redis from the distribution, with settings of its own after the distribution's."""

from __future__ import annotations

import ipaddress
from typing import Any

from pyinfra.operations import files

from batchwright.taskservs.config_escapes import redis_word
from batchwright.taskservs.debian import (
    DeployImpossible,
    ServiceFile,
    install_packages,
    purge_packages,
    remove_paths,
    run_service,
    stop_service,
)

PACKAGES = ("redis-server", "redis-tools")
MAIN = "/etc/redis/redis.conf"
OWN = "/etc/redis/batchwright.conf"
LOG = "/var/log/redis/redis-server.log"


def install(v: Any) -> None:
    """Packages, settings, then the service."""
    settings = _settings(v)
    install_packages(*PACKAGES)
    own = ServiceFile(OWN, settings, "640", "redis", "redis")
    files.line(name=f"Have {MAIN} include them", path=MAIN, line=f"include {OWN}")
    run_service("redis-server", own, logs=(LOG,))


def remove(_v: Any) -> None:
    """Stop it, then purge it with its settings and its data."""
    stop_service("redis-server", "redis-server")
    purge_packages(*PACKAGES)
    remove_paths("/etc/redis", "/var/lib/redis", "/var/log/redis")


def _settings(v: Any) -> str:
    """They come last, so they hold. Redis's own protection would shut out everybody but the server itself."""
    password = getattr(v, "password", "")
    listens = ipaddress.ip_address(v.bind)
    reached = ipaddress.ip_address(v.server.address) if listens.is_unspecified else listens
    if not password and reached.is_global:
        raise DeployImpossible(f"redis without a password would be open to everybody at {v.bind}: give it a `password`")
    values = {
        "bind": v.bind,
        "port": str(v.port),
        "maxmemory": v.maxmemory,
        "appendonly": "yes" if v.append_only else "no",
        "protected-mode": "no",
        "requirepass": password,
    }
    return "# Written by Batchwright.\n" + "".join(f"{name} {redis_word(value)}\n" for name, value in values.items())
