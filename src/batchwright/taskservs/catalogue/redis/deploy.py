"""Redis from the distribution, with settings of its own after the distribution's."""

from __future__ import annotations

from typing import Any

from pyinfra.operations import files

from batchwright.taskservs.debian import (
    Written,
    install_packages,
    purge_packages,
    remove_paths,
    run_service,
    stop_service,
)

PACKAGES = ("redis-server", "redis-tools")
MAIN = "/etc/redis/redis.conf"
OWN = "/etc/redis/batchwright.conf"


def install(v: Any) -> None:
    """Packages, settings, then the service."""
    install_packages(*PACKAGES)
    own = Written(OWN, _settings(v), mode="640", user="redis", group="redis")
    files.line(name=f"Have {MAIN} include them", path=MAIN, line=f"include {OWN}")
    run_service("redis-server", own)


def remove(_v: Any) -> None:
    """Stop it, then purge it with its settings and its data."""
    stop_service("redis-server", "redis-server")
    purge_packages(*PACKAGES)
    remove_paths("/etc/redis", "/var/lib/redis", "/var/log/redis")


def _settings(v: Any) -> str:
    """They come last, so they hold."""
    lines = (
        "# Written by Batchwright.",
        f"bind {v.bind}",
        f"port {v.port}",
        f"maxmemory {v.maxmemory}",
        f"appendonly {'yes' if v.append_only else 'no'}",
    )
    return "".join(f"{line}\n" for line in lines)
