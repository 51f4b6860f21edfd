"""What the UpCloud adapter makes of problems: against the emulated UpCloud, and against servers that say odd things."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from msgspec.structs import replace

from batchwright.app.system_clock import SystemClock
from batchwright.emulators.server import listening
from batchwright.emulators.upcloud import TOKEN, UpCloudBehaviour, UpCloudEmulator, serve
from batchwright.errors import ProviderUnavailable
from batchwright.model.call_outcome import Created, Going, Gone, Rejected, ServerState, Unknown
from batchwright.model.fault import FaultClass
from batchwright.model.ids import Token, run_id
from batchwright.model.workflow import ServerConfig
from batchwright.operations.server_batch import ServerRequest
from batchwright.providers.upcloud import UpCloud

RUN = run_id(os.urandom(10))
TOK = Token(RUN, "token")
FAST = UpCloudBehaviour(time_scale=0.0005)


@asynccontextmanager
async def opened(url: str, folder: Path, token: str = TOKEN) -> AsyncIterator[UpCloud]:
    settings = {"state_dir": str(folder), "settle_seconds": 0.1, "poll_seconds": 0.01}
    provider = UpCloud("upcloud", SystemClock(), settings, {"UPCLOUD_API_URL": url, "UPCLOUD_TOKEN": token})
    await provider.open()
    try:
        yield provider
    finally:
        await provider.aclose()


def play(
    folder: Path, behaviour: UpCloudBehaviour, scenario: Callable[[UpCloud, UpCloudEmulator], Awaitable[None]]
) -> None:
    """With an open client of a fresh account."""

    async def main() -> None:
        emulator = UpCloudEmulator(behaviour)
        async with serve(emulator) as url, opened(url, folder) as provider:
            await scenario(provider, emulator)

    asyncio.run(main())


async def request(provider: UpCloud, name: str = "web", **fields: Any) -> ServerRequest:
    (answer,) = await provider.resolve([ServerConfig(name, "1xCPU-2GB", "de-fra1", **fields)])
    assert isinstance(answer, ServerRequest), answer
    return answer


async def made(provider: UpCloud) -> str:
    answer = await provider.create(await request(provider), TOK)
    assert isinstance(answer, Created), answer
    return answer.ref


async def gone(provider: UpCloud, ref: str) -> list[object]:
    """Destroy to the end; gives the answers on the way."""
    answers: list[object] = []
    for _ in range(3000):
        answers.append(await provider.destroy(ref))
        if isinstance(answers[-1], Gone):
            return answers
        await asyncio.sleep(0.002)
    raise AssertionError(answers[-5:])


@pytest.mark.parametrize("fault", ["transient", "bad_gateway", "throttle", "lost_answers", "late_commits"])
@pytest.mark.parametrize("seed", range(3))
def test_a_create_is_rejected_only_when_nothing_was_made(fault: str, seed: int, tmp_path: Path) -> None:
    async def scenario(provider: UpCloud, emulator: UpCloudEmulator) -> None:
        answer = await provider.create(await request(provider), TOK)
        held = emulator.account.summary()["servers"]
        if fault == "throttle":
            assert isinstance(answer, Rejected)
            assert (answer.fault.kind, answer.fault.retry_after) == (FaultClass.THROTTLE, 7)
            assert held == []
        else:
            assert isinstance(answer, Unknown)
        assert emulator.account.happened["POST /server"] == 1, "never sent twice"

    play(tmp_path, msgspec.convert({fault: 1.0, "seed": seed, "retry_after": 7}, UpCloudBehaviour), scenario)


@pytest.mark.parametrize(
    ("limits", "kind"),
    [
        ({"cores": 0}, FaultClass.QUOTA),
        ({"capacity": 1}, FaultClass.CAPACITY),
        ({"creating_limit": 1}, FaultClass.THROTTLE),
        ({"read_only": True}, FaultClass.AUTH),
    ],
)
def test_limits_and_rights_are_refusals_of_their_class(
    limits: dict[str, Any], kind: FaultClass, tmp_path: Path
) -> None:
    async def scenario(provider: UpCloud, emulator: UpCloudEmulator) -> None:
        wanted = await request(provider)
        answers = [await provider.create(wanted, TOK), await provider.create(wanted, TOK)]
        refused = [answer for answer in answers if isinstance(answer, Rejected)]
        assert [answer.fault.kind for answer in refused][-1] is kind
        assert len(emulator.account.servers()) == 2 - len(refused)

    play(tmp_path, msgspec.convert(limits, UpCloudBehaviour), scenario)


def test_destroy_stops_first_releases_what_would_stay_and_ends_with_nothing(tmp_path: Path) -> None:
    async def scenario(provider: UpCloud, emulator: UpCloudEmulator) -> None:
        ref = await made(provider)
        while (await provider.describe([ref]))[ref].state is not ServerState.READY:
            await asyncio.sleep(0.002)
        answers = await gone(provider, ref)
        assert answers[0] == Going("it is stopping")
        left = emulator.account.summary()
        assert (left["servers"], left["disks"], left["addresses"]) == ([], [], [])
        assert left["happened"]["DELETE /ip_address/*"] == 1
        assert left["happened"]["DELETE /storage/*"] == 1, "the one that UpCloud left"

    play(tmp_path, replace(FAST, keep_addresses=1.0, left_disks=1.0), scenario)


def test_a_disk_that_lost_its_server_is_found_under_its_run_and_destroyed_by_another_client(tmp_path: Path) -> None:
    async def main() -> None:
        emulator = UpCloudEmulator(replace(FAST, left_disks=1.0))
        async with serve(emulator) as url, opened(url, tmp_path) as first, opened(url, tmp_path) as second:
            ref = await made(first)
            assert [one.ref for one in await second.find(RUN)] == [ref], "a disk in use is no leftover"
            server = emulator.account.all_servers[ref]
            emulator.account.delete(server, with_disks=True)  # as after a kill between the delete and the next look
            (disk,) = await second.find(RUN)
            assert (disk.ref, disk.name, disk.run) == (f"disk:{server.disks[0].uuid}", "disk of web", RUN)
            assert disk.token == "", "whoever looks for a server by its token must not take a disk for it"
            assert (await second.describe([disk.ref]))[disk.ref].run == RUN
            assert await second.destroy(disk.ref) == Gone()
            assert await second.destroy(disk.ref) == Gone()
            assert await second.find(RUN) == []
            assert (await second.describe([disk.ref]))[disk.ref].state is ServerState.GONE

    asyncio.run(main())


def test_what_does_not_carry_our_label_is_left_alone(tmp_path: Path) -> None:
    async def scenario(provider: UpCloud, emulator: UpCloudEmulator) -> None:
        ref = await made(provider)
        server = emulator.account.all_servers[ref]
        server.labels, server.disks[0].labels = [], []
        answer = await provider.destroy(ref)
        assert isinstance(answer, Rejected)
        assert answer.fault.kind is FaultClass.CONFLICT
        assert await provider.find() == []
        server.disks[0].server = ""
        refused = await provider.destroy(f"disk:{server.disks[0].uuid}")
        assert isinstance(refused, Rejected)
        assert emulator.account.server(ref) is server

    play(tmp_path, FAST, scenario)


def test_a_404_is_not_gone_for_a_server_that_was_never_seen(tmp_path: Path) -> None:
    async def scenario(provider: UpCloud, _: UpCloudEmulator) -> None:
        ref = await made(provider)
        other = "00000000-0000-4000-8000-000000000000"
        states = {r: seen.state for r, seen in (await provider.describe([ref, other])).items()}
        assert states[other] is ServerState.NOT_VISIBLE
        await gone(provider, ref)
        assert (await provider.describe([ref]))[ref].state is ServerState.GONE

    play(tmp_path, FAST, scenario)


def test_many_are_described_by_listings_and_not_one_by_one(tmp_path: Path) -> None:
    async def scenario(provider: UpCloud, emulator: UpCloudEmulator) -> None:
        wanted = await request(provider)
        answers = await asyncio.gather(*(provider.create(wanted, Token(RUN, f"t{n}")) for n in range(30)))
        refs = [answer.ref for answer in answers if isinstance(answer, Created)]
        await asyncio.sleep(0)
        while {one.state for one in (await provider.describe(refs)).values()} != {ServerState.READY}:
            await asyncio.sleep(0.01)
        before = emulator.account.happened.copy()
        seen = await provider.describe(refs)
        assert all(one.address for one in seen.values())
        cost = emulator.account.happened - before
        assert cost == {"GET /server": 2}, "one page and an empty one"

    play(tmp_path, FAST, scenario)


def test_a_server_is_reached_with_the_runs_key_and_trusted_by_the_key_it_was_given(tmp_path: Path) -> None:
    async def scenario(provider: UpCloud, emulator: UpCloudEmulator) -> None:
        ref = await made(provider)
        asked = emulator.account.all_servers[ref].asked
        while ref not in await provider.access([ref]):
            await asyncio.sleep(0.002)
        way = (await provider.access([ref]))[ref]
        (known,) = way.host_keys
        assert f'ed25519_public: "{known}"' in asked["user_data"]
        assert "ed25519_private: |" in asked["user_data"]
        private = Path(way.key)
        assert private.stat().st_mode & 0o077 == 0
        assert asked["login_user"]["ssh_keys"]["ssh_key"][0].startswith("ssh-ed25519 ")
        assert (way.user, way.port, way.host) == ("root", 22, (await provider.describe([ref]))[ref].address)
        assert await provider.access(["00000000-0000-4000-8000-000000000000"]) == {}

    play(tmp_path, FAST, scenario)


def test_expired_credentials_are_told_by_health_and_kept_out_of_every_message(tmp_path: Path) -> None:
    async def main() -> None:
        async with serve(UpCloudEmulator()) as url, opened(url, tmp_path, token="ucat_of_last_year") as provider:
            health = await provider.health()
            assert not health.ok
            with pytest.raises(ProviderUnavailable) as caught:
                await provider.account()
            for text in (health.message, str(caught.value), caught.value.hint):
                assert "ucat_of_last_year" not in text
            assert "expired" in caught.value.hint

    asyncio.run(main())


@asynccontextmanager
async def odd(
    answer: Callable[[web.Request], Awaitable[web.StreamResponse]], tls: ssl.SSLContext | None = None
) -> AsyncIterator[str]:
    """A server that answers everything in its own way."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    async with listening(app, tls=tls) as port:
        yield f"{'https://localhost' if tls else 'http://127.0.0.1'}:{port}"


