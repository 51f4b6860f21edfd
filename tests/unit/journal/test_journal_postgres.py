"""The PostgreSQL store on its own: what it refuses and how it says so, TLS, who may make it, what it tells others."""

import asyncio
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace
from tests.support.needs import tool
from tests.support.postgres_server import PASSWORD, USER, PostgresServer, chowned

from batchwright.app.backing_services import PostgresConfig
from batchwright.app.multi_store import Stores
from batchwright.app.settings import Settings
from batchwright.errors import (
    SequenceConflict,
    StoreBehind,
    StoreDenied,
    StoreError,
    StoreNewer,
    StorePackageMissing,
    StoreStandby,
    StoreUnavailable,
    StoreUnreachable,
    StoreUnsupported,
)
from batchwright.journal.postgres import PostgresAddress, connect, notifications
from batchwright.journal.postgres.journal import PostgresJournal
from batchwright.model.secret_reference import SecretReference
from batchwright.testing.journal_suite import begun, created, opened, steps, summary_of

GEHEIM = "geheim-42"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for this machine, with its key beside it."""
    folder = tmp_path_factory.mktemp("tls")
    command = [tool("openssl", "scripts/tools.sh"), "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    names = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run(
        [*command, *names, "-keyout", "key", "-out", "certificate"], check=True, capture_output=True, cwd=folder
    )
    return folder / "certificate"


@pytest.fixture(scope="module")
def server(certificate: Path) -> Iterator[PostgresServer]:
    """A server of our own, whose settings may be changed, with TLS on a port of this machine."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    server = PostgresServer(listen_addresses="127.0.0.1", port=port, ssl="on")
    server.make()
    for name, to in (("certificate", "server.crt"), ("key", "server.key")):
        chowned(server.data / to, certificate.with_name(name).read_bytes())
    server.start()
    yield server
    server.stop()
    server.remove()


def over_tcp(server: PostgresServer, address: PostgresAddress, **changes: str) -> PostgresAddress:
    """The same database over TCP, whose user needs a password."""
    url = f"postgresql://{USER}@127.0.0.1:{server.port}/{address.database}"
    return replace(address, url=url, password=lambda: PASSWORD, sslmode="verify-full", **changes)


def refused(address: PostgresAddress, error: type[StoreError], match: str, marks: Path) -> str:
    """The hint of the error."""

    async def attempt() -> None:
        async with opened(lambda: PostgresJournal(address, marks)):
            pass

    with pytest.raises(error, match=match) as caught:
        asyncio.run(attempt())
    assert type(caught.value) is error
    told = f"{caught.value.message} {caught.value.hint}"
    assert GEHEIM not in told
    assert PASSWORD not in told
    return caught.value.hint


def use(address: PostgresAddress, marks: Path) -> None:
    async def attempt() -> None:
        async with opened(lambda: PostgresJournal(address, marks)) as journal:
            lease = await begun(journal)
            assert await journal.append(lease, 1, steps(2, 3)) == 4

    asyncio.run(attempt())


def test_tls_and_the_password_are_checked(server: PostgresServer, certificate: Path, tmp_path: Path) -> None:
    address = over_tcp(server, server.new_database(), sslrootcert=str(certificate))
    use(address, tmp_path)
    with_password = replace(address, url=address.url.replace("@", f":{GEHEIM}@"), password=None)
    assert "pg_hba.conf" in refused(with_password, StoreDenied, "rejects the user", tmp_path)
    other = certificate.with_name("other")
    other.write_text("-----BEGIN CERTIFICATE-----\nnone\n-----END CERTIFICATE-----\n")
    for root in ("", str(other)):
        told = replace(address, sslrootcert=root)
        assert "sslrootcert" in refused(told, StoreUnreachable, "certificate|SSL", tmp_path)


