"""The catalogue on Debian 13: each entry is installed twice, checked and removed there, and nothing of it is left."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from batchwright.errors import ProviderUnavailable
from batchwright.providers.local import base_tree
from tests.real.life import CATALOGUE, Server, asked, live, on_servers
from tests.support.needs import missing
from tests.support.sandboxes import need_sandboxes

OF_PACKAGES = ("nginx", "redis", "postgresql", "containerd", "etcd")


@pytest.mark.long
def test_what_says_that_it_runs_on_debian_13_does(tmp_path: Path) -> None:
    need_sandboxes()
    try:
        base_tree.build(os.environ, print, base_tree.release_of("debian-13"))
    except ProviderUnavailable as error:
        missing(f"{error.message}. {error.hint}")

    async def scenario(server: Server) -> None:
        assert await server.sh(". /etc/os-release; echo $VERSION_ID") == "13"
        for name in OF_PACKAGES:

            async def use(name: str = name) -> None:
                version = CATALOGUE[name].version_on("debian", "13")
                shown = await server.sh("dpkg-query -W -f '${source:Package} ${Version}\\n'")
                packages = [line.split() for line in shown.splitlines()]
                assert any(own.startswith(name) and version in found for own, found in packages), (name, version)

            await live(server, asked(name), use)

    on_servers(tmp_path, ("thirteen",), scenario, network="own", image="debian-13")
