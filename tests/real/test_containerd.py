"""containerd on a real server, with a container in it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.real.life import Server, asked, live, on_servers

# A root file system of one program: no image registry is asked.
RUN = """
set -e
apt-get -q download busybox-static > /dev/null 2>&1 || { apt-get -q update; apt-get -q download busybox-static; }
dpkg-deb -x busybox-static_*.deb /tmp/busybox
mkdir -p /tmp/treefs/bin && cp /tmp/busybox/bin/busybox /tmp/treefs/bin/
timeout 60 ctr run --rm --rootfs /tmp/treefs hello /bin/busybox echo it runs
tar -C /tmp/treefs -c . | ctr images import --snapshotter native - 2> /dev/null || true
ctr run --detach --rootfs /tmp/treefs stays /bin/busybox sleep 3600
"""


@pytest.mark.parametrize("network", ["own", pytest.param("shared", marks=pytest.mark.long)])
def test_containerd_runs_a_container_and_leaves_none(tmp_path: Path, network: str) -> None:
    """E11: on the loopback, and on a network of its own."""

    async def scenario(server: Server) -> None:
        async def use() -> None:
            await server.sh("systemctl is-enabled containerd")
            said = await server.sh(f"cd /tmp && {RUN}")
            assert "it runs" in said
            assert "stays" in await server.sh("ctr tasks ls")

        await live(server, asked("containerd"), use)
        assert await server.sh("ls -A /var/lib/containerd; pgrep busybox || true") == ""

    on_servers(tmp_path, ("box",), scenario, network=network)
