"""haproxy on a real server: it balances between those that are healthy, and takes up changes without a restart."""

from __future__ import annotations

from pathlib import Path

import pytest

from batchwright.operations.taskserv_batch import TaskservRequest
from tests.real.life import Server, asked, live, on_servers
from tests.real.test_nginx import APPLICATIONS, answer

MAIN_PROCESS = "systemctl show -p MainPID --value haproxy"


@pytest.mark.parametrize("network", ["own", pytest.param("shared", marks=pytest.mark.long)])
def test_haproxy_balances_between_the_healthy_ones(tmp_path: Path, network: str) -> None:
    """E11: on the loopback, and on a network of its own. The applications run beside it."""

    async def scenario(server: Server) -> None:
        at = server.target.address
        upstreams = {"upstreams": (f"{at}:9001", at), "upstream_port": 9002, "check_interval": 0.2}
        request = asked("haproxy", port=8080, check_path="/", **upstreams)

        async def taken_up(request: TaskservRequest) -> None:
            before = await server.sh(MAIN_PROCESS)
            assert await server.install(request)
            assert not await server.install(request), server.said
            assert await server.sh(MAIN_PROCESS) == before

        async def use() -> None:
            seen = {(await answer(server, 8080)).split()[-1] for _ in range(6)}
            assert seen == {"blue", "green"}
            await server.sh("systemctl stop green; until ! ss -ltn | grep -q :9002; do sleep 0.1; done")
            await taken_up(asked("haproxy", port=8081, check_path="/", **upstreams))
            assert await server.is_well(request) is False  # it asks at the former port
            await server.sh(f"until {up} | grep -q '^1$'; do sleep 0.1; done")
            assert {(await answer(server, 8081)).split()[-1] for _ in range(4)} == {"blue"}
            await taken_up(asked("haproxy", port=8082, mode="tcp", **upstreams))
            assert (await answer(server, 8082)).split()[-1] == "blue"
            await taken_up(asked("haproxy", port=8443, tls="self-signed", **upstreams))
            assert await server.sh("stat -c '%a %U' /etc/haproxy/batchwright.pem") == "600 root"
            assert (await server.sh(f"curl -sk https://{at}:8443/")) == "blue"
            assert await server.install(request)

        up = f"curl -s -o /dev/null -w '%{{http_code}}\\n' http://{at}:8081/haproxy-health | grep -c 200"
        await server.sh(f"address={at}\n{APPLICATIONS}")
        await live(server, request, use)

    on_servers(tmp_path, ("balancer",), scenario, network=network)
