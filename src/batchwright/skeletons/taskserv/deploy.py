"""How skeleton is installed and removed. Both are called once for each server, and again after a crash or a change."""

from __future__ import annotations

from typing import Any

from batchwright.taskservs.debian import ServiceFile, remove_paths, write_files

# A service of a package: install_packages("skeleton"), then run_service("skeleton", CONFIGURATION), which starts it
# and restarts it when its configuration has changed; to remove it, stop_service and purge_packages.

CONFIGURATION = "/etc/skeleton.conf"


def install(v: Any) -> None:
    """Variables are attributes of v."""
    write_files(ServiceFile(CONFIGURATION, f"port = {v.port}\n"))


def remove(_v: Any) -> None:
    """Undo all of it."""
    remove_paths(CONFIGURATION)
