"""One message to one receiver, over real sockets on loopback: what receivers do, and where nothing is sent."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import socket
import ssl
import threading
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from batchwright.app.system_clock import SystemClock
from batchwright.app.webhook_request import (
    OutgoingMessage,
    Receiver,
    WebhookSender,
    answer_of,
    signature,
    signing_key,
)
from batchwright.errors import WebhookInvalid
from batchwright.host_lookup import LOOKUPS_MOST
from batchwright.model.delivery import Answer
from batchwright.model.secret_reference import SecretReference
from batchwright.model.webhook import Webhook
from tests.unit.app.webhook_rig import RealReceiver, Talk, certified

MESSAGE = OutgoingMessage("aaaabbbbcccc:7", b'{"type":"run.failed"}')
KEY = bytes(range(32))
MOMENT = 0.2  # a time-out that a test waits for
SIGNATURE = "webhook-signature"


@pytest.fixture(autouse=True)
def secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET", "whsec_" + base64.b64encode(KEY).decode())
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9/")  # nobody listens: whoever used it would fail


def hook(url: str) -> Webhook:
    return Webhook("ci", url, SecretReference(env="SECRET"))


def resolving(*answers: str) -> Callable[[str, int], Awaitable[list[Any]]]:
    """Looks every name up as the next of these, and the last one from then on."""
    left = list(answers)

    async def resolve(_host: str, _port: int) -> list[Any]:
        return [ip_address(one) for one in (left.pop(0) if len(left) > 1 else left[0]).split()]

    return resolve


def sender(*allowed: str, resolve: Any = None, context: Any = None, seconds: float = 10.0) -> WebhookSender:
    return WebhookSender(allowed, SystemClock(), resolve, context, seconds)


def answer_to(receiver: RealReceiver, seconds: float = 10.0) -> Answer:
    async def attempt() -> Answer:
        async with receiver:
            return await sender("127.0.0.1", seconds=seconds).send(Receiver(hook(receiver.url()), False), MESSAGE)

    return asyncio.run(attempt())


def test_a_message_arrives_with_a_signature_that_others_can_verify() -> None:
    receiver = RealReceiver()
    assert answer_to(receiver) == Answer(True, "204")
    [(line, headers, body)] = receiver.requests
    assert line == "POST /hooks?token=x HTTP/1.1"
    assert (headers["host"], headers["content-type"]) == (f"127.0.0.1:{receiver.port}", "application/json")
    assert (headers["webhook-id"], body) == (MESSAGE.id, MESSAGE.body)
    assert abs(int(headers["webhook-timestamp"]) - SystemClock.now()) < 100
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    version, _, given = headers[SIGNATURE].partition(",")
    assert (version, base64.b64decode(given)) == ("v1", hmac.new(KEY, signed, hashlib.sha256).digest())


def test_the_signature_is_that_of_the_reference_library() -> None:
    """The values come from the package standardwebhooks 1.1.0 for Python."""
    key = signing_key("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    body = b'{"test": 2432232314}'
    assert (
        signature(key, "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", body)
        == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    )


@pytest.mark.parametrize("text", ["whsec_", "whsec_AAAA", "hunter2", "whsec_" + "A" * 200, "whsec_!!!!" + "A" * 32])
def test_a_secret_that_cannot_sign_is_said_and_not_shown(text: str) -> None:
    with pytest.raises(WebhookInvalid, match="24 to 64 bytes in base64") as told:
        signing_key(text)
    assert text.removeprefix("whsec_") not in told.value.message or text == "whsec_"


def test_a_secret_without_its_prefix_is_taken_too() -> None:
    assert signing_key(base64.b64encode(KEY).decode() + "\n") == KEY


def test_a_missing_secret_is_the_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SECRET")
    receiver = RealReceiver()
    assert answer_to(receiver).words == "the variable SECRET is not set"
    assert receiver.requests == []


async def hang(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    await reader.read()


async def drip(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    for byte in b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 10_000:
        writer.write(bytes([byte]))
        await writer.drain()
        await asyncio.sleep(MOMENT / 50)


async def slow_body(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\nfirst")
    await writer.drain()
    await reader.read()  # the rest never comes


async def megabytes(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10000000\r\n\r\n")
    for _ in range(100):
        writer.write(bytes(100_000))
        await writer.drain()


async def endless_head(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\n")
    for _ in range(1000):
        writer.write(b"x-header: " + b"y" * 10_000 + b"\r\n")
        await writer.drain()


async def close_early(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-")
    await writer.drain()


@pytest.mark.parametrize(
    ("talk", "delivered", "words"),
    [
        (hang, False, f"no answer within {MOMENT:g} s"),
        (drip, False, f"no answer within {MOMENT:g} s"),
        (slow_body, True, "200"),
        (megabytes, True, "200"),
        (endless_head, False, "the head of the answer has more than 16,384 bytes"),
        (close_early, False, "the connection was closed before an answer came"),
    ],
)
def test_what_a_receiver_may_do_to_the_connection(talk: Talk, delivered: bool, words: str) -> None:
    seconds = MOMENT if talk in (hang, drip) else 10.0
    answer = answer_to(RealReceiver(talk=talk), seconds)
    assert (answer.delivered, answer.words) == (delivered, words)


@pytest.mark.parametrize(
    ("head", "answer"),
    [
        (b"200 OK", Answer(True, "200")),
        (b"202", Answer(True, "202")),
        (b"500 Oops", Answer(False, "500")),
        (b"404 Not Found", Answer(False, "404")),
        (b"410 Gone", Answer(False, "410: the receiver wants no more", gone=True)),
        (b"302 Found\r\nLocation: http://169.254.169.254/", Answer(False, "302: redirects are not followed")),
        (b"429 Slow\r\nRetry-After: 120", Answer(False, "429", retry_after=120.0)),
        (b"503 No\r\nretry-after:7", Answer(False, "503", retry_after=7.0)),
        (b"503 No\r\nRetry-After: soon", Answer(False, "503")),
        (b"503 No\r\nRetry-After: -5", Answer(False, "503")),
        (
            b"500 No\r\nContent-Length: 0\r\n\r\nHTTP/1.1 200 OK",
            Answer(False, "500"),
        ),  # answers twice: the first counts
        (b"200 OK\r\nContent-Length: 0\r\n\r\nHTTP/1.1 500 No", Answer(True, "200")),
        (b"103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 204 Done", Answer(True, "204")),
        (b"103 Hints\r\n\r\n" + b"HTTP/1.1 103 Hints\r\n\r\n" * 9, Answer(False, "no final answer came")),
    ],
)
def test_what_an_answer_means(head: bytes, answer: Answer) -> None:
    receiver = RealReceiver(b"HTTP/1.1 " + head + b"\r\n\r\n")
    assert answer_to(receiver) == answer
    assert len(receiver.requests) == 1  # whatever it says, one request is one request


def test_what_is_not_http_is_no_answer() -> None:
    assert answer_to(RealReceiver(b"SSH-2.0-OpenSSH_9.6\r\n\r\n")).words == "the answer is not HTTP"


def test_a_date_to_come_back_at_is_understood() -> None:
    now = datetime(2026, 7, 30, 10, 0, tzinfo=UTC)
    later = (now + timedelta(seconds=90)).strftime("%a, %d %b %Y %H:%M:%S GMT")
    head = f"HTTP/1.1 503 No\r\nRetry-After: {later}\r\n\r\n".encode()
    assert answer_of(503, head, now.timestamp()).retry_after == 90.0
    assert answer_of(503, head, now.timestamp() + 900).retry_after == 0.0


def test_nobody_listens() -> None:
    async def attempt() -> Answer:
        async with RealReceiver() as receiver:
            url = receiver.url()
        return await sender("127.0.0.1").send(Receiver(hook(url), False), MESSAGE)

    answer = asyncio.run(attempt())
    assert not answer.delivered
    assert answer.words == "Connection refused"


@pytest.mark.parametrize(
    ("url", "addresses", "words"),
    [
        ("https://127.0.0.1/", "", "not sent: 127.0.0.1 is 127.0.0.1, an address of the machine itself"),
        ("https://[::ffff:10.1.2.3]/", "", "not sent: ::ffff:10.1.2.3 is ::ffff:a01:203, a private address"),
        ("https://ci.example/", "10.0.0.1", "not sent: ci.example is 10.0.0.1, a private address"),
        ("https://ci.example/", "169.254.169.254", "is 169.254.169.254, a link-local address"),
        ("https://ci.example/", "93.184.215.14 127.0.0.1", "is 127.0.0.1, an address of the machine itself"),
        ("http://ci.example/", "93.184.215.14", "not sent: its URL begins with http://"),
        ("https://0x7f.1/", "", "0x7f.1 is neither a host name nor an address"),
    ],
)
def test_where_the_receiver_of_a_workflow_file_may_not_be(url: str, addresses: str, words: str) -> None:
    resolve = resolving(addresses) if addresses else None
    answer = asyncio.run(sender(resolve=resolve).send(Receiver(hook(url), False), MESSAGE))
    assert not answer.delivered
    assert words in answer.words


def test_a_name_that_changes_its_address_is_checked_each_time_and_connected_to_as_checked() -> None:
    """DNS rebinding: public when the file is checked, private when the message is sent."""

    async def attempt() -> None:
        async with RealReceiver() as receiver:
            url = receiver.url(host="ci.example")
            rebinding = sender("93.184.215.14", resolve=resolving("127.0.0.1"))
            answer = await rebinding.send(Receiver(hook(url), False), MESSAGE)
            assert answer.words == "not sent: ci.example is 127.0.0.1, an address of the machine itself"
            assert receiver.requests == []
            listed = sender("ci.example", resolve=resolving("127.0.0.1"))
            assert (await listed.send(Receiver(hook(url), False), MESSAGE)).delivered
            [(_, headers, _)] = receiver.requests
            assert headers["host"] == f"ci.example:{receiver.port}"

    asyncio.run(attempt())


def test_the_operators_own_webhook_may_be_anywhere() -> None:
    async def attempt() -> None:
        async with RealReceiver() as receiver:
            own = Receiver(hook(receiver.url()), trusted=True)
            assert (await sender().send(own, MESSAGE)).delivered
            foreign = replace(own, trusted=False)
            assert "the machine itself" in (await sender().send(foreign, MESSAGE)).words
        assert len(receiver.requests) == 1

    asyncio.run(attempt())


def test_the_next_address_is_tried_where_one_does_not_answer() -> None:
    async def attempt() -> None:
        async with RealReceiver() as receiver:
            both = sender("ci.example", resolve=resolving("127.9.9.9 127.0.0.1"))
            url = receiver.url(host="ci.example")
            assert (await both.send(Receiver(hook(url), False), MESSAGE)).delivered

    asyncio.run(attempt())


def test_names_are_looked_up_by_the_system() -> None:
    async def attempt() -> None:
        async with RealReceiver() as receiver:
            url = receiver.url(host="localhost")
            assert "the machine itself" in (await sender().send(Receiver(hook(url), False), MESSAGE)).words
            assert (await sender("localhost").send(Receiver(hook(url), False), MESSAGE)).delivered

    asyncio.run(attempt())


def test_a_name_that_nobody_knows(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: object, **__: object) -> Any:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    answer = asyncio.run(sender().send(Receiver(hook("https://nobody.example/"), False), MESSAGE))
    assert answer.words == "nobody.example cannot be looked up: Name or service not known"


def test_lookups_that_hang_hold_nothing_up_and_are_few(monkeypatch: pytest.MonkeyPatch) -> None:
    answered = threading.Event()

    def never(*_: object, **__: object) -> Any:
        answered.wait(60)
        return []

    async def attempt() -> list[str]:
        sending = sender(seconds=MOMENT)
        hooks = [Receiver(hook(f"https://host{number}.example/"), False) for number in range(LOOKUPS_MOST + 1)]
        answers = await asyncio.gather(*(sending.send(one, MESSAGE) for one in hooks))
        return [one.words for one in answers]

    monkeypatch.setattr(socket, "getaddrinfo", never)
    words = asyncio.run(attempt())
    answered.set()
    assert words.count(f"no answer within {MOMENT:g} s") == LOOKUPS_MOST
    [refused] = [one for one in words if "was not looked up" in one]
    assert refused.endswith(f"was not looked up: {LOOKUPS_MOST} other lookups have no answer yet")


def test_a_certificate_is_verified(tmp_path: Path) -> None:
    certificate, key = certified(tmp_path, "ci.example")

    async def attempt() -> None:
        served = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        served.load_cert_chain(certificate, key)
        receiver = RealReceiver()
        server = await asyncio.start_server(receiver._serve, "127.0.0.1", 0, ssl=served)
        async with server:
            port = server.sockets[0].getsockname()[1]
            known = ssl.create_default_context(cafile=str(certificate))
            for host, context, words in [
                ("ci.example", None, "no secure connection: self-signed certificate"),
                ("other.example", known, "no secure connection: Hostname mismatch"),
                ("ci.example", known, "204"),
            ]:
                sending = sender(host, resolve=resolving("127.0.0.1"), context=context)
                url = f"https://{host}:{port}/"
                answer = await sending.send(Receiver(hook(url), False), MESSAGE)
                assert answer.words.startswith(words)
                assert answer.delivered is (words == "204")
        assert len(receiver.requests) == 1

    asyncio.run(attempt())
