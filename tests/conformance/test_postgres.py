"""The PostgreSQL store over a real server: the whole suites, with and without connections that break."""

import asyncio
import contextlib
import random
from functools import partial
from pathlib import Path

import pytest
from msgspec.structs import replace

from batchwright.journal.base import Journal
from batchwright.journal.postgres import PostgresAddress, transactions
from batchwright.journal.postgres.journal import PostgresJournal
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
from tests.support.postgres_proxy import AFTER, BEFORE, Cutter, PostgresProxy

SUITES = (journal_suite, journal_chain_suite, journal_turn_suite, journal_delivery_suite, journal_archive_suite)
CASES = [case for suite in SUITES for case in suite.CASES]


@pytest.fixture(autouse=True)
def _give_up_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transactions, "RECONNECT_SECONDS", 10.0)


@pytest.mark.parametrize("case", journal_race_suite.CASES, ids=lambda case: case.__name__)
def test_clients_that_meet(case: journal_suite.Case, postgres: PostgresAddress, tmp_path: Path) -> None:
    asyncio.run(case(lambda: PostgresJournal(postgres, tmp_path)))


def test_clients_that_meet_again_and_again(postgres: PostgresAddress, tmp_path: Path) -> None:
    """A transaction that met another one leaves a connection that can be used, whatever was sent after the error."""
    [case] = [case for case in journal_race_suite.CASES if "signal" in case.__name__]
    for number in range(6):
        address = replace(postgres, schema=f"n{number}")
        asyncio.run(case(partial(PostgresJournal, address, tmp_path / str(number))))


@pytest.mark.long  # in `make test` each case runs over a connection that breaks, which asks for all that this one does
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_postgres(case: journal_suite.Case, postgres: PostgresAddress, tmp_path: Path) -> None:
    asyncio.run(case(lambda: PostgresJournal(postgres, tmp_path)))


def cutting(seed: str) -> Cutter:
    """Cuts at the beginning and the end of transactions, and at reads, before they arrive or when they are answered."""
    chance = random.Random(seed)

    def cutter(data: bytes) -> str | None:
        hit = any(word in data for word in (b"ISOLATION", b"COMMIT", b"ORDER BY last"))
        return chance.choice((BEFORE, AFTER)) if hit and chance.random() < 0.3 else None

    return cutter


class Proxied(PostgresJournal):
    """Its connections break, though not while it is opened: a store that is not there is told at once."""

    def __init__(self, proxy: PostgresProxy, marks: Path) -> None:
        super().__init__(proxy.address, marks)
        self._proxy = proxy

    async def open(self, *, behind: bool = False) -> None:
        cutter, self._proxy.cutter = self._proxy.cutter, lambda data: None
        await super().open(behind=behind)
        self._proxy.cutter = cutter


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_postgres_whose_connection_breaks(case: journal_suite.Case, postgres: PostgresAddress, tmp_path: Path) -> None:
    """At any message of a transaction, before it arrives or when it has been answered: nobody notices."""
    with PostgresProxy(postgres) as proxy:
        proxy.cutter = cutting(case.__name__)
        asyncio.run(case(lambda: Proxied(proxy, tmp_path)))


def test_what_is_acknowledged_is_there_once_however_often_it_breaks(postgres: PostgresAddress, tmp_path: Path) -> None:
    """Many runs append at once, in groups; each connection breaks at a random message, commits included."""

    async def write(journal: Journal, run: str) -> None:
        lease, last = await begun(journal, run), 1
        for size in (1, 3, 1, 1_200, 2, 1, 1):
            last = await journal.append(lease, last, steps(last + 1, size), summary_of(run, steps=last + size))
            await journal.signal(run, Signal(SignalKind.PAUSE, NOW + last))

    async def attempt(proxy: PostgresProxy) -> None:
        runs = [f"run{number}" for number in range(8)]
        async with opened(lambda: PostgresJournal(proxy.address, tmp_path)) as journal:
            proxy.cutter = cutting("7")
            await asyncio.gather(*(write(journal, run) for run in runs))
            proxy.cutter = lambda data: None
        async with opened(lambda: PostgresJournal(postgres, tmp_path)) as journal:
            for run in runs:
                assert await journal.read(run, 1) == list(enumerate(steps(2, 1_209), 2))
                assert (await journal.summary(run)).steps == 1_210
                assert [number for number, _ in await journal.signals(run)] == list(range(1, 8))

    with PostgresProxy(postgres) as proxy:
        asyncio.run(attempt(proxy))
        assert proxy.cuts > 10


def test_the_audit_trail_has_each_row_once_however_often_it_breaks(postgres: PostgresAddress, tmp_path: Path) -> None:
    """Three services add rows at once, and connections break before and after commits: no fork and no hole."""

    async def write(journal: Journal, name: str) -> None:
        assert isinstance(journal, PostgresJournal)
        for number in range(12):
            await journal.append_audit(f"{name}{number}", b"asked")
            await journal.append_audit(f"{name}{number}a", b"answered", f"{name}{number}")

    async def attempt(proxy: PostgresProxy) -> None:
        async with contextlib.AsyncExitStack() as stack:
            made = [partial(PostgresJournal, proxy.address, tmp_path / name) for name in "abc"]
            journals = [await stack.enter_async_context(opened(one)) for one in made]
            proxy.cutter = cutting("audit")
            await asyncio.gather(*(write(journal, name) for journal, name in zip(journals, "abc", strict=True)))
            proxy.cutter = lambda data: None
        async with opened(lambda: PostgresJournal(postgres, tmp_path)) as journal:
            assert isinstance(journal, PostgresJournal)
            assert await journal.audit_problems() == []
            page = await journal.audit_page(2**40, 1_000)
            assert [one.answer for one in page] == [b"answered"] * 36
            assert len({one.number for one in page}) == 36

    with PostgresProxy(postgres) as proxy:
        asyncio.run(attempt(proxy))
        assert proxy.cuts > 10
