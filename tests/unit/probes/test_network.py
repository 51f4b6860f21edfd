"""Looks over real sockets on loopback: what is seen, and what is never contacted."""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import Awaitable, Callable
from functools import partial
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from tests.unit.app.webhook_rig import certified

from batchwright.model.call_outcome import CheckResult, Rejected
from batchwright.model.secret_reference import SecretReference
from batchwright.operations.check import CheckRequest, HttpCheck, Redirects, TcpCheck
from batchwright.probes.base import ProbeContext
from batchwright.probes.http_get import BODY_MOST
from batchwright.probes.network import REDIRECTS_MOST, SHOWN_MOST, NetworkProber
from batchwright.secret_resolver import reveal

OPEN = ProbeContext("web/check", "mark", 10.0)
RESTRICTED = ProbeContext("web/check", "mark", 10.0, restricted=True)
MOMENT = 0.2  # a time-out that a test waits for


@pytest.fixture(autouse=True)
def proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9/")  # nobody listens: what used it would fail


class Web:
    """A server on loopback that answers the n-th request with the n-th answer, then with the last one again."""

    def __init__(self, *answers: bytes, secure: ssl.SSLContext | None = None) -> None:
        self._secure = secure
        self.answers = list(answers)
        self.heads: list[str] = []
        self._served: list[asyncio.Task[None]] = []
        self.port = 0

    def url(self, path: str = "/", host: str = "127.0.0.1") -> str:
        return f"http://{host}:{self.port}{path}"

    async def __aenter__(self) -> Web:
        def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            self._served.append(asyncio.ensure_future(self._serve(reader, writer)))

        self._server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=self._secure)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._served:
            task.cancel()
        await asyncio.gather(*self._served, return_exceptions=True)
        self._served.clear()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            self.heads.append((await reader.readuntil(b"\r\n\r\n")).decode())
            answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
            if answer:
                writer.write(answer.replace(b"PORT", str(self.port).encode()))
                await writer.drain()
            else:
                await reader.read()  # never answers
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the other side has seen enough
        finally:
            writer.close()


def answer(status: str = "200 OK", body: bytes = b"all fine\n", **headers: str) -> bytes:
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n{lines}\r\n".encode() + body


def resolving(*addresses: str) -> Callable[[str, int], Awaitable[Any]]:
    async def resolve(_host: str, _port: int) -> Any:
        return [ip_address(one) for one in addresses]

    return resolve


def prober(*private_hosts: str, resolve: Any = None, seconds: float = 10.0) -> NetworkProber:
    return NetworkProber(private_hosts, os.environ, partial(reveal, environ=os.environ), resolve, seconds)


def seen(
    web: Web,
    make: Callable[[Web], HttpCheck | TcpCheck],
    context: ProbeContext = OPEN,
    using: NetworkProber | None = None,
) -> CheckResult | Rejected:
    """What one look shows."""

    async def look() -> CheckResult | Rejected:
        async with web:
            what = make(web)
            request = CheckRequest("web", **{"tcp" if isinstance(what, TcpCheck) else "http": what})
            return await (using or prober()).probe(request, context)

    return asyncio.run(look())


def words(found: CheckResult | Rejected) -> str:
    assert isinstance(found, CheckResult), found
    assert not found.ok
    return found.output


def test_the_wanted_answer_is_well() -> None:
    web = Web(answer())
    found = seen(web, lambda web: HttpCheck(web.url("/health?full=1"), contains="fine", headers={"Accept": "text/x"}))
    assert found == CheckResult("http", True, "200")
    assert web.heads[0].startswith("GET /health?full=1 HTTP/1.1\r\n")
    assert "Accept: text/x\r\n" in web.heads[0]
    assert "Accept: */*" not in web.heads[0]


def test_another_status_or_text_is_not_and_is_shown() -> None:
    web = Web(answer("503 Busy", b"try\x1b[31m later\n"))
    assert words(seen(web, lambda web: HttpCheck(web.url()))) == "503 instead of 200: try later"
    assert words(seen(Web(answer()), lambda web: HttpCheck(web.url(), contains="ok"))) == '200 without "ok": all fine'
    assert seen(web, lambda web: HttpCheck(web.url(), status=503)).ok  # type: ignore[union-attr]


