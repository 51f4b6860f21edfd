"""Prometheus with the targets that it scrapes; more rules and jobs are not its part."""

from __future__ import annotations

import json
from typing import Any

from batchwright.taskservs.config_escapes import systemd_value
from batchwright.taskservs.debian import (
    DeployImpossible,
    ServiceFile,
    purge_packages,
    remove_paths,
    run_service,
    stop_service,
)
from batchwright.taskservs.listen_addresses import endpoint, endpoints

CONFIG = "/etc/prometheus/prometheus.yml"


def install(v: Any) -> None:
    """Packages, configuration, then the service; other targets are taken up by a reload."""
    try:
        targets = endpoints(v.targets, v.target_port)
    except ValueError as error:
        raise DeployImpossible(str(error)) from error
    own = endpoint(v.bind, v.port)
    arguments = f"--web.listen-address={own} --storage.tsdb.retention.time={v.retention}"
    run_service(
        "prometheus",
        ServiceFile("/etc/default/prometheus", f"# Written by Batchwright.\nARGS={systemd_value(arguments)}\n"),
        ServiceFile(CONFIG, _settings(v, own, targets), reload=True),
        packages=("prometheus",),
        version=v.package_version,
        test=f"promtool check config {CONFIG}",
    )


def remove(_v: Any) -> None:
    """Stop it, then purge it with its data."""
    stop_service("prometheus", "prometheus")
    purge_packages("prometheus")
    remove_paths("/etc/prometheus", "/etc/default/prometheus", "/var/lib/prometheus/metrics2", "/var/log/prometheus")


def _settings(v: Any, own: str, targets: list[str]) -> str:
    """JSON, which is YAML too."""
    interval = f"{max(1, round(v.scrape_interval * 1000))}ms"
    jobs = [{"job_name": "prometheus", "static_configs": [{"targets": [own]}]}]
    if targets:
        jobs.append({"job_name": v.job, "metrics_path": v.metrics_path, "static_configs": [{"targets": targets}]})
    document = {"global": {"scrape_interval": interval, "evaluation_interval": interval}, "scrape_configs": jobs}
    return f"# Written by Batchwright.\n{json.dumps(document, indent=2)}\n"