@pytest.mark.parametrize(
    ("url", "match"),
    [
        (f"postgresql://me:{GEHEIM}@127.0.0.1:1/db", "127.0.0.1:1/db .* cannot be reached"),
        (f"mysql://me:{GEHEIM}@127.0.0.1/db", "not the URL of a PostgreSQL database"),
        (f"postgresql://me:{GEHEIM}@127.0.0.1", "not the URL of a PostgreSQL database"),
        (f"postgresql://me:{GEHEIM}@[::1/db", "not the URL of a PostgreSQL database"),
        (f"postgresql://me@127.0.0.1/db?pasword={GEHEIM}", "its URL cannot be read"),
        (f"postgresql://me:%zz{GEHEIM}@127.0.0.1:1/db", "its URL cannot be read"),
        (f"postgresql://me:a/{GEHEIM}@127.0.0.1:1/db", "not the URL of a PostgreSQL database"),
        (f"postgresql://me:a?{GEHEIM}@127.0.0.1:1/db", "not the URL of a PostgreSQL database"),
        (f"postgresql:/me:{GEHEIM}@127.0.0.1:1/db", "not the URL of a PostgreSQL database"),
        (f"postgresql://me%3a{GEHEIM}%40127.0.0.1:1/db", "not the URL of a PostgreSQL database"),
        (f"postgresql://127.0.0.1:{GEHEIM}/db", "not the URL of a PostgreSQL database"),
    ],
)
def test_an_address_that_leads_nowhere_is_told_without_its_password(url: str, match: str, tmp_path: Path) -> None:
    error = StoreUnavailable if "not the" in match else StoreUnreachable
    assert refused(PostgresAddress(url), error, match, tmp_path)
    assert GEHEIM not in str(PostgresAddress(url))


def test_a_server_elsewhere_has_to_prove_who_it_is() -> None:
    assert PostgresAddress("postgresql://db.example.org/x").parameters()["sslmode"] == "verify-full"
    assert PostgresAddress("postgresql://db1,db2/x?sslmode=require").parameters()["sslmode"] == "require"
    for near in ("postgresql:///x", "postgresql://localhost/x", "postgresql:///x?host=/run/postgresql"):
        assert PostgresAddress(near).parameters()["sslmode"] == "prefer"
    assert PostgresAddress("postgresql://localhost,db2/x").parameters()["sslmode"] == "verify-full"


def test_a_database_that_is_not_fit_is_refused_by_name(server: PostgresServer, tmp_path: Path) -> None:
    fit = server.new_database()
    database = fit.database
    assert "CREATE DATABASE" in refused(
        replace(fit, url=server.url("nowhere")), StoreUnavailable, 'database "nowhere" does not exist', tmp_path
    )
    assert "BATCHWRIGHT_POSTGRES" in refused(
        replace(fit, url=fit.url.replace(USER, "nobody")), StoreDenied, 'role "nobody" does not exist', tmp_path
    )
    with server.connect() as connection:
        connection.execute("CREATE DATABASE latin ENCODING 'LATIN1' TEMPLATE template0")
        connection.execute("CREATE ROLE plain LOGIN")
        connection.execute("ALTER ROLE plain SET synchronous_commit = off")
        plain = replace(fit, url=fit.url.replace(USER, "plain"))
        assert "GRANT CREATE ON DATABASE" in refused(plain, StoreDenied, "permission denied", tmp_path)
        assert "UTF8" in refused(
            replace(fit, url=server.url("latin")), StoreUnsupported, "has the encoding LATIN1", tmp_path
        )
        connection.execute(f"GRANT CREATE ON DATABASE {database} TO plain".encode())
        use(plain, tmp_path)
        first = connect.connect_only(plain)
        assert first.rows("settings")[0][3] == "on"  # though the role's is off
        first.close()
        connection.execute(f"ALTER DATABASE {database} SET default_transaction_read_only = on".encode())
        assert "db1,db2" in refused(fit, StoreStandby, "takes no writes", tmp_path)
        connection.execute(f"ALTER DATABASE {database} RESET default_transaction_read_only".encode())
        connection.execute("ALTER SYSTEM SET fsync = off")
        server.reload()
        assert "fsync = on" in refused(fit, StoreUnsupported, "runs with fsync = off", tmp_path)
        connection.execute("ALTER SYSTEM RESET fsync")
        server.reload()


