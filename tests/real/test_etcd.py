"""etcd on real servers, as a cluster: members join, come back after a loss, and leave."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from batchwright.operations.taskserv_batch import Cluster
from tests.real.life import Server, asked, live, on_servers

CTL = "ETCDCTL_API=3 etcdctl --endpoints http://$(hostname -i):2379"


@pytest.mark.long
@pytest.mark.parametrize("network", ["shared", "own"])
def test_members_join_one_cluster_come_back_and_leave(tmp_path: Path, network: str) -> None:
    """E11: on the loopback, and on a network of its own."""

    async def scenario(first: Server, second: Server, third: Server) -> None:
        parts = [asked("etcd", Cluster("first", number, 3)) for number in range(3)]

        async def members() -> list[str]:
            listed = (await first.sh(f"{CTL} member list")).splitlines()
            return sorted(line.split(", ")[2] for line in listed if ", started, " in line)

        async def join_and_leave() -> None:
            await asyncio.gather(second.install(parts[1], first), third.install(parts[2], first))
            assert await members() == ["one", "three", "two"]
            await first.sh(f"{CTL} put greeting hello")
            assert "hello" in await third.sh(f"{CTL} get greeting")
            assert not await second.install(parts[1], first)
            await third.sh("systemctl stop etcd && rm -rf /var/lib/etcd/default")
            assert await third.install(parts[2], first)
            assert "hello" in await third.sh(f"{CTL} get greeting")
            assert await asyncio.gather(second.remove(parts[1], first), third.remove(parts[2], first)) == [True, True]
            assert await members() == ["one"]

        await live(first, parts[0], join_and_leave)

    on_servers(tmp_path, ("one", "two", "three"), scenario, network=network)
