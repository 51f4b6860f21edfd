"""Services claim their shares of an account from one PostgreSQL store."""

from __future__ import annotations

import asyncio
from pathlib import Path

import psycopg
import pytest

from batchwright.app.account_claims import AccountClaims
from batchwright.app.system_clock import SystemClock
from batchwright.engine.limits import CallClass, Lane, Limits
from batchwright.errors import StoreUnreachable
from batchwright.journal.base import AccountClaim
from batchwright.journal.postgres import PostgresAddress
from batchwright.journal.postgres.journal import PostgresJournal
from batchwright.testing.journal_suite import opened

CREATE = CallClass.CREATE


class Service:
    """One service's limits of an account with eight calls at a time and four creates a second."""

    def __init__(self, name: str, journal: PostgresJournal) -> None:
        self.limits, self.clock = Limits(shared=True), SystemClock()
        self.limits.add("cloud", Lane(8, 4.0, 4, account="cloud"))
        self.limits.add("programs", Lane(3))
        self.journal = journal
        self.claims = AccountClaims(self.store, self.limits, self.clock, name)

    async def store(self) -> PostgresJournal:
        return self.journal

    async def ask(self) -> int:
        """What it may begin after it has claimed, wanting some."""
        self.limits.permits(["cloud"], CREATE, self.clock.monotonic())
        await self.claims.claim_all()
        return self.limits.lanes["cloud"].allowed


def test_two_services_share_an_account_and_the_heir_gets_all(postgres: PostgresAddress, tmp_path: Path) -> None:
    async def attempt() -> None:
        async with (
            opened(lambda: PostgresJournal(postgres, tmp_path / "1")) as first,
            opened(lambda: PostgresJournal(postgres, tmp_path / "2")) as second,
        ):
            assert isinstance(first, PostgresJournal)
            assert isinstance(second, PostgresJournal)
            one, two = Service("one", first), Service("two", second)
            now = one.clock.monotonic()
            assert one.limits.permits(["cloud", "programs"], CREATE, now) == {"cloud": 0, "programs": 3}
            assert "other services" in one.limits.words(CREATE, now)["cloud"]
            assert await one.ask() == 8
            for _ in range(6):
                one.limits.take("cloud", CREATE)
            assert await two.ask() == 0  # it is all taken
            assert await one.ask() == 4
            assert one.limits.permits(["cloud"], CREATE, one.clock.monotonic()) == {"cloud": 0}
            assert await two.ask() == 2  # six are in flight
            for _ in range(2):
                one.limits.release("cloud", CREATE)
                two.limits.take("cloud", CREATE)
            assert (await one.ask(), await two.ask()) == (4, 4)
            assert [one.limits.lanes["cloud"].buckets[CREATE].top(now) for one in (one, two)] == [2.0, 2.0]
            with psycopg.connect(postgres.url, autocommit=True) as connection:  # the first one died a while ago
                connection.execute(
                    "UPDATE batchwright.permit SET claimed = now() - INTERVAL '20 s' WHERE process = 'one'"
                )
            assert await two.ask() == 8
            assert one.limits.lanes["programs"].allowed == 3

    asyncio.run(attempt())


def test_without_the_store_nothing_more_begins_once_the_share_has_ended(
    postgres: PostgresAddress, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def attempt() -> None:
        async with opened(lambda: PostgresJournal(postgres, tmp_path)) as journal:
            assert isinstance(journal, PostgresJournal)
            service = Service("one", journal)
            assert await service.ask() == 8
            for _ in range(3):
                service.limits.take("cloud", CREATE)

            async def gone(claim: AccountClaim) -> int:
                raise StoreUnreachable("no answer")

            monkeypatch.setattr(journal, "claim", gone)
            assert await service.ask() == 3  # what the store knows of
            monkeypatch.setattr(service.clock, "monotonic", lambda: 1e9)
            assert await service.ask() == 0
            monkeypatch.undo()
            assert await service.ask() == 8

    asyncio.run(attempt())
