"""nginx and Caddy before the service, set up as docs/reverse-proxies.md says: TLS, below a path, streams, who asked."""

from __future__ import annotations

import http.client
import json
import re
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.support.command_line import PATIENCE, Command
from tests.support.needs import tool
from tests.support.service_in_loop import workflow
from tests.support.service_process import service_process

PAGE = (Path(__file__).parents[2] / "docs" / "reverse-proxies.md").read_text()
RUNS, ROOT = "/v1/workflows/batch", "/batchwright"
CLIENT, STRANGER = "127.0.0.9", "127.0.0.8"  # where requests come from; the proxy itself connects from 127.0.0.1
LOOKS = 600
NGINX = """
daemon off; pid nginx.pid; error_log stderr; events {{}}
http {{
    access_log off; client_body_temp_path body; proxy_temp_path proxy;
    fastcgi_temp_path f; uwsgi_temp_path u; scgi_temp_path s;
    {site}
}}
"""
CADDY = "{{\nadmin off\nauto_https disable_redirects\n}}\n{site}"


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return int(sock.getsockname()[1])


def site(kind: str, folder: Path, port: int, service: str) -> str:
    """The block of the page, with our ports and files."""
    (block,) = re.findall(rf"```{kind}\n(.*?)```", PAGE, re.DOTALL)
    pairs = {
        "127.0.0.1:9090": service.removeprefix("http://"),
        "listen 443": f"listen 127.0.0.1:{port}",
        "/etc/ssl/ops": f"{folder}/ops",
        "ops.example.org {": f"https://localhost:{port} {{\nbind 127.0.0.1\ntls {folder}/ops.pem {folder}/ops.key",
        "ops.example.org": "localhost",
    }
    for before, after in pairs.items():
        block = block.replace(before, after)
    return block


@contextmanager
def proxy(kind: str, folder: Path, service: str) -> Iterator[int]:
    """A real one, with a certificate for localhost; gives its port."""
    port = free_port()
    words = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=localhost"]
    words += [
        "-addext",
        "subjectAltName=DNS:localhost",
        "-keyout",
        str(folder / "ops.key"),
        "-out",
        str(folder / "ops.pem"),
    ]
    subprocess.run([tool("openssl", "scripts/tools.sh"), *words], check=True, capture_output=True)
    config = folder / "proxy.conf"
    config.write_text({"nginx": NGINX, "caddyfile": CADDY}[kind].format(site=site(kind, folder, port, service)))
    command = {
        "nginx": ["nginx", "-p", str(folder), "-c", str(config)],
        "caddyfile": ["caddy", "run", "--adapter", "caddyfile", "--config", str(config)],
    }[kind]
    program = tool(command[0], "scripts/tools.sh")
    with (folder / "proxy.log").open("w") as log:
        started = subprocess.Popen([program, *command[1:]], env={"HOME": str(folder)}, stdout=log, stderr=log)
        try:
            for _ in range(LOOKS):
                assert started.poll() is None, (folder / "proxy.log").read_text()
                with socket.socket() as sock:
                    if sock.connect_ex(("127.0.0.1", port)) == 0:
                        break
                time.sleep(0.05)  # between two looks
            yield port
        finally:
            started.terminate()
            started.wait(PATIENCE)


class Browser:
    """Asks through the proxy, from CLIENT."""

    def __init__(self, port: int, trust: ssl.SSLContext, token: str) -> None:
        self._port, self._trust = port, trust
        self.headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        self.origin = f"https://localhost:{port}"

    def begin(
        self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None
    ) -> tuple[http.client.HTTPSConnection, http.client.HTTPResponse]:
        connection = http.client.HTTPSConnection(
            "localhost", self._port, timeout=PATIENCE, context=self._trust, source_address=(CLIENT, 0)
        )
        sent = None if body is None else json.dumps(body)
        connection.request(method, path, sent, {**(self.headers if headers is None else headers)})
        return connection, connection.getresponse()

    def ask(self, *how: Any, **more: Any) -> tuple[int, Mapping[str, str], bytes]:
        connection, answer = self.begin(*how, **more)
        with closing(connection):
            return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()


