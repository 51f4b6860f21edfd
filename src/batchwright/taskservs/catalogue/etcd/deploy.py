"""etcd: a cluster of one, or the servers of the operation as one cluster. The first begins it, the others join it."""

from __future__ import annotations

from pathlib import Path
from shlex import quote
from typing import Any

from pyinfra import host
from pyinfra.facts.files import Directory
from pyinfra.operations import server

from batchwright.taskservs.config_escapes import systemd_value
from batchwright.taskservs.debian import (
    ServiceFile,
    install_packages,
    is_installed,
    purge_packages,
    remove_paths,
    run_service,
    stop_service,
    write_files,
)
from batchwright.taskservs.listen_addresses import endpoint

DATA = "/var/lib/etcd/default"
MEMBER = f"{DATA}/member/wal"  # with it etcd is a member, and looks at no initial cluster any more
UNIT_MORE = """\
# Written by Batchwright.
[Service]
EnvironmentFile=-/var/lib/etcd/joining
"""


def install(v: Any) -> None:
    """Packages; all but the first server join its cluster once; then configuration and the service."""
    own = (
        ServiceFile("/etc/default/etcd", _settings(v)),
        ServiceFile("/etc/systemd/system/etcd.service.d/batchwright.conf", UNIT_MORE),
    )
    install_packages("etcd-server", "etcd-client")
    if _joins(v) and host.get_fact(Directory, MEMBER) is None:
        write_files(*own)  # it is started to join
        server.shell(name=f"Join the cluster of {v.cluster.leader}", commands=[_script("join.sh", v)])
    run_service("etcd", *own)


def remove(v: Any) -> None:
    """Leave the cluster, stop it, then purge it with its data."""
    if _joins(v) and is_installed("etcd-server"):
        server.shell(name=f"Leave the cluster of {v.cluster.leader}", commands=[_script("leave.sh", v)])
    stop_service("etcd", "etcd-server")
    purge_packages("etcd-server", "etcd-client")
    remove_paths("/var/lib/etcd", "/etc/default/etcd", "/etc/systemd/system/etcd.service.d")


def _joins(v: Any) -> bool:
    return v.cluster is not None and v.cluster.number > 0


def _settings(v: Any) -> str:
    client, peer = _url(v.server.address, v.client_port), _peer(v)
    settings = {
        "ETCD_NAME": v.server.name,
        "ETCD_DATA_DIR": DATA,
        "ETCD_LISTEN_CLIENT_URLS": _url(v.bind, v.client_port),
        "ETCD_ADVERTISE_CLIENT_URLS": client,
        "ETCD_LISTEN_PEER_URLS": _url(v.bind, v.peer_port),
        "ETCD_INITIAL_ADVERTISE_PEER_URLS": peer,
    }
    if not _joins(v):
        settings |= {"ETCD_INITIAL_CLUSTER": f"{v.server.name}={peer}", "ETCD_INITIAL_CLUSTER_STATE": "new"}
    return "# Written by Batchwright.\n" + "".join(f"{key}={systemd_value(value)}\n" for key, value in settings.items())


def _script(name: str, v: Any) -> str:
    """A script of ours, told who the server is and whom to ask."""
    told = {"NAME": v.server.name, "PEER": _peer(v), "LEADER": _url(v.cluster.leader, v.client_port), "MEMBER": MEMBER}
    head = "".join(f"{key}={quote(value)}\n" for key, value in told.items())
    return head + (Path(__file__).parent / "files" / name).read_text()


def _peer(v: Any) -> str:
    return _url(v.server.address, v.peer_port)


def _url(address: str, port: int) -> str:
    return f"http://{endpoint(address, port)}"
