"""PostgreSQL on a real server, with a database whose owner has a password."""

from __future__ import annotations

import importlib.util
import shlex
from pathlib import Path

import pytest

from batchwright.model.call_outcome import Rejected
from batchwright.model.secret_reference import SecretReference
from batchwright.taskservs.base import TaskservCall
from tests.real.life import CATALOGUE, Server, asked, live, on_servers, traces

# Of each kind: plain, quotes and backslashes, non-ASCII that is prepared, that is prepared away, and that may not be.
# The first two are installed; each is accepted with the verifier that an install would make of it.
PASSWORDS = [
    "planted-secret-4711",
    "a\"b'c\\d $(x) `y`",
    "Gr\u00fc\u00dfe \u2168 \ufb01",
    "a\u00adb\u00a0c",
    "x\u0627\u0661",
    "\u00e9\u0007\u00e9",
]
ENCODING = "cd / && runuser -u postgres -- psql -Atc 'SHOW server_encoding'"


@pytest.mark.long
@pytest.mark.parametrize(("network", "installed"), [("own", 2), ("shared", 6)])
def test_postgresql_is_in_utf8_lets_the_owner_in_and_keeps_the_password_to_itself(
    tmp_path: Path, network: str, installed: int
) -> None:
    """E11: on the loopback, and on a network of its own."""
    passwords = PASSWORDS[:installed]

    async def scenario(server: Server) -> None:
        request = asked("postgresql", port=5433, database="app", owner="shop", password=SecretReference(env="PW"))

        async def query(password: str) -> str:
            login = f"PGPASSWORD={shlex.quote(password)} psql -h {server.target.address} -p 5433 -U shop -d app -Atc"
            return await server.sh(f"{login} 'select current_user, current_database()' 2>&1 || true")

        async def use() -> None:
            planted = passwords[0]
            assert await query(planted) == "shop|app"
            assert "password authentication failed" in await query("wrong")
            assert await server.sh(f"grep -rl {planted} /etc /var/log /var/lib/postgresql /run /root || true") == ""
            await any_password(server)
            while len(passwords) > 1:
                assert not await server.install(request), passwords
                del passwords[0]
                assert await server.install(request), passwords
                assert await query(passwords[0]) == "shop|app"

        before = await traces(server)
        await made_in_utf8(server)
        await live(server, request, use, before)
        assert not any(PASSWORDS[0] in line for line in server.said)

    on_servers(tmp_path, ("db",), scenario, lambda _: passwords[0], network=network)


async def any_password(server: Server) -> None:
    """Each kind is accepted by PostgreSQL with the verifier that an install makes, and no other with that."""
    spec = importlib.util.spec_from_file_location("postgresql_deploy", CATALOGUE.folders["postgresql"] / "deploy.py")
    assert spec is not None
    assert spec.loader is not None
    deploy = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(deploy)
    script = ""
    for number, password in enumerate(PASSWORDS):
        verifier = deploy.scram_verifier(password, b"16 bytes of salt")
        assert [other for other in PASSWORDS if deploy.is_password(other, verifier)] == [password]
        create = f"CREATE ROLE kind{number} LOGIN PASSWORD '{verifier}'"
        script += f"cd / && runuser -u postgres -- psql -q -p 5433 -c {shlex.quote(create)}\n"
        for given in (password, f"{password}x"):
            login = (
                f"PGPASSWORD={shlex.quote(given)} psql -h {server.target.address} -p 5433 -U kind{number} -d postgres"
            )
            script += f"{login} -Atc 'select current_user' 2>/dev/null || echo refused\n"
    lines = [line for number in range(len(PASSWORDS)) for line in (f"kind{number}", "refused")]
    assert (await server.sh(script)).splitlines() == lines


async def made_in_utf8(server: Server) -> None:
    """F8: whatever the language of the server. A cluster that holds nothing is made again, one that was left half-made
    too, and one with data is refused."""
    request = asked("postgresql")
    await server.sh("echo LANG=C > /etc/default/locale; echo LC_ALL=C >> /etc/environment")
    assert await server.install(request)
    assert await server.sh(ENCODING) == "UTF8"
    ascii_ = "pg_dropcluster --stop 15 main; pg_createcluster --locale C --encoding SQL_ASCII 15 main --start"
    await server.sh(ascii_)
    assert await server.sh(ENCODING) == "SQL_ASCII"
    assert await server.install(request)
    assert await server.sh(ENCODING) == "UTF8"
    await server.sh("systemctl stop postgresql@15-main; rm /var/lib/postgresql/15/main/global/pg_control")
    assert await server.install(request)
    assert await server.sh(ENCODING) == "UTF8"
    assert not await server.install(request)
    await server.sh(f"{ascii_}; cd / && runuser -u postgres -- createdb precious")
    answer = await server.runner.install(request, server.target, TaskservCall("again"))
    assert isinstance(answer, Rejected)
    assert "SQL_ASCII" in answer.fault.message
    assert "holds data" in answer.fault.message
    encoding = (await server.runner.check(request, server.target))[-1]
    assert (encoding.name, encoding.ok) == ("encoding", False)
    assert "SQL_ASCII" in encoding.output
    await server.sh("cd / && runuser -u postgres -- psql precious -Atc 'SELECT 1'; pg_dropcluster --stop 15 main")
