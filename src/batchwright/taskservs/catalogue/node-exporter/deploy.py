"""The node exporter, which tells the server's metrics to Prometheus."""

from __future__ import annotations

from typing import Any

from batchwright.taskservs.config_escapes import systemd_value
from batchwright.taskservs.debian import (
    ServiceFile,
    purge_packages,
    remove_paths,
    run_service,
    stop_service,
)
from batchwright.taskservs.listen_addresses import endpoint

NAME = "prometheus-node-exporter"


def install(v: Any) -> None:
    """Package, arguments, then the service. It has no configuration file: another argument is a restart."""
    words = [f"--web.listen-address={endpoint(v.bind, v.port)}"]
    words += [f"--no-collector.{name}" for name in v.collectors_off]
    text = f"# Written by Batchwright.\nARGS={systemd_value(' '.join(words))}\n"
    run_service(NAME, ServiceFile(f"/etc/default/{NAME}", text), packages=(NAME,), version=v.package_version)


def remove(_v: Any) -> None:
    """Stop it, then purge it."""
    stop_service(NAME, NAME)
    purge_packages(NAME)
    remove_paths(f"/etc/default/{NAME}", "/var/lib/prometheus/node-exporter", f"/var/log/prometheus/{NAME}*")