def test_a_newer_store_and_a_lost_one_are_refused(server: PostgresServer, tmp_path: Path) -> None:
    address = server.new_database()
    use(address, tmp_path)
    with server.connect(address.database) as connection:
        connection.execute("UPDATE batchwright.store SET version = 99")
        refused(address, StoreNewer, "has format 99; this Batchwright knows formats up to", tmp_path)
        connection.execute("DROP SCHEMA batchwright CASCADE")
    refused(address, StoreBehind, "run aaaa, which had 4 events, is missing", tmp_path)
    use(address, tmp_path / "another machine")


def test_an_older_store_is_upgraded_by_whoever_opens_it_first(server: PostgresServer, tmp_path: Path) -> None:
    address = server.new_database()
    use(address, tmp_path)
    with server.connect(address.database) as connection:
        for table in ("permit", "access_token", "audit", "audit_head"):  # which later formats added
            connection.execute(f"DROP TABLE batchwright.{table}".encode())
        connection.execute("UPDATE batchwright.store SET version = 1")

        async def attempt() -> None:
            journals = [PostgresJournal(address, tmp_path) for _ in range(4)]
            await asyncio.gather(*(journal.open() for journal in journals))
            assert len(await journals[0].read("aaaa")) == 4
            await asyncio.gather(*(journal.aclose() for journal in journals))

        asyncio.run(attempt())
        assert connection.execute("SELECT version FROM batchwright.store").fetchall() == [(connect.SCHEMA_VERSION,)]
        assert connection.execute("SELECT count(*) FROM batchwright.permit").fetchall() == [(0,)]


def test_a_store_is_made_once_however_many_open_it(postgres: PostgresAddress, tmp_path: Path) -> None:
    async def attempt() -> None:
        journals = [PostgresJournal(postgres, tmp_path / str(n)) for n in range(8)]
        await asyncio.gather(*(journal.open() for journal in journals))
        await asyncio.gather(*(one.create(created(f"run{n}"), summary_of(f"run{n}")) for n, one in enumerate(journals)))
        assert len(await journals[0].runs()) == 8
        await asyncio.gather(*(journal.aclose() for journal in journals))

    asyncio.run(attempt())


def test_what_a_writer_remembers_wrongly_breaks_no_chain(postgres: PostgresAddress, tmp_path: Path) -> None:
    async def attempt() -> None:
        async with opened(lambda: PostgresJournal(postgres, tmp_path)) as journal:
            assert isinstance(journal, PostgresJournal)
            assert journal._writer is not None
            lease = await begun(journal)
            await journal.append(lease, 1, [])
            known = journal._writer.transactions._known  # type: ignore[attr-defined]
            assert await journal.append(lease, 1, steps(2, 3)) == 4
            older = known["aaaa"]
            assert await journal.append(lease, 4, steps(5, 3)) == 7
            assert known["aaaa"] != older
            known["aaaa"] = older
            assert await journal.append(lease, 7, steps(8, 3)) == 10
            assert await journal.read("aaaa", 1) == list(enumerate(steps(2, 9), 2))
            assert (await journal.summary("aaaa")).steps == summary_of("aaaa").steps

    asyncio.run(attempt())


def test_a_refused_append_breaks_none_that_follow(postgres: PostgresAddress, tmp_path: Path) -> None:
    async def attempt() -> None:
        async with opened(lambda: PostgresJournal(postgres, tmp_path)) as journal:
            lease, last = await begun(journal), 1
            for _ in range(12):
                wrong = [
                    journal.append(lease, last + 7, steps(last, 1)),
                    journal.append(lease, last + 8, steps(last, 2)),
                ]
                refusals = await asyncio.gather(*wrong, return_exceptions=True)
                assert [type(one) for one in refusals] == [SequenceConflict, SequenceConflict]
                last = await journal.append(lease, last, steps(last + 1, 2))
            assert await journal.read("aaaa", 1) == list(enumerate(steps(2, 24), 2))

    asyncio.run(attempt())


