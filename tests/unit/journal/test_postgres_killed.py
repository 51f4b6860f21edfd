"""The driver or the PostgreSQL server is killed while events are written: what was acknowledged is there, once."""

import asyncio
import random
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import pytest
from tests.support.postgres_server import PostgresServer
from tests.unit.journal.test_journal_killed import KILLS, SCRIPT, last_of_run

from batchwright.errors import StoreUnreachable
from batchwright.journal.postgres import PostgresAddress
from batchwright.journal.postgres.journal import PostgresJournal
from batchwright.testing.journal_suite import begun


@contextmanager
def appending(address: PostgresAddress, marks: Path) -> Iterator[tuple[subprocess.Popen[str], IO[str]]]:
    command = [sys.executable, str(SCRIPT), "append", "postgres", address.url, "0", str(marks)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process, process.stdout
        finally:
            process.kill()


def told(output: IO[str], lines: int) -> int:
    """The newest of so many acknowledged numbers."""
    return max(int(output.readline()) for _ in range(lines))


@pytest.mark.parametrize("kills", KILLS)
def test_what_was_acknowledged_survives_kill_9_of_the_driver(
    kills: int, postgres: PostgresAddress, tmp_path: Path
) -> None:
    chance, acknowledged = random.Random(20), 0
    for _ in range(kills):
        with appending(postgres, tmp_path) as (process, output):
            acknowledged = max(acknowledged, told(output, chance.randrange(3, 60)))
            process.kill()
            rest = output.read().split("\n")
        acknowledged = max([acknowledged, *map(int, filter(None, rest[:-1]))])
        assert asyncio.run(last_of_run(PostgresJournal(postgres, tmp_path))) >= acknowledged > 1


@pytest.mark.parametrize("kills", [2, pytest.param(20, marks=pytest.mark.long)])
def test_a_driver_goes_on_when_its_server_was_killed_in_the_midst(kills: int, tmp_path: Path) -> None:
    """It is one process that appends all the time; nothing is lost, and nothing is there twice."""
    chance = random.Random(kills)
    with PostgresServer() as server:
        address = server.new_database()
        with appending(address, tmp_path) as (_, output):
            for _ in range(kills):
                acknowledged = told(output, chance.randrange(3, 40))
                server.kill()
                server.start()
                journal = PostgresJournal(address, tmp_path / "other machine")
                assert asyncio.run(last_seen(journal)) >= acknowledged
            acknowledged = told(output, 5)
        assert asyncio.run(last_of_run(PostgresJournal(address, tmp_path))) >= acknowledged


def test_a_journal_can_be_closed_while_its_server_is_away(tmp_path: Path) -> None:
    async def attempt(server: PostgresServer) -> None:
        journal = PostgresJournal(server.new_database(), tmp_path)
        await journal.open()
        await begun(journal)
        server.kill()
        reading = asyncio.create_task(journal.read("aaaa"))
        await asyncio.wait([reading], timeout=0.01)
        await asyncio.wait_for(journal.aclose(), 20)  # far below the time for which a server is looked for
        with pytest.raises(StoreUnreachable):
            await reading

    with PostgresServer() as server:
        asyncio.run(attempt(server))


async def last_seen(journal: PostgresJournal) -> int:
    """The last event, looked at beside the driver."""
    await journal.open()
    last = (await journal.head("aaaa")).seq
    await journal.aclose()
    return last
