"""The catalogue on Debian 13: each entry is installed twice, checked and removed there, and nothing of it is left."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.real.life import CATALOGUE, Server, Value, asked, live, on_servers
from tests.real.servers import need_image

OF_PACKAGES = ("nginx", "redis", "postgresql", "containerd", "etcd", "haproxy", "prometheus", "node-exporter")
GIVEN: dict[str, dict[str, Value]] = {"haproxy": {"upstreams": ("127.0.0.1:9",), "check_upstreams": False}}


@pytest.mark.long
def test_what_says_that_it_runs_on_debian_13_does(tmp_path: Path) -> None:
    need_image("debian-13")

    async def scenario(server: Server) -> None:
        assert await server.sh(". /etc/os-release; echo $VERSION_ID") == "13"
        for name in OF_PACKAGES:

            async def use(name: str = name) -> None:
                version = CATALOGUE[name].version_on("debian", "13")
                shown = await server.sh("dpkg-query -W -f '${source:Package} ${Version}\\n'")
                packages = [line.split() for line in shown.splitlines()]
                assert any(name in own and version in found for own, found in packages), (name, version)

            await live(server, asked(name, **GIVEN.get(name, {})), use)

        async def nothing() -> None:
            assert await server.sh("id -un alice") == "alice"

        await live(server, asked("users", users=("alice",), sudo=("alice",)), nothing)

    on_servers(tmp_path, ("thirteen",), scenario, network="own", image="debian-13")
