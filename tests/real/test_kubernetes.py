"""kubernetes and cilium on real servers with stub packages: configuration files, secrets, roles, interruption."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest

from batchwright.model.call_outcome import Rejected
from batchwright.operations.taskserv_batch import Cluster, TaskservRequest
from tests.real.life import Server, asked, on_servers
from tests.real.stubs import CALLED, make_repository, need_tools
from tests.support.sandboxes import need_sandboxes

STUBS = "/opt/stubs"  # on the servers
REPOSITORY = {"repo_url": f"file:{STUBS}", "repo_key_url": f"file:{STUBS}/Release.key"}
CHART = {"chart": f"{STUBS}/chart", "chart_repo": "", "helm_url": f"file:{STUBS}/helm-ARCH.tar.gz"}

# A server of this machine shares its kernel and may not change it: these only note that they were called.
KERNEL = """
for each in modprobe sysctl; do
    printf '#!/bin/sh\\necho "%s $*" >> /tmp/kernel\\n' $each > /usr/local/sbin/$each
    chmod 755 /usr/local/sbin/$each
done
"""
OF_THE_KERNEL = {"Load the module br_netfilter", "Pass packets on"}  # done again, because the stubs do nothing


def parts(name: str, **given: Any) -> list[TaskservRequest]:
    return [asked(name, Cluster("first", number, 3), **given) for number in range(3)]


async def supply(server: Server, place: Path) -> None:
    """Put the repository on the server."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        archive.add(place, arcname=".")
    text = base64.b64encode(packed.getvalue()).decode()
    await server.sh(
        f"mkdir -p {STUBS} && base64 -d <<'EOF' | tar -C {STUBS} -xz --no-same-owner\n{text}\nEOF\n{KERNEL}"
    )
    await server.sh(f"chmod -R a+rX {STUBS}")


async def documents(server: Server, name: str) -> dict[str, dict[str, Any]]:
    """The documents of a configuration file that a stub was given, by kind."""
    texts = (await server.sh(f"cat {CALLED}/{name}")).split("\n---\n")
    return {document["kind"]: document for document in map(json.loads, texts)}


@pytest.mark.long
def test_a_cluster_is_begun_even_after_an_interruption_joined_given_a_network_and_taken_apart(tmp_path: Path) -> None:
    need_sandboxes()
    need_tools()
    make_repository(tmp_path / "repository")
    kubernetes, cilium = parts("kubernetes", control_planes=2, **REPOSITORY), parts("cilium", **CHART)

    async def scenario(first: Server, second: Server, third: Server) -> None:
        everyone = (first, second, third)
        await asyncio.gather(*(supply(each, tmp_path / "repository") for each in everyone))
        await interrupted_and_reset(first)
        await first.sh(f"kubeadm reset --force; rm -r {CALLED}")
        assert await first.install(kubernetes[0])
        await asyncio.gather(*(each.install(kubernetes[n], first) for n, each in enumerate(everyone) if n))
        await begun_and_joined(first, second, third)
        await given_a_network(everyone, cilium)
        for number, each in enumerate(everyone):
            each.said.clear()
            await each.install(kubernetes[number], first if number else None)
            assert changes(each) <= OF_THE_KERNEL
        await taken_apart(everyone, kubernetes, cilium)

    on_servers(tmp_path / "servers", ("one", "two", "three"), scenario)


def changes(server: Server) -> set[str]:
    """What the last install said it has changed."""
    lines = [line.partition(": ")[2] for line in server.said if line.startswith("changed by ")]
    return {name for line in lines for name in line.split(", ")}


