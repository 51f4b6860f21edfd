"""A Kubernetes node with kubeadm: the first server begins the cluster, the others join as control planes or workers."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from shlex import quote
from typing import Any

from pyinfra import host
from pyinfra.facts.server import Command
from pyinfra.operations import files, server, systemd

from batchwright.taskservs.config_escapes import source_word
from batchwright.taskservs.debian import (
    ServiceFile,
    hold_packages,
    install_packages,
    is_installed,
    purge_packages,
    remove_paths,
    stop_service,
    write_files,
)
from batchwright.taskservs.listen_addresses import endpoint

PACKAGES = ("kubelet", "kubeadm", "kubectl")
SOCKET = "unix:///run/containerd/containerd.sock"
KEYRING = "/etc/apt/keyrings/batchwright-kubernetes.asc"
OWN = "/var/lib/batchwright/kubernetes"
SECRETS = "/run/batchwright-kubernetes"  # only root looks into it, and it is gone with the power
JOINING = f"{SECRETS}/join.json"
ADMIN = f"{SECRETS}/admin.conf"


def install(v: Any) -> None:
    """What every node needs, then its own part in the cluster."""
    _prepare_system()
    _install_packages(v)
    if v.cluster.number == 0:
        _begin(v)
    else:
        _join(v)


def remove(v: Any) -> None:
    """Move its pods away, take it off the list, then purge it with all it made."""
    if is_installed("kubeadm"):
        admin = getattr(v.outputs, "admin", "")
        if admin:
            _make_own(SECRETS)
            write_files(ServiceFile(ADMIN, admin, "600"))
            server.shell(name="Leave the cluster", commands=[_script("leave.sh", NODE=v.server.name, ADMIN=ADMIN)])
        server.shell(name="Reset the node", commands=[f"kubeadm reset --force --cri-socket {SOCKET}"])
        hold_packages(*PACKAGES, hold=False)
    stop_service("kubelet", "kubelet")
    purge_packages(*PACKAGES, "cri-tools", "kubernetes-cni")
    if host.get_fact(Command, "grep -s '^#batchwright# ' /etc/fstab; true"):
        server.shell(name="Switch swap on", commands=["sed -i 's/^#batchwright# //' /etc/fstab && swapon -a"])
    remove_paths(
        *("/etc/kubernetes", "/var/lib/kubelet", "/var/lib/etcd", "/etc/cni/net.d/*", OWN, SECRETS),
        *("/etc/apt/sources.list.d/batchwright-kubernetes.list", KEYRING),
        *("/etc/modules-load.d/batchwright-kubernetes.conf", "/etc/sysctl.d/90-batchwright-kubernetes.conf"),
    )


def _prepare_system() -> None:
    """No swap, the modules that pods' networks need, packets passed on; each only where it is not so already."""
    if host.get_fact(Command, "tail -n +2 /proc/swaps; grep -E '^[^#].*[[:space:]]swap[[:space:]]' /etc/fstab; true"):
        off = "swapoff -a && sed -i -E 's/^([^#].*[[:space:]]swap[[:space:]].*)$/#batchwright# \\1/' /etc/fstab"
        server.shell(name="Switch swap off", commands=[off])
    settings = "/etc/sysctl.d/90-batchwright-kubernetes.conf"
    write_files(
        ServiceFile("/etc/modules-load.d/batchwright-kubernetes.conf", "overlay\nbr_netfilter\n"),
        ServiceFile(settings, "net.ipv4.ip_forward = 1\n"),
    )
    loaded = "for each in overlay br_netfilter; do [ -d /sys/module/$each ] || echo $each; done"
    for module in (host.get_fact(Command, loaded) or "").split():
        server.shell(name=f"Load the module {module}", commands=[f"modprobe {module}"])
    if (host.get_fact(Command, "cat /proc/sys/net/ipv4/ip_forward") or "").strip() != "1":
        server.shell(name="Pass packets on", commands=[f"sysctl -p {settings}"])


def _install_packages(v: Any) -> None:
    """From the project's repository, and held: an upgrade is more than an upgrade of packages."""
    install_packages("ca-certificates", "conntrack")
    if not host.get_fact(Command, f"ls {KEYRING} 2>/dev/null; true"):
        fetch = (
            f"mkdir -p /etc/apt/keyrings && /usr/lib/apt/apt-helper download-file {quote(v.repo_key_url)} {KEYRING}.new"
            f" && chmod 644 {KEYRING}.new && mv {KEYRING}.new {KEYRING}"
        )
        server.shell(name="Fetch the repository's key", commands=[fetch])
    source = f"deb [signed-by={KEYRING}] {source_word(v.repo_url)} /\n"
    write_files(ServiceFile("/etc/apt/sources.list.d/batchwright-kubernetes.list", source))
    install_packages(*PACKAGES)
    held = (host.get_fact(Command, "apt-mark showhold") or "").split()
    if not {*PACKAGES} <= {*held}:
        hold_packages(*PACKAGES)
    systemd.service(name="Enable kubelet", service="kubelet", running=None, enabled=True)


