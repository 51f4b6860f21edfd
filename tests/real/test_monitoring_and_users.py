"""Prometheus scrapes node exporters, and users log in."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from batchwright.model.call_outcome import Rejected
from batchwright.operations.taskserv_batch import TaskservRequest
from batchwright.taskservs.base import TaskservCall
from tests.real.life import Server, asked, live, on_servers, traces

KEYS = {name: f"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI{name[0].upper() * 43} {name}@laptop" for name in ("alice", "bob")}


@pytest.mark.long
def test_prometheus_scrapes_what_it_is_given(tmp_path: Path) -> None:
    """E11: on networks of their own."""
    on_servers(tmp_path, ("metrics", "node"), monitoring, network="own")


def test_users_are_those_that_are_listed(tmp_path: Path) -> None:
    on_servers(tmp_path, ("node",), users, network="own")


async def monitoring(server: Server, node: Server) -> None:
    """The whole life of both, that of Prometheus within the exporter's."""
    exporter = asked("node-exporter")
    targets = (node.target.address, f"{server.target.address}:9090")
    request = asked("prometheus", targets=targets[:1], scrape_interval=1.0)

    async def started(name: str, on: Server) -> str:
        return await on.sh(f"systemctl show -p MainPID --value {name}")

    async def up(count: int) -> None:
        script = f"curl -s 'http://{server.target.address}:9090/api/v1/query?query=up==1'"
        for _ in range(1_200):
            told = json.loads(await server.sh(script))["data"]["result"]
            if len([one for one in told if one["metric"]["job"] == "nodes"]) == count:
                return
            await asyncio.sleep(0.1)
        raise AssertionError(told)

    async def changed(on: Server, request: TaskservRequest, unit: str, *, restarts: bool) -> None:
        before = await started(unit, on)
        assert await on.install(request)
        assert not await on.install(request), on.said
        assert (await started(unit, on) != before) is restarts

    async def use() -> None:
        await up(1)
        await changed(server, asked("prometheus", targets=targets, scrape_interval=1.0), "prometheus", restarts=False)
        await up(2)
        await changed(server, asked("prometheus", retention="1d"), "prometheus", restarts=True)
        unit = "prometheus-node-exporter"
        await changed(node, asked("node-exporter", collectors_off=("wifi",)), unit, restarts=True)
        assert "no-collector.wifi" in await node.sh(f"tr '\\0' ' ' < /proc/$(pidof {unit})/cmdline")
        assert await node.install(exporter)
        assert await server.install(request)

    await live(node, exporter, lambda: live(server, request, use))


async def users(server: Server) -> None:
    """Made, changed, taken away; and nobody else's."""
    keys = tuple(f"{name} {key}" for name, key in KEYS.items())
    before, passwd = await traces(server), await server.sh("cat /etc/passwd /etc/group")
    both = {"users": ("alice", "bob"), "keys": keys, "system_users": ("shop",)}
    request = asked("users", **both, groups=("alice adm",), sudo=("alice", "bob /usr/bin/id -u"))

    async def use() -> None:
        assert await server.sh("cat ~alice/.ssh/authorized_keys") == KEYS["alice"]
        assert await server.sh("stat -c '%a %U' ~alice/.ssh ~alice/.ssh/authorized_keys") == "700 alice\n600 alice"
        assert "(ALL : ALL) NOPASSWD: ALL" in await server.sh("sudo -l -U alice")  # servers here let nobody use sudo
        assert (await server.sh("sudo -l -U bob | tail -n 1")).strip() == "(ALL : ALL) NOPASSWD: /usr/bin/id -u"
        assert await server.sh("getent passwd shop | cut -d: -f6-; id -nG alice") == (
            "/nonexistent:/usr/sbin/nologin\nalice adm"
        )
        await server.sh("echo intruder >> ~bob/.ssh/authorized_keys")
        await server.sh("runuser -u bob -- sleep 1000 > /dev/null 2>&1 &")
        assert not await server.is_well(asked("users", users=("carol",)))
        without_groups = asked("users", **both, sudo=("alice",))
        assert len(await server.runner.preview(without_groups, server.target)) == 3
        assert await server.install(without_groups)
        assert await server.sh("cat ~bob/.ssh/authorized_keys; id -nG alice") == f"{KEYS['bob']}\nalice"
        assert await server.install(asked("users", users=("alice",), keys=keys[:1]))
        assert await server.sh("ls /home; getent passwd bob shop; ls /etc/sudoers.d/batchwright 2>&1 || true") == (
            "alice\nls: cannot access '/etc/sudoers.d/batchwright': No such file or directory"
        )
        for wrong, why in [
            (asked("users", users=("www-data",)), "not made by Batchwright: www-data"),
            (asked("users", sudo=("dave",)), "`sudo` names users that are not listed: dave"),
        ]:
            refused = await server.runner.install(wrong, server.target, TaskservCall("again"))
            assert isinstance(refused, Rejected)
            assert why in refused.fault.message
        assert await server.install(request)

    await live(server, request, use, before)
    assert await server.sh("cat /etc/passwd /etc/group") == passwd
