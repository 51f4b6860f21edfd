"""nginx on a real server."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.real.life import Server, asked, live, on_servers


@pytest.mark.parametrize("network", ["own", pytest.param("shared", marks=pytest.mark.long)])
def test_nginx_answers_where_it_was_told_to_and_takes_up_other_settings(tmp_path: Path, network: str) -> None:
    """E11: on the loopback, and on a network of its own."""

    async def scenario(server: Server) -> None:
        request = asked("nginx", port=8080, worker_connections=64)

        async def answers(port: int) -> None:
            reader, writer = await asyncio.open_connection(server.target.address, port)
            writer.write(b"GET / HTTP/1.0\r\n\r\n")
            assert (await reader.readline()).startswith(b"HTTP/1.1 200")
            writer.close()

        async def use() -> None:
            await answers(8080)
            assert "worker_connections 64;" in await server.sh("cat /etc/nginx/nginx.conf")
            await server.sh("systemctl is-enabled nginx")
            await another_port_even_after_a_lost_restart()
            assert await server.install(request)

        async def another_port_even_after_a_lost_restart() -> None:
            assert await server.install(asked("nginx", port=8081))
            await answers(8081)
            await server.sh("touch -d '+2 seconds' /etc/nginx/conf.d/batchwright.conf")
            began = await server.sh("systemctl show -p ExecMainStartTimestampMonotonic nginx")
            assert await server.install(asked("nginx", port=8081))
            assert await server.sh("systemctl show -p ExecMainStartTimestampMonotonic nginx") != began

        await live(server, request, use)

    on_servers(tmp_path, ("web",), scenario, network=network)