SENT = ServerRequest("web", "1xCPU-2GB", "de-fra1", resolved={"template": "t", "disk_gb": "50", "tier": "maxiops"})


@pytest.mark.parametrize(
    ("status", "text", "outcome"),
    [
        (202, '{"server": {"uuid": "00c0ffee", "password": "hunter2"}}', Created),
        (202, '{"server": {}}', Unknown),
        (202, "<html>", Unknown),
        (202, "", Unknown),
        (200, "[]", Unknown),
        (302, "", Unknown),
        (400, '{"error": {"error_code": "ZONE_INVALID"}}', Rejected),
        (404, '{"error": {"error_code": "STORAGE_NOT_FOUND"}}', Rejected),
        (404, "<html>not found</html>", Unknown),
        (429, "slow down", Rejected),
        (500, '{"error": {"error_code": "INTERNAL_ERROR"}}', Unknown),
        (504, "<html>", Unknown),
    ],
)
def test_each_answer_to_a_create_means_what_it_proves(status: int, text: str, outcome: type, tmp_path: Path) -> None:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(status=status, text=text)

    async def main() -> None:
        async with odd(answer) as url, opened(url, tmp_path) as provider:
            said = await provider.create(SENT, TOK)
            assert isinstance(said, outcome), said
            assert "hunter2" not in repr(said)

    asyncio.run(main())


