"""containerd with its CRI plug-in, runc and the standard network plug-ins."""

from __future__ import annotations

from typing import Any

from pyinfra.operations import server

from batchwright.taskservs.config_escapes import toml_string
from batchwright.taskservs.debian import (
    ServiceFile,
    is_installed,
    purge_packages,
    remove_paths,
    run_service,
    stop_service,
)

PACKAGES = ("containerd", "runc", "containernetworking-plugins")
DATA = "/var/lib/containerd"

# disabled_plugins is empty on purpose: packages of other vendors ship a configuration that switches cri off.
CONFIG = """\
# Written by Batchwright.
version = 2
disabled_plugins = []

[plugins."io.containerd.grpc.v1.cri".containerd]
  snapshotter = {snapshotter}

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
  SystemdCgroup = {systemd_cgroup}

[plugins."io.containerd.grpc.v1.cri".cni]
  bin_dir = {cni_bin_dir}
  conf_dir = "/etc/cni/net.d"
"""


# Their processes outlive the daemon, and what they mount would keep its folders.
STOP_CONTAINERS = """
for space in $(ctr --timeout 5s namespaces ls -q); do
    for task in $(ctr --timeout 5s -n "$space" tasks ls -q); do
        ctr --timeout 10s -n "$space" tasks rm -f "$task" || true
    done
done
"""


def install(v: Any) -> None:
    """Packages, configuration, then the service."""
    config = CONFIG.format(
        snapshotter=toml_string(v.snapshotter),
        systemd_cgroup=str(v.systemd_cgroup).lower(),
        cni_bin_dir=toml_string(v.cni_bin_dir),
    )
    run_service("containerd", ServiceFile("/etc/containerd/config.toml", config), packages=PACKAGES)


def remove(_v: Any) -> None:
    """Stop its containers and itself, then purge it with images and configuration."""
    if is_installed("containerd"):
        server.shell(name="Stop the containers", commands=[STOP_CONTAINERS])
    stop_service("containerd", "containerd")
    purge_packages(*PACKAGES)
    remove_paths("/etc/containerd", f"{DATA}/*", "/run/containerd", "/etc/cni", "/opt/containerd")
