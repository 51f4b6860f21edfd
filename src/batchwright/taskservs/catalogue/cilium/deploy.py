"""Cilium: a Helm release made on the first server of the cluster. On the others it comes by itself."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from shlex import quote
from typing import Any

from pyinfra import host
from pyinfra.facts.server import Command
from pyinfra.operations import files, server

from batchwright.taskservs.debian import ServiceFile, install_packages, remove_paths, write_files

OWN = "/var/lib/batchwright/cilium"
HELM = f"{OWN}/helm"
ADMIN = "/etc/kubernetes/admin.conf"
VALUES = f"{OWN}/values.json"
APPLIED = f"{OWN}/applied"  # what the release was last made from; empty while it is made


def install(v: Any) -> None:
    """On the first server: helm, then the release, made again only when something about it is different."""
    if v.cluster.number > 0:
        return
    files.directory(name="Make a folder of its own", path=OWN, mode="700")
    _fetch_helm(v)
    values = json.dumps(_values(v), indent=2, sort_keys=True) + "\n"
    write_files(ServiceFile(VALUES, values))
    upgrade = f"{_helm()} upgrade --install cilium {quote(v.chart)} --version {quote(v.chart_version)} -f {VALUES}"
    if v.chart_repo:
        upgrade += f" --repo {quote(v.chart_repo)}"
    wanted = hashlib.sha256(f"{upgrade}\n{values}".encode()).hexdigest()
    if (host.get_fact(Command, _ask_applied()) or "").strip() != wanted:
        steps = (_needs_control_plane(), f": > {APPLIED}", upgrade, f"echo {wanted} > {APPLIED}")
        server.shell(name="Make the release", commands=[" && ".join(steps)])


def remove(v: Any) -> None:
    """On the first server the release, on each what it has left in the node."""
    if v.cluster.number == 0 and host.get_fact(Command, f"[ -e {ADMIN} ] && ls {APPLIED} 2>/dev/null; true"):
        uninstall = f"{_helm()} uninstall cilium --ignore-not-found --wait --timeout 3m"
        server.shell(name="Remove the release", commands=[uninstall])
    if host.get_fact(Command, "ls -d /sys/class/net/cilium_* 2>/dev/null; true"):
        server.shell(name="Remove its interfaces", commands=[LINKS])
    remove_paths("/etc/cni/net.d/05-cilium.conflist", OWN)


LINKS = "for each in cilium_host cilium_net cilium_vxlan cilium_geneve; do ip link delete $each 2>/dev/null; done; true"


def _values(v: Any) -> dict[str, Any]:
    native = v.routing == "native"
    values: dict[str, Any] = {
        "kubeProxyReplacement": v.kube_proxy_replacement,
        "operator": {"replicas": min(2, v.cluster.size)},
        "ipam": {"mode": "kubernetes"},
        "cni": {"binPath": v.cni_bin_dir},
        "routingMode": "native" if native else "tunnel",
    }
    if native:
        values |= {"ipv4NativeRoutingCIDR": v.pod_cidr, "autoDirectNodeRoutes": True}
    else:
        values["tunnelProtocol"] = v.routing
    if v.kube_proxy_replacement:  # without kube-proxy the API is not reached by its service's address
        at, _, port = _api().rpartition(":")
        values |= {"k8sServiceHost": at.strip("[]"), "k8sServicePort": int(port)}
    return values


def _api() -> str:
    """HOST:PORT of the API, as the first server knows it."""
    ask = f"kubectl --kubeconfig {ADMIN} config view -o 'jsonpath={{.clusters[0].cluster.server}}' 2>/dev/null; true"
    return (host.get_fact(Command, ask) or "https://127.0.0.1:6443").strip().removeprefix("https://")


def _helm() -> str:
    return f"$(command -v helm || echo {HELM}) --kubeconfig {ADMIN} -n kube-system"


def _ask_applied() -> str:
    """What a release that is there, and whole, was made from."""
    return f"{_helm()} status cilium 2>/dev/null | grep -qx 'STATUS: deployed' && cat {APPLIED}; true"


def _needs_control_plane() -> str:
    return f"{{ [ -e {ADMIN} ] || {{ echo 'this server is no control plane: {ADMIN} is not there' >&2; exit 1; }}; }}"


def _fetch_helm(v: Any) -> None:
    if host.get_fact(Command, f"command -v helm || ls {HELM} 2>/dev/null; true"):
        return
    install_packages("ca-certificates")
    head = f"URL={quote(v.helm_url)}\nSHA256={quote(v.helm_sha256)}\nHELM={HELM}\n"
    script = (Path(__file__).parent / "files" / "helm.sh").read_text()
    server.shell(name="Fetch helm", commands=[head + script])
