"""The SurrealDB store over a server: the whole suite over a real WebSocket, with and without connections that break."""

import asyncio
import hashlib
import itertools
import random
import socket
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from batchwright.errors import (
    StoreBehind,
    StoreDenied,
    StoreError,
    StoreNewer,
    StoreTooLarge,
    StoreUnavailable,
    StoreUnreachable,
    StoreUnsupported,
)
from batchwright.journal.base import Journal
from batchwright.journal.surreal import ServerAddress, SurrealServerJournal, integrity
from batchwright.journal.surreal.server import connection as server_module
from batchwright.model.events import StepStarted
from batchwright.model.run_signal import Signal, SignalKind
from batchwright.testing import (
    journal_archive_suite,
    journal_chain_suite,
    journal_delivery_suite,
    journal_race_suite,
    journal_suite,
    journal_turn_suite,
)
from batchwright.testing.journal_suite import NOW, begun, opened, steps, summary_of
from tests.conformance.surreal_bridge import AFTER, BEFORE, CONFLICT, HANG, PASSWORD, SWALLOW, USER, Bridge
from tests.support.needs import tool


@pytest.fixture
def bridge() -> Iterator[Bridge]:
    with Bridge() as bridge:
        yield bridge


def at(bridge: Bridge) -> ServerAddress:
    return ServerAddress(bridge.url, user=USER, password=lambda: PASSWORD)


SUITES = (journal_suite, journal_chain_suite, journal_turn_suite, journal_delivery_suite, journal_archive_suite)
CASES = [case for suite in SUITES for case in suite.CASES]