def test_nobody_listens_or_answers() -> None:
    async def closed() -> int:
        async with Web(b"") as web:
            return web.port

    port = asyncio.run(closed())
    assert words(seen(Web(b""), lambda _: HttpCheck(f"http://127.0.0.1:{port}/"))) == "Connection refused"
    assert words(seen(Web(b""), lambda _: TcpCheck("127.0.0.1", port))) == "127.0.0.1: Connection refused"
    silent = seen(Web(b""), lambda web: HttpCheck(web.url()), using=prober(seconds=MOMENT))
    assert words(silent) == f"no answer within {MOMENT:g} s"
    assert words(seen(Web(b"SSH-2.0-x\r\n\r\n"), lambda web: HttpCheck(web.url())))


def test_a_port_that_accepts_is_well() -> None:
    assert seen(Web(b""), lambda web: TcpCheck("127.0.0.1", web.port)).ok  # type: ignore[union-attr]


def test_a_body_without_an_end_is_read_only_so_far() -> None:
    flood = b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * (BODY_MOST * 3) + b"fine"
    found = words(seen(Web(flood), lambda web: HttpCheck(web.url(), contains="fine")))
    assert found.startswith('200 without "fine": x')
    assert len(found) <= SHOWN_MOST
    late = b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * (BODY_MOST // 2) + b"fine"
    assert seen(Web(late), lambda web: HttpCheck(web.url(), contains="fine")).ok  # type: ignore[union-attr]


def test_secrets_are_sent_and_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEY", "s3cret-value")
    web = Web(answer("401 No", b"no such key: s3cret-value"))
    headers: dict[str, str | SecretReference] = {"Authorization": SecretReference(env="KEY")}
    assert words(seen(web, lambda web: HttpCheck(web.url(), headers=headers))) == "401 instead of 200: no such key: ***"
    assert "Authorization: s3cret-value\r\n" in web.heads[0]


@pytest.mark.parametrize(("value", "why"), [(None, "NO_KEY"), ("a\nHost: b", "Authorization")])
def test_a_secret_that_cannot_be_sent_ends_the_check(
    monkeypatch: pytest.MonkeyPatch, value: str | None, why: str
) -> None:
    if value is not None:
        monkeypatch.setenv("NO_KEY", value)
    headers: dict[str, str | SecretReference] = {"Authorization": SecretReference(env="NO_KEY")}
    web = Web(answer())
    found = seen(web, lambda web: HttpCheck(web.url(), headers=headers))
    assert isinstance(found, Rejected)
    assert why in found.fault.message
    assert "Host: b" not in found.fault.message
    assert web.heads == []


def moved(to: str) -> bytes:
    return answer("302 Found", b"", Location=to)


def test_a_redirect_on_the_same_host_is_followed_unless_it_is_what_is_wanted() -> None:
    web = Web(moved("/other"), answer())
    assert seen(web, lambda web: HttpCheck(web.url(), contains="fine")).ok  # type: ignore[union-attr]
    assert [head.split()[1] for head in web.heads] == ["/", "/other"]
    assert seen(Web(moved("/other")), lambda web: HttpCheck(web.url(), status=302)).ok  # type: ignore[union-attr]
    none = seen(Web(moved("/other")), lambda web: HttpCheck(web.url(), redirects=Redirects.NONE))
    assert words(none) == "302 instead of 200 (/other)"
    endless = Web(moved("/again"))
    assert words(seen(endless, lambda web: HttpCheck(web.url()))) == f"more than {REDIRECTS_MOST} redirects"
    assert len(endless.heads) == REDIRECTS_MOST + 1


def test_one_to_another_host_only_if_asked_and_without_the_headers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEY", "s3cret-value")
    headers: dict[str, str | SecretReference] = {"X-Key": SecretReference(env="KEY")}
    web = Web(moved("http://localhost:PORT/there"))
    found = seen(web, lambda web: HttpCheck(web.url(), headers=headers))
    assert words(found).startswith("302, a redirect to another host: http://localhost:")
    assert len(web.heads) == 1
    web = Web(moved("http://localhost:PORT/there"), answer())
    follow = partial(HttpCheck, headers=headers, redirects=Redirects.ANY)
    assert seen(web, lambda web: follow(web.url()), using=prober(resolve=resolving("127.0.0.1"))).ok  # type: ignore[union-attr]
    assert ["s3cret-value" in head for head in web.heads] == [True, False]
    assert words(seen(Web(moved("file:///etc/passwd")), lambda web: follow(web.url())))


@pytest.mark.parametrize("host", ["127.0.0.1", "db.internal", "[::ffff:127.0.0.1]"])
def test_for_a_client_the_services_own_machine_is_not_looked_at(host: str) -> None:
    web, here = Web(answer()), prober(resolve=resolving("127.0.0.1"))
    for make in (lambda web: HttpCheck(web.url(host=host)), lambda web: TcpCheck(host.strip("[]"), web.port)):
        found = seen(web, make, RESTRICTED, here)
        assert isinstance(found, Rejected)
        assert found.fault.code == "address-not-allowed"
        assert "an address of the machine itself" in found.fault.message
        assert "private_hosts" in found.fault.hint
    assert web.heads == []


@pytest.mark.parametrize("address", ["169.254.169.254", "10.0.0.7", "fd00::1", "168.63.129.16", "0.0.0.0"])
def test_nor_metadata_and_private_addresses(address: str) -> None:
    using = prober(resolve=resolving("93.184.216.34", address))  # one of several is enough
    found = seen(Web(answer()), lambda _: HttpCheck("http://a.example/"), RESTRICTED, using)
    assert isinstance(found, Rejected)
    assert address in found.fault.message


def test_nor_where_a_redirect_leads() -> None:
    web = Web(moved("http://metadata.internal/latest"))
    listed = ProbeContext("web/check", "mark", 10.0, restricted=True, servers=frozenset({"127.0.0.1"}))
    using = prober(resolve=resolving("169.254.169.254"))
    found = seen(web, lambda web: HttpCheck(web.url(), redirects=Redirects.ANY), listed, using)
    assert isinstance(found, Rejected)
    assert "metadata.internal" in found.fault.message


def test_what_the_operator_lists_and_servers_of_the_run_are_looked_at() -> None:
    for using in (prober("127.0.0.0/8"), prober("db.internal", resolve=resolving("127.0.0.1"))):
        host = "127.0.0.1" if using._private_hosts == ("127.0.0.0/8",) else "db.internal"
        assert seen(Web(answer()), lambda web, h=host: HttpCheck(web.url(host=h)), RESTRICTED, using).ok  # type: ignore[misc, union-attr]
    own = ProbeContext("web/check", "mark", 10.0, restricted=True, servers=frozenset({"127.0.0.1"}))
    assert seen(Web(answer()), lambda web: TcpCheck("127.0.0.1", web.port), own).ok  # type: ignore[union-attr]


@pytest.mark.parametrize("host", ["0177.0.0.1", "2130706433", "0x7f.1"])
def test_a_number_that_programs_read_in_several_ways_is_no_host(host: str) -> None:
    web = Web(answer())
    assert words(seen(web, lambda web: TcpCheck(host, web.port), RESTRICTED))
    assert words(seen(web, lambda web: HttpCheck(web.url(host=host)), RESTRICTED))
    assert web.heads == []


@pytest.mark.parametrize("front", ["a.example:of-the-user@", "/"])
def test_a_url_that_a_value_made_unfit_ends_the_check_at_once(front: str) -> None:
    web = Web(answer())
    found = seen(web, lambda web: HttpCheck(f"http://{front}127.0.0.1:{web.port}/"), RESTRICTED)
    assert isinstance(found, Rejected)
    assert found.fault.code == "url-unfit"
    assert "of-the-user" not in found.fault.message
    assert web.heads == []


def test_a_certificate_that_nobody_vouches_for_is_not_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    certificate, key = certified(tmp_path, "a.example")
    secure = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    secure.load_cert_chain(certificate, key)
    web, using = Web(answer(), secure=secure), prober(resolve=resolving("127.0.0.1"))
    found = seen(web, lambda web: HttpCheck(f"https://a.example:{web.port}/"), using=using)
    assert words(found) == "no secure connection: self-signed certificate"
    assert web.heads == []
