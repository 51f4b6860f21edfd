"""PostgreSQL on a real server, with a database whose owner has a password."""

from __future__ import annotations

from pathlib import Path

import pytest

from batchwright.model.secret import Secret
from tests.real.life import Server, asked, live, on_servers

PASSWORD = "planted-secret-4711"


@pytest.mark.parametrize("network", ["shared", "own"])
def test_postgresql_lets_the_owner_in_and_keeps_the_password_to_itself(tmp_path: Path, network: str) -> None:
    """E11: on the loopback, and on a network of its own."""

    async def scenario(server: Server) -> None:
        request = asked("postgresql", port=5433, database="app", owner="shop", password=Secret(env="PW"))

        async def query(password: str) -> str:
            login = f"PGPASSWORD={password} psql -h {server.target.address} -p 5433 -U shop -d app -Atc"
            return await server.sh(f"{login} 'select current_user, current_database()' 2>&1 || true")

        async def use() -> None:
            assert await query(PASSWORD) == "shop|app"
            assert "password authentication failed" in await query("wrong")
            assert await server.sh(f"grep -rl {PASSWORD} /etc /var/log /var/lib/postgresql /run /root || true") == ""

        await live(server, request, use)
        assert not any(PASSWORD in line for line in server.said)

    on_servers(tmp_path, ("db",), scenario, PASSWORD, network=network)