async def begun_and_joined(first: Server, second: Server, third: Server) -> None:
    begun = await documents(first, "kubeadm-init.json")
    assert begun["InitConfiguration"]["apiVersion"] == "kubeadm.k8s.io/v1beta4"
    cluster = begun["ClusterConfiguration"]
    assert cluster["kubernetesVersion"] == "v1.34.1"
    assert cluster["controlPlaneEndpoint"] == f"{first.target.address}:6443"
    assert begun["KubeletConfiguration"]["cgroupDriver"] == "systemd"
    tokens = (await first.sh(f"cat {CALLED}/tokens")).split()
    control, worker = [(await documents(each, "kubeadm-join.json"))["JoinConfiguration"] for each in (second, third)]
    assert {each["discovery"]["bootstrapToken"]["token"] for each in (control, worker)} == {*tokens}
    assert "controlPlane" not in worker
    (uploaded,) = [
        line for line in (await first.sh(f"cat {CALLED}/upload.json")).split("\n---\n") if "certificateKey" in line
    ]
    key = control["controlPlane"]["certificateKey"]
    assert len(key) == 64
    assert json.loads(uploaded)["certificateKey"] == key
    for each in (first, second, third):  # secrets stand in files for root while they are needed, and nowhere else
        assert await each.sh("systemctl is-active kubelet && apt-mark showhold | wc -l") == "active\n3"
        for secret in (*tokens, key):
            assert not any(secret in line for line in each.said)
            assert await each.sh(f"grep -c {secret} {CALLED}/calls || true") == "0"
            assert await second.sh(f"grep -rl {secret} /run /etc /var/log /tmp /root 2> /dev/null || true") == ""


async def given_a_network(everyone: tuple[Server, ...], cilium: list[TaskservRequest]) -> None:
    first = everyone[0]
    assert not await first.is_well(cilium[0])
    assert await first.install(cilium[0])
    assert (
        await asyncio.gather(*(each.install(cilium[n], first) for n, each in enumerate(everyone) if n)) == [False] * 2
    )
    assert not await first.install(cilium[0])
    values = json.loads(await first.sh(f"cat {CALLED}/values.json"))
    assert (values["routingMode"], values["tunnelProtocol"], values["operator"]["replicas"]) == ("tunnel", "vxlan", 2)
    assert (await first.sh(f"grep -c 'upgrade --install cilium {STUBS}/chart' {CALLED}/calls")) == "1"
    assert await first.is_well(cilium[0])


async def taken_apart(
    everyone: tuple[Server, ...], kubernetes: list[TaskservRequest], cilium: list[TaskservRequest]
) -> None:
    first = everyone[0]
    for requests in (cilium, kubernetes):
        for number, each in reversed([*enumerate(everyone)]):
            await each.remove(requests[number], first if number else None)
            assert not await each.remove(requests[number], first if number else None)
    assert "drain two" in await everyone[1].sh(f"cat {CALLED}/calls")
    assert "delete node three" in await everyone[2].sh(f"cat {CALLED}/calls")
    left = "ls -d /etc/kubernetes /var/lib/kubelet /run/batchwright-kubernetes /var/lib/batchwright/[ck]* 2> /dev/null"
    for each in everyone:
        assert (
            await each.sh(f"{left}; apt-mark showhold; dpkg-query -W 'kube*' 2> /dev/null | grep -v '\\t$'; true") == ""
        )


async def interrupted_and_reset(server: Server) -> None:
    """What was interrupted is reset and begun again, and what is not ours never."""
    request = asked("kubernetes", Cluster("one", 0, 1), **REPOSITORY)

    async def calls() -> list[str]:
        return (await server.sh(f"grep -oE 'kubeadm (init|reset)' {CALLED}/calls || true")).splitlines()

    await server.sh("mkdir -p /etc/kubernetes; cd /etc/kubernetes; echo mine | tee admin.conf > kubelet.conf")
    await server.runner.install(request, server.target)
    assert await calls() == []
    assert await server.sh("cat /etc/kubernetes/admin.conf") == "mine"

    await server.sh("rm -r /etc/kubernetes; touch /run/stubs-init-fails")
    outcome = await server.runner.install(request, server.target)
    assert isinstance(outcome, Rejected)
    assert "it does not work" in outcome.fault.message
    await server.sh("rm /run/stubs-init-fails")
    await server.install(request)
    assert await calls() == ["kubeadm init", "kubeadm reset", "kubeadm init"]
    begun = (await documents(server, "kubeadm-init.json"))["InitConfiguration"]
    assert begun["nodeRegistration"]["taints"] == []