@pytest.mark.long  # in `make test` each case runs over a connection that breaks, which asks for all that this one does
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_server(case: journal_suite.Case, bridge: Bridge) -> None:
    asyncio.run(case(lambda: SurrealServerJournal(at(bridge))))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_server_whose_connection_breaks(case: journal_suite.Case, bridge: Bridge) -> None:
    """At every third query, before it arrives or before it is answered, or it meets another: nobody notices."""
    numbers = itertools.count(1)

    def cutter(method: str, text: str) -> str | None:
        number = next(numbers) if method == "query" else 1
        return None if number % 3 else (BEFORE, AFTER, CONFLICT)[number // 3 % 3]

    bridge.cutter = cutter
    asyncio.run(case(lambda: SurrealServerJournal(at(bridge))))
    assert bridge.cuts


def test_what_is_acknowledged_is_there_once_however_often_it_breaks(bridge: Bridge) -> None:
    """Many runs append at once, in groups; each connection breaks at a random message."""
    chance = random.Random(7)

    def cutter(method: str, text: str) -> str | None:
        sides = (BEFORE, AFTER, CONFLICT) if method == "query" else (BEFORE, AFTER)
        return chance.choice(sides) if chance.random() < 0.2 else None

    async def write(journal: Journal, run: str) -> None:
        lease, last = await begun(journal, run), 1
        for size in (1, 3, 1, 1_200, 2, 1, 1):
            last = await journal.append(lease, last, steps(last + 1, size), summary_of(run, steps=last + size))
            await journal.signal(run, Signal(SignalKind.PAUSE, NOW + last))

    async def attempt() -> None:
        runs = [f"run{number}" for number in range(8)]
        async with opened(lambda: SurrealServerJournal(at(bridge))) as journal:
            bridge.cutter = cutter
            await asyncio.gather(*(write(journal, run) for run in runs))
        bridge.cutter = lambda method, text: None
        async with opened(lambda: SurrealServerJournal(at(bridge))) as journal:
            for run in runs:
                assert await journal.read(run, 1) == list(enumerate(steps(2, 1_209), 2))
                assert (await journal.summary(run)).steps == 1_210
                assert [number for number, _ in await journal.signals(run)] == list(range(1, 8))

    asyncio.run(attempt())
    assert bridge.cuts > 20


@pytest.mark.parametrize("case", journal_race_suite.CASES, ids=lambda case: case.__name__)
def test_clients_that_meet(case: journal_suite.Case, bridge: Bridge) -> None:
    asyncio.run(case(lambda: SurrealServerJournal(at(bridge))))


def test_a_server_that_is_started_again_is_found_again(bridge: Bridge) -> None:
    async def attempt() -> None:
        async with opened(lambda: SurrealServerJournal(at(bridge))) as journal:
            lease = await begun(journal)
            with bridge.away():
                appending = asyncio.create_task(journal.append(lease, 1, steps(2, 1)))
                reading = [asyncio.create_task(journal.read("aaaa")) for _ in range(3)]
                await asyncio.wait([appending], timeout=0.01)
                assert not appending.done()
            assert await appending == 2
            assert all(len(events) in (1, 2) for events in await asyncio.gather(*reading))
            assert await journal.read("aaaa", 1) == list(enumerate(steps(2, 1), 2))

    asyncio.run(attempt())


def test_a_journal_can_be_closed_while_its_server_is_away(bridge: Bridge) -> None:
    async def attempt() -> None:
        journal = SurrealServerJournal(at(bridge))
        await journal.open()
        await begun(journal)
        with bridge.away():
            reading = asyncio.create_task(journal.read("aaaa"))
            await asyncio.wait([reading], timeout=0.01)
            await journal.aclose()
            with pytest.raises(StoreUnavailable, match="is not open"):
                await reading

    asyncio.run(attempt())


def refused(server: ServerAddress, error: type[StoreError], match: str) -> str:
    async def attempt() -> None:
        async with opened(lambda: SurrealServerJournal(server)) as journal:
            await begun(journal)

    with pytest.raises(error, match=match) as caught:
        asyncio.run(attempt())
    assert type(caught.value) is error
    assert PASSWORD not in str(caught.value)
    return caught.value.hint


def test_a_server_that_is_not_there_is_told() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        address = f"ws://127.0.0.1:{taken.getsockname()[1]}"
        assert "BATCHWRIGHT_SURREALDB_URL" in refused(
            ServerAddress(address), StoreUnreachable, f"{address} .* cannot be reached"
        )


def test_a_server_that_never_comes_back_is_told(bridge: Bridge, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "RECONNECT_SECONDS", 0.0)

    async def attempt() -> None:
        async with opened(lambda: SurrealServerJournal(at(bridge))) as journal:
            lease = await begun(journal)
            bridge.cutter = lambda method, text: BEFORE
            for call in (journal.append(lease, 1, steps(2, 1)), journal.read("aaaa"), journal.renew(lease, NOW)):
                with pytest.raises(StoreUnreachable, match="cannot be reached"):
                    await call
            bridge.cutter = lambda method, text: None
            assert await journal.append(lease, 1, steps(2, 1)) == 2

    asyncio.run(attempt())


def test_a_server_that_breaks_before_each_answer_is_told(bridge: Bridge) -> None:
    async def attempt() -> None:
        async with opened(lambda: SurrealServerJournal(at(bridge))) as journal:
            lease = await begun(journal)
            bridge.cutter = lambda method, text: BEFORE if "Every append" in text else None
            with pytest.raises(StoreUnavailable, match=r"the connection broke before each answer"):
                await journal.append(lease, 1, steps(2, 1))
            bridge.cutter = lambda method, text: None
            assert await journal.append(lease, 1, steps(2, 1)) == 2

    asyncio.run(attempt())


def test_a_server_that_hangs_is_told(bridge: Bridge, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "ANSWER_SECONDS", 0.05)
    monkeypatch.setattr(server_module, "RECONNECT_SECONDS", 0.0)
    bridge.cutter = lambda method, text: (
        HANG if "SELECT VALUE [record::id(id), last, head, seal, summary] FROM run" in text else None
    )

    async def attempt() -> None:
        async with opened(lambda: SurrealServerJournal(at(bridge))) as journal:
            with pytest.raises(StoreUnreachable, match=r"no answer for 0 s"):
                await journal.summaries()

    asyncio.run(attempt())


def test_wrong_credentials_are_told_and_no_password_is_shown(bridge: Bridge) -> None:
    wrong = ServerAddress(bridge.url, user=USER, password=lambda: PASSWORD + "x")
    assert "auth_level" in refused(wrong, StoreDenied, "rejects the user 'batchwright' .*authentication")
    assert PASSWORD not in repr(wrong)
    refused(
        ServerAddress(bridge.url, user=USER, password=lambda: PASSWORD, level="database"), StoreDenied, "authentication"
    )


def test_a_server_of_another_version_is_told() -> None:
    with Bridge(version="surrealdb-3.0.1") as bridge:
        refused(at(bridge), StoreUnsupported, "is surrealdb-3.0.1; this Batchwright needs SurrealDB 2")


def test_a_server_that_loses_changes_is_refused_before_anything_is_recorded(bridge: Bridge) -> None:
    numbers = itertools.count()
    bridge.cutter = lambda method, text: SWALLOW if "probe" in text and next(numbers) == 50 else None
    assert "rocksdb" in refused(at(bridge), StoreUnsupported, "loses changes when several clients write")
    bridge.cutter = lambda method, text: AFTER if "probe" in text and next(numbers) % 20 == 0 else None
    asyncio.run(empty(at(bridge)))
    assert bridge.cuts > 2


def test_a_newer_store_is_told(bridge: Bridge, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(integrity, "FORMAT", 6)
        asyncio.run(empty(at(bridge)))
    refused(at(bridge), StoreNewer, "format 6; this Batchwright knows formats up to 5")


async def empty(server: ServerAddress) -> None:
    async with opened(lambda: SurrealServerJournal(server)):
        pass


def test_tls_is_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    openssl = tool("openssl", "scripts/tools.sh")
    key, certificate = tmp_path / "key", tmp_path / "certificate"
    request = [openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=127.0.0.1", "-days", "2"]
    names = ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run([*request, *names], check=True, capture_output=True)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate, key)
    with Bridge(tls=tls) as bridge:
        assert "SSL_CERT_FILE" in refused(
            at(bridge), StoreUnreachable, "has no trusted certificate or does not use TLS"
        )
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        asyncio.run(empty(at(bridge)))


def test_an_entry_that_no_server_takes_is_told_before_it_is_sent(bridge: Bridge) -> None:
    async def attempt() -> None:
        async with opened(lambda: SurrealServerJournal(at(bridge))) as journal:
            lease = await begun(journal)
            large = [StepStarted(NOW, "x" * 1_000_000, 1, "t") for _ in range(16)]
            with pytest.raises(StoreTooLarge, match="takes 15 MiB at a time, and this is 15 MiB"):
                await journal.append(lease, 1, large)
            assert await journal.append(lease, 1, large[:14]) == 15
            both = [begun(journal, run) for run in ("bbbb", "cccc")]
            leases = await asyncio.gather(*both)
            ends = await asyncio.gather(*(journal.append(lease, 1, large[:12]) for lease in leases))
            assert ends == [13, 13]  # not in one group

    asyncio.run(attempt())


@pytest.mark.parametrize(
    ("url", "match"),
    [
        ("db.example.org:8000", "is not the address of a SurrealDB server"),
        ("mem://", "is not the address of a SurrealDB server"),
        ("ws://me:secret@db.example.org", "contains a user or a password"),
    ],
)
def test_an_address_that_cannot_be_one_is_told(url: str, match: str) -> None:
    refused(ServerAddress(url), StoreUnavailable, match)


def test_an_address_may_be_written_as_for_http() -> None:
    addresses = [
        ServerAddress(url).address for url in ("http://db:8000/", "https://db/rpc", "ws://db:1/x/rpc", "wss://[::1]:2")
    ]
    assert addresses == ["ws://db:8000", "wss://db", "ws://db:1/x", "wss://[::1]:2"]


def test_a_server_that_was_set_back_is_told_by_what_this_machine_was_told(tmp_path: Path) -> None:
    """D6: a server's data can be an older copy; each machine knows what was acknowledged to it."""

    async def record(bridge: Bridge) -> None:
        async with opened(lambda: SurrealServerJournal(at(bridge), tmp_path)) as journal:
            lease = await begun(journal)
            await journal.append(lease, 1, steps(2, 4))

    async def look(bridge: Bridge) -> None:
        mark = next(tmp_path.glob("surrealdb-server-*.mark"))
        journal = SurrealServerJournal(at(bridge), tmp_path)
        mine = mark.with_name(f"{journal.name}-{hashlib.sha256(str(at(bridge)).encode()).hexdigest()[:12]}.mark")
        if mine != mark:
            mark.rename(mine)  # the other bridge has another port
        with pytest.raises(StoreBehind, match="run aaaa, which had 5 events, is missing"):
            await journal.open()

    with Bridge() as bridge:
        asyncio.run(record(bridge))
    with Bridge() as bridge:
        asyncio.run(look(bridge))
