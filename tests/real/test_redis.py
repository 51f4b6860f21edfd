"""redis on a real server: reached from others, protected by a password where there is one."""

from __future__ import annotations

from pathlib import Path

import pytest

from batchwright.model.call_outcome import Rejected
from batchwright.model.secret_reference import SecretReference
from batchwright.operations.taskserv_batch import TaskservRequest
from batchwright.taskservs.base import TaskservCall
from tests.real.life import Server, asked, live, on_servers

PASSWORD = "pl4nted \"quote' \\ back\nsave 1 1 \N{SNOWMAN}"


@pytest.mark.parametrize("network", ["own", pytest.param("shared", marks=pytest.mark.long)])
def test_redis_is_reached_at_its_address_protected_and_put_right(tmp_path: Path, network: str) -> None:
    """E11: on an address that is not loopback redis protects itself from everybody else."""

    async def scenario(server: Server, other: Server) -> None:
        request = asked("redis", maxmemory="64mb")

        async def use() -> None:
            knock = f"exec 3<>/dev/tcp/{server.target.address}/6379; echo PING >&3; head -n 1 <&3"
            assert await other.sh(f"bash -c '{knock}'") == "+PONG"
            ask = f"redis-cli -h {server.target.address} config get maxmemory"
            assert (await server.sh(ask)).split() == ["maxmemory", "67108864"]
            await preview_and_repair(server, request)
            await any_password(server)
            await says_why_it_does_not_start(server)
            await server.sh("sed -i '/maxmemory lots/d' /etc/redis/redis.conf")
            assert await server.install(request)

        assert await server.runner.preview(request, server.target)
        assert not all(check.ok for check in await server.runner.check(request, server.target))
        await live(server, request, use)
        await a_login_that_prints_and_asks_is_no_hindrance(server)

    on_servers(tmp_path, ("cache", "other"), scenario, PASSWORD, network=network)


async def preview_and_repair(server: Server, request: TaskservRequest) -> None:
    """What somebody else has changed is seen, and an install puts it right."""
    assert await server.runner.preview(request, server.target) == ()
    await server.sh("systemctl stop redis-server")
    assert not await server.is_well(request)
    assert await server.runner.preview(request, server.target)
    assert await server.install(request)
    assert await server.is_well(request)


async def any_password(server: Server) -> None:
    """E13: what a value holds is quoted for redis.conf, a newline too, and says nothing else to redis."""
    request = asked("redis", password=SecretReference(env="PW"))
    assert await server.install(request)
    assert await server.is_well(request)
    assert "NOAUTH" in await server.sh("redis-cli -h $(hostname -i) config get save")
    assert not any("pl4nted" in line for line in server.said)


async def says_why_it_does_not_start(server: Server) -> None:
    """E13: its words, instead of where they could be read. E11: and a check says what it saw."""
    await server.sh("echo 'maxmemory lots' >> /etc/redis/redis.conf")
    answer = await server.runner.install(asked("redis", maxmemory="1mb"), server.target, TaskservCall("again"))
    assert isinstance(answer, Rejected)
    assert "Restart redis-server" in answer.fault.message
    assert "maxmemory lots" in answer.fault.message
    unit, ping = await server.runner.check(asked("redis"), server.target)
    assert "redis-server is " in unit.output
    assert "FATAL CONFIG FILE ERROR" in unit.output
    assert "Connection refused" in ping.output


NOISE = """
printf 'Welcome'
head -c 3000000 /dev/zero | tr '\\0' x
head -c 3000000 /dev/zero | tr '\\0' y >&2
printf 'Proceed? '
read -r answer
umask 077
export LC_ALL=C LANG=de_DE.UTF-8 PATH=/nowhere:$PATH
"""


async def a_login_that_prints_and_asks_is_no_hindrance(server: Server) -> None:
    """F10: 6 MB without a newline and a question. F8: its umask and its language are not the install's."""
    await server.sh(f"cat > ~/.bashrc <<'END'\n{NOISE}\nEND")
    assert await server.install(asked("redis"))
    assert not await server.install(asked("redis"))
    assert await server.runner.installed(server.target) == ("redis",)
    assert await server.remove(asked("redis"))
    await server.sh("echo 'echo not here; exit 0' > ~/.bashrc")
    answer = await server.runner.install(asked("redis"), server.target, TaskservCall("again", 20.0))
    assert isinstance(answer, Rejected)
    assert "not here" in answer.fault.message