def test_a_process_takes_a_bounded_number_of_connections(server: PostgresServer, tmp_path: Path) -> None:
    address = server.new_database()

    async def attempt() -> int:
        async with opened(lambda: PostgresJournal(address, tmp_path)) as journal:
            assert isinstance(journal, PostgresJournal)
            lease, heard = await begun(journal), asyncio.Event()
            journal.watch("aaaa", heard.set)
            await heard.wait()
            await asyncio.gather(journal.append(lease, 1, steps(2, 3)), *(journal.read("aaaa") for _ in range(50)))
            with server.connect() as connection:
                query = "SELECT count(*) FROM pg_stat_activity WHERE datname = %s"
                [[count]] = connection.execute(query, [address.database]).fetchall()
                return int(count)

    assert 3 <= asyncio.run(attempt()) <= 6


def test_others_hear_of_what_was_written(
    server: PostgresServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also once the connection that listens has been cut. What nobody watches any more is not told."""
    monkeypatch.setattr(notifications, "RETRY_SECONDS", 0.01)
    address = server.new_database()

    async def attempt() -> None:
        async with (
            opened(lambda: PostgresJournal(address, tmp_path / "one")) as one,
            opened(lambda: PostgresJournal(address, tmp_path / "two")) as two,
        ):
            assert isinstance(two, PostgresJournal)
            lease, heard, last = await begun(one), asyncio.Event(), 1
            end = two.watch("aaaa", heard.set)
            for cut in (False, True):
                await heard.wait()  # it listens
                heard.clear()
                if cut:
                    with server.connect() as connection:
                        connection.execute(
                            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN%'"
                        )
                    await heard.wait()
                    heard.clear()
                last = await one.append(lease, last, steps(last + 1, 1))
            await heard.wait()
            end()
            heard.clear()
            other = asyncio.Event()
            two.watch("bbbb", other.set)
            await one.append(lease, last, steps(last + 1, 1))
            await begun(one, "bbbb")
            await other.wait()
            assert not heard.is_set()

    asyncio.run(asyncio.wait_for(attempt(), 20))


def test_without_the_package_the_error_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "batchwright.journal.postgres", None)

    async def attempt() -> None:
        await Stores(Settings(tmp_path, postgres=PostgresConfig("postgresql://db/x"))).get("postgres")

    with pytest.raises(StorePackageMissing) as told:
        asyncio.run(attempt())
    assert told.value.hint == "pip install 'batchwright[postgres]'"


def test_a_password_that_is_not_there_is_told(tmp_path: Path) -> None:
    config = PostgresConfig("postgresql://127.0.0.1:1/x", SecretReference(file=str(tmp_path / "none")))

    async def attempt() -> None:
        await Stores(Settings(tmp_path, postgres=config)).get("postgres")

    with pytest.raises(Exception, match="none"):
        asyncio.run(attempt())


@pytest.mark.long
def test_when_the_primary_dies_a_standby_is_found_and_what_it_has_lost_is_told(tmp_path: Path) -> None:
    with PostgresServer() as primary:
        address = primary.new_database()
        standby = PostgresServer()
        standby.replicate(primary)
        standby.start()
        url = f"postgresql://{USER}@/{address.database}?host={primary.folder},{standby.folder}"
        both = PostgresAddress(url)

        async def attempt() -> None:
            alone = PostgresAddress(standby.url(address.database))
            with pytest.raises(StoreStandby):
                await PostgresJournal(alone, tmp_path / "alone").open()
            async with opened(lambda: PostgresJournal(both, tmp_path)) as journal:
                lease = await begun(journal)
                await journal.append(lease, 1, steps(2, 3))
                with primary.connect() as connection:
                    query = "SELECT count(*) FROM pg_stat_replication WHERE replay_lsn >= pg_current_wal_lsn()"
                    while connection.execute(query).fetchone() != (1,):
                        await asyncio.sleep(0.01)
                primary.kill()
                appending = asyncio.create_task(journal.append(lease, 4, steps(5, 2)))
                await asyncio.to_thread(standby.promote)
                assert await appending == 6
                assert await journal.read("aaaa", 1) == list(enumerate(steps(2, 5), 2))

        asyncio.run(attempt())
        with standby.connect(address.database) as connection:  # as if the failover had lost the last append
            connection.execute("DELETE FROM batchwright.page WHERE last = 6")
            connection.execute("UPDATE batchwright.run SET last = 4")
        refused(both, StoreBehind, "run aaaa ends at event 4, and 2 acknowledged after it are missing", tmp_path)
        standby.stop()
        standby.remove()