def test_a_way_that_does_not_exist_is_told_as_what_it_is_and_sends_nothing(tmp_path: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        nobody = unused.getsockname()[1]  # bound, not listening

        async def main() -> None:
            for url, words in (
                (f"http://127.0.0.1:{nobody}", "did not accept the connection"),
                ("https://nosuch.invalid", "cannot be resolved"),
            ):
                async with opened(url, tmp_path) as provider:
                    said = await provider.create(SENT, TOK)
                    assert isinstance(said, Rejected), said
                    assert said.fault.kind is FaultClass.TRANSIENT
                    assert words in said.fault.message
                    assert words in (await provider.health()).message

        asyncio.run(main())


def test_no_encryption_where_it_is_expected_and_a_proxy_that_refuses_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(status=407)

    async def main() -> None:
        async with odd(answer) as url:
            async with opened(url.replace("http:", "https:"), tmp_path) as provider:
                assert "no encrypted connection" in (await provider.health()).message
            monkeypatch.setenv("https_proxy", url)
            async with opened("https://nosuch.invalid", tmp_path) as provider:
                assert "the proxy on the way" in (await provider.health()).message

    asyncio.run(main())


def certificate(folder: Path, days: tuple[int, int]) -> Path:
    """A certificate of this machine that nobody has signed but itself, with its key, good between two days."""
    key, now = Ed25519PrivateKey.generate(), datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    made = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    made = made.not_valid_before(now + timedelta(days[0])).not_valid_after(now + timedelta(days[1]))
    made = made.add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
    made = made.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    both = made.sign(key, None).public_bytes(Encoding.PEM) + key.private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
    )
    path = folder / "both.pem"
    path.write_bytes(both)
    return path


@pytest.mark.parametrize(
    ("days", "trusted", "words"),
    [((-1, 1), False, "is there a proxy in between?"), ((-9, -1), True, "is this machine's clock right?")],
)
def test_a_certificate_that_is_not_trusted_sends_nothing_and_says_why(
    days: tuple[int, int], trusted: bool, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pem = certificate(tmp_path, days)
    if trusted:
        monkeypatch.setattr(aiohttp.connector, "_SSL_CONTEXT_VERIFIED", ssl.create_default_context(cafile=str(pem)))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)

    async def answer(_: web.Request) -> web.Response:
        raise AssertionError("it was sent")

    async def main() -> None:
        async with odd(answer, context) as url, opened(url, tmp_path) as provider:
            said = await provider.create(SENT, TOK)
            assert isinstance(said, Rejected)
            assert words in said.fault.message

    asyncio.run(main())
