"""nginx on real servers: a site, a reverse proxy, TLS; and what each change of a variable makes it do."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import asyncssh
import pytest

from batchwright.model.call_outcome import Rejected
from batchwright.model.secret_reference import SecretReference
from batchwright.operations.taskserv_batch import TaskservRequest
from batchwright.taskservs.base import TaskservCall
from batchwright.taskservs.certificates import Certificate, self_signed
from tests.real.life import Server, asked, live, on_servers

# Two applications on one server, which say who they are
APPLICATIONS = """
for name in blue green; do
    mkdir -p /srv/$name && echo "$name" > /srv/$name/index.html
done
systemd-run -q --unit blue python3 -m http.server --bind "$address" --directory /srv/blue 9001
systemd-run -q --unit green python3 -m http.server --bind "$address" --directory /srv/green 9002
until ss -ltn | grep -q :9001 && ss -ltn | grep -q :9002; do sleep 0.1; done
"""
MAIN_PROCESS = "systemctl show -p MainPID --value nginx"


async def answer(server: Server, port: int, path: str = "/", host: str = "x") -> str:
    """The whole answer to a request."""
    reader, writer = await asyncio.open_connection(server.target.address, port)
    writer.write(f"GET {path} HTTP/1.0\r\nHost: {host}\r\n\r\n".encode())
    text = (await reader.read()).decode()
    writer.close()
    return text


async def taken_up(server: Server, request: TaskservRequest) -> None:
    """An install that changes something, after which the same main process runs, with new workers."""
    before = await server.sh(MAIN_PROCESS)
    assert await server.install(request)
    assert not await server.install(request), server.said
    assert await server.is_well(request)
    assert await server.sh(MAIN_PROCESS) == before


@pytest.mark.long
def test_a_look_that_finds_nothing_to_do_is_one_login_and_three_commands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is prepared, looked at, and checked and marked."""
    done: list[str] = []

    def counted(word: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def count(*given: Any, **named: Any) -> Any:
            done.append(word)
            return call(*given, **named)

        return count

    async def scenario(server: Server) -> None:
        assert await server.install(asked("nginx", port=8080))
        done.clear()
        assert not await server.install(asked("nginx", port=8080)), server.said
        assert done == ["login", "command", "command", "command"]

    monkeypatch.setattr(asyncssh, "connect", counted("login", asyncssh.connect))
    command = asyncssh.SSHClientConnection.create_process
    monkeypatch.setattr(asyncssh.SSHClientConnection, "create_process", counted("command", command))
    on_servers(tmp_path, ("web",), scenario)


@pytest.mark.long
@pytest.mark.parametrize("network", ["own", "shared"])
def test_nginx_serves_passes_on_and_takes_up_changes_without_a_restart(tmp_path: Path, network: str) -> None:
    """E11: on the loopback, and on a network of its own."""
    files = self_signed(["shop.example.org"])
    secrets = {"CERTIFICATE": files.chain, "KEY": files.key}

    async def scenario(server: Server, app: Server) -> None:
        offered = (await server.sh("apt-cache madison nginx | awk '{ print $3 }'")).split()
        request = asked("nginx", port=8080, worker_connections=64, package_version=offered[-1])

        async def use() -> None:
            assert (await answer(server, 8080)).startswith("HTTP/1.1 200")
            assert "worker_connections 64;" in await server.sh("cat /etc/nginx/nginx.conf")
            await server.sh("systemctl is-enabled nginx")
            await chosen_versions(server, offered)
            await taken_up(server, asked("nginx", port=8081))
            assert (await answer(server, 8081)).startswith("HTTP/1.1 200")
            await a_lost_reload_and_a_refused_one(server)
            await passes_on(server, app)
            await speaks_tls(server, files)
            assert await server.install(request)

        await live(server, request, use)

    on_servers(tmp_path, ("web", "app"), scenario, lambda reference: secrets[reference.env], network=network)


async def chosen_versions(server: Server, offered: list[str]) -> None:
    """The version that is asked for runs; one that is not there is refused with those that are."""
    for version in offered:
        await server.install(asked("nginx", port=8080, worker_connections=64, package_version=version))
        assert await server.sh("dpkg-query -W -f '${Version}' nginx") == version
        assert "deleted" not in await server.sh(f"readlink /proc/$({MAIN_PROCESS})/exe")
    request = asked("nginx", port=8080, worker_connections=64, package_version="9.9")
    refused = await server.runner.install(request, server.target, TaskservCall("again"))
    assert isinstance(refused, Rejected)
    assert f"nginx 9.9 is not among what the server's sources have: {' '.join(offered)}" in refused.fault.message


async def a_lost_reload_and_a_refused_one(server: Server) -> None:
    """What a kill left undone is done; a reload that nginx does not take up fails, and again."""
    at = "/etc/nginx/conf.d/batchwright.conf"
    await server.sh(f"sed -i s/8081/8082/ {at}; echo reload > /run/batchwright-nginx.changed")
    await taken_up(server, asked("nginx", port=8082))
    await server.sh(f"systemd-run -q --unit taker python3 -m http.server --bind {server.target.address} 8083")
    await server.sh("until ss -ltn | grep -q :8083; do sleep 0.1; done")
    for _ in range(2):
        refused = await server.runner.install(asked("nginx", port=8083), server.target, TaskservCall("again"))
        assert isinstance(refused, Rejected)
        assert "Address already in use" in refused.fault.message
    assert (await answer(server, 8082)).startswith("HTTP/1.1 200")
    await server.sh("systemctl stop taker")
    assert await server.install(asked("nginx", port=8083))
    assert (await answer(server, 8083)).startswith("HTTP/1.1 200")


async def passes_on(server: Server, app: Server) -> None:
    """To both, then to the one that is left; and by host name to one, or to a folder."""
    upstreams = (f"{app.target.address}:9001", app.target.address)
    proxy = {"port": 8080, "upstreams": upstreams, "upstream_port": 9002, "max_fails": 1}
    await app.sh(f"address={app.target.address}\n{APPLICATIONS}")
    await server.sh("mkdir -p /srv/static && echo static > /srv/static/index.html")
    sites = ("static.test -> /srv/static", f"blue.test -> {app.target.address}:9001")
    request = asked("nginx", **proxy, sites=sites)
    await taken_up(server, request)
    assert {(await answer(server, 8080)).split()[-1] for _ in range(8)} == {"blue", "green"}
    assert (await answer(server, 8080, host="static.test")).split()[-1] == "static"
    assert {(await answer(server, 8080, host="blue.test")).split()[-1] for _ in range(4)} == {"blue"}
    await app.sh("systemctl stop green")
    assert {(await answer(server, 8080)).split()[-1] for _ in range(4)} == {"blue"}
    assert await server.is_well(request)
    await app.sh("systemctl stop blue")
    assert (await answer(server, 8080)).startswith("HTTP/1.1 502")
    checks = await server.runner.check(request, server.target)
    assert [check.name for check in checks if not check.ok] == ["upstreams"]
    await taken_up(server, asked("nginx", **proxy, check_upstreams=False))
    await server.sh("rm -r /srv/static")


async def speaks_tls(server: Server, files: Certificate) -> None:
    """With a certificate of its own, with one that is given, and no more."""
    pem = "/etc/nginx/batchwright.pem"
    own = {"port": 8080, "tls": "self-signed", "tls_port": 8443, "server_names": ("shop.example.org",)}
    await taken_up(server, asked("nginx", **own))
    assert "https://x:8443/" in await answer(server, 8080)
    trusts = ssl.create_default_context(cadata=(await server.sh(f"cat {pem}")).partition("-----BEGIN PRIV")[0])
    reader, writer = await asyncio.open_connection(
        server.target.address, 8443, ssl=trusts, server_hostname="shop.example.org"
    )
    writer.write(b"GET / HTTP/1.0\r\n\r\n")
    assert (await reader.readline()).startswith(b"HTTP/1.1 200")
    writer.close()
    given = {"certificate": SecretReference(env="CERTIFICATE"), "key": SecretReference(env="KEY")}
    await taken_up(server, asked("nginx", **{**own, "tls": "files"}, **given))
    assert await server.sh(f"cat {pem}") == files.pem.strip()
    assert await server.sh(f"stat -c '%a %U' {pem}; find / -xdev -name '*.batchwright'") == "600 root"
    await taken_up(server, asked("nginx", port=8080))
    assert await server.sh(f"ls {pem} 2>&1 || true") != pem
    assert not any("PRIVATE KEY" in line for line in server.said)