@pytest.mark.parametrize("kind", ["nginx", "caddyfile"])
def test_everything_works_below_a_path_and_the_audit_trail_names_who_asked(kind: str, tmp_path: Path) -> None:
    place = tmp_path / ".config" / "batchwright"
    place.mkdir(parents=True)
    (place / "config.toml").write_text('[service]\ntrusted_proxies = ["127.0.0.1"]\n')
    typed = Command(tmp_path, BATCHWRIGHT_STATE_DIR=str(tmp_path / "state"), SSL_CERT_FILE=str(tmp_path / "ops.pem"))
    token = typed("token", "create", "--role", "admin", "--name", "ada").stdout.split()[0]
    with ExitStack() as stack:
        service, _ = stack.enter_context(service_process(tmp_path, "--root-path", ROOT, "--simulate"))
        port = stack.enter_context(proxy(kind, tmp_path, service))
        browser = Browser(port, ssl.create_default_context(cafile=tmp_path / "ops.pem"), token)

        status, headers, _ = browser.ask("GET", ROOT)
        assert (status // 100, headers["location"].endswith("batchwright/")) == (3, True)
        status, _, page = browser.ask("GET", f"{ROOT}/", headers={"Accept": "text/html"})
        assert (status, b"<title>" in page) == (200, True)

        spoofed = {**browser.headers, "X-Forwarded-For": "6.6.6.6"}
        slow = f"{ROOT}{RUNS}/submit?sim=boot_seconds=3600"
        status, headers, body = browser.ask("POST", slow, workflow("shop"), headers=spoofed)
        run = json.loads(body)["run"]
        assert (status, headers["location"]) == (202, run)  # relative, so below the path too

        # the stream says how the run is although it cannot end: nothing waits for a full buffer
        stream = {**browser.headers, "Accept": "text/event-stream"}
        connection, answer = browser.begin("GET", f"{ROOT}{RUNS}/{run}/progress", headers=stream)
        with closing(connection):
            lines = [answer.readline() for _ in range(3)]
        assert b"event: snapshot\n" in lines

        # a browser signs in, and only a page of this service changes something with its cookie
        plain = {"Content-Type": "application/json", "Origin": browser.origin}
        status, headers, _ = browser.ask("POST", f"{ROOT}/session", {"token": token}, headers=plain)
        cookie = headers["set-cookie"]
        assert (status, "; Secure" in cookie, "Path=" in cookie) == (200, True, False)
        with_cookie = {**plain, "Cookie": cookie.partition(";")[0]}
        assert browser.ask("POST", f"{ROOT}{RUNS}/{run}/pause", {}, headers=with_cookie)[0] == 202
        foreign = {**with_cookie, "Origin": "https://example.net"}
        assert browser.ask("POST", f"{ROOT}{RUNS}/{run}/pause", {}, headers=foreign)[0] == 403

        hello = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}
        call = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": hello}
        accept = {**browser.headers, "Accept": "application/json, text/event-stream"}
        status, _, body = browser.ask("POST", f"{ROOT}/mcp", call, headers=accept)
        assert (status, b"batchwright" in body) == (200, True)

        typed.env |= {"BATCHWRIGHT_URL": browser.origin + ROOT, "BATCHWRIGHT_TOKEN": token}
        del typed.env["BATCHWRIGHT_STATE_DIR"]
        assert run in typed("status", run).stdout
        assert typed("open", "--print").stdout.startswith(f"{browser.origin}{ROOT}/#code=")

        # who asks without a proxy may not name another address
        direct = http.client.HTTPConnection(service.removeprefix("http://"), source_address=(STRANGER, 0))
        with closing(direct):
            direct.request("POST", f"{RUNS}/{run}/pause", "{}", {**browser.headers, "X-Forwarded-For": "6.6.6.6"})
            assert direct.getresponse().status in (202, 409)  # it may be paused already
        entries = json.loads(browser.ask("GET", f"{ROOT}/v1/audit")[2])["items"]
        seen = {(entry["what"].split("?")[0].rpartition("/")[2], entry["address"]) for entry in entries}
        assert {("submit", CLIENT), ("pause", CLIENT), ("pause", STRANGER)} <= seen
        assert not any(entry["address"] == "6.6.6.6" for entry in entries)