def _begin(v: Any) -> None:
    """Make the cluster, once."""
    api = _api_version()
    init: dict[str, Any] = {"localAPIEndpoint": _listen(v), "nodeRegistration": _registration(v, api)}
    if v.cluster.size == 1:
        init["nodeRegistration"]["taints"] = []  # there is no other node that could take pods
    if not v.kube_proxy:
        init["skipPhases"] = ["addon/kube-proxy"]
    cluster = {
        "kubernetesVersion": _version(),
        "controlPlaneEndpoint": endpoint(v.endpoint, v.api_port),
        "networking": {"podSubnet": v.pod_cidr, "serviceSubnet": v.service_cidr},
    }
    _make_own(OWN)
    documents = _documents((api, "InitConfiguration", init), (api, "ClusterConfiguration", cluster), _KUBELET)
    write_files(ServiceFile(f"{OWN}/init.json", documents, "600"))
    if _unfinished("admin.conf"):
        command = f"kubeadm init --config {OWN}/init.json"
        server.shell(name="Begin the cluster", commands=[_script("once.sh", OWN=OWN, COMMAND=command, SECRET="")])


def _join(v: Any) -> None:
    """Join it, once. The secrets that let it in are on the server only while it does."""
    if not _unfinished("kubelet.conf"):
        return
    _make_own(OWN)
    _make_own(SECRETS)
    controls = v.cluster.number < v.control_planes
    if command := getattr(v.outputs, "join_command", ""):  # not told where it is only asked what would change
        write_files(ServiceFile(JOINING, _join_configuration(v, parse_join(command), controls=controls), "600"))
    role = "control plane" if controls else "worker"
    script = _script("once.sh", OWN=OWN, COMMAND=f"kubeadm join --config {JOINING}", SECRET=JOINING)
    server.shell(name=f"Join as a {role}", commands=[script])


def _join_configuration(v: Any, told: dict[str, str], *, controls: bool) -> str:
    api = _api_version()
    token = {"apiServerEndpoint": told["endpoint"], "token": told["token"], "caCertHashes": [told["hash"]]}
    join: dict[str, Any] = {"discovery": {"bootstrapToken": token}, "nodeRegistration": _registration(v, api)}
    if controls:
        join["controlPlane"] = {"localAPIEndpoint": _listen(v), "certificateKey": v.outputs.certificate_key}
    return _documents((api, "JoinConfiguration", join))


def _make_own(folder: str) -> None:
    files.directory(name=f"Make {folder}", path=folder, mode="700")


def parse_join(command: str) -> dict[str, str]:
    """`kubeadm join HOST:PORT --token T --discovery-token-ca-cert-hash H` in parts, for a file instead of arguments."""
    found = re.search(
        r"kubeadm join (?P<endpoint>\S+) .*--token (?P<token>\S+) .*--discovery-token-ca-cert-hash (?P<hash>\S+)",
        command,
    )
    if found is None:
        raise ValueError("the first server did not say how it is joined")
    return found.groupdict()


def _unfinished(made: str) -> bool:
    """Whether kubeadm has not finished the node, or was interrupted. A node made by somebody else is not touched."""
    script = f"if [ -e {OWN}/unfinished ] || [ ! -e /etc/kubernetes/{made} ]; then echo yes; fi"
    return bool(host.get_fact(Command, script))


def _version() -> str:
    """Of the installed kubeadm, so that it does not look up what the newest is."""
    return (host.get_fact(Command, "kubeadm version -o short 2>/dev/null; true") or "v1.34.0").strip()


def _api_version() -> str:
    minor = re.match(r"v1\.(\d+)", _version())
    return "kubeadm.k8s.io/v1beta4" if minor and int(minor[1]) >= 31 else "kubeadm.k8s.io/v1beta3"


_KUBELET = ("kubelet.config.k8s.io/v1beta1", "KubeletConfiguration", {"cgroupDriver": "systemd"})


def _listen(v: Any) -> dict[str, Any]:
    return {"advertiseAddress": v.server.address, "bindPort": v.api_port}


def _registration(v: Any, api: str) -> dict[str, Any]:
    listed = [{"name": "node-ip", "value": v.server.address}]
    more = listed if api.endswith("v1beta4") else {each["name"]: each["value"] for each in listed}
    return {"name": v.server.name, "criSocket": SOCKET, "kubeletExtraArgs": more}


def _documents(*documents: tuple[str, str, Mapping[str, Any]]) -> str:
    """JSON is YAML; each document on a line of its own."""
    heads: Iterable[dict[str, Any]] = ({"apiVersion": api, "kind": kind, **rest} for api, kind, rest in documents)
    return "\n---\n".join(json.dumps(each) for each in heads) + "\n"


def _script(name: str, **told: str) -> str:
    """A script of ours, told what it works on."""
    head = "".join(f"{key}={quote(value)}\n" for key, value in told.items())
    return head + (Path(__file__).parent / "files" / name).read_text()
