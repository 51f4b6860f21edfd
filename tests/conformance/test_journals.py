"""Every shipped journal passes the shipped suite."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from batchwright.journal.base import Journal
from batchwright.journal.memory import MemoryJournal
from batchwright.journal.sqlite import SqliteJournal
from batchwright.journal.surreal import SurrealJournal
from batchwright.testing import (
    journal_archive_suite,
    journal_chain_suite,
    journal_delivery_suite,
    journal_race_suite,
    journal_suite,
    journal_turn_suite,
)
from batchwright.testing.virtual_clock import run_virtual

SUITES = (journal_suite, journal_chain_suite, journal_turn_suite, journal_delivery_suite, journal_archive_suite)
CASES = [case for suite in SUITES for case in suite.CASES]


def sqlite(folder: Path) -> Callable[[], Journal]:
    return lambda: SqliteJournal(folder / "state" / "journal.db")


def surreal(folder: Path) -> Callable[[], Journal]:
    return lambda: SurrealJournal(folder / "state" / "surreal")


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_memory(case: journal_suite.Case) -> None:
    journal = MemoryJournal()
    run_virtual(case(lambda: journal))


@pytest.mark.parametrize("case", [*CASES, *journal_race_suite.CASES], ids=lambda case: case.__name__)
def test_sqlite(case: journal_suite.Case, tmp_path: Path) -> None:
    asyncio.run(case(sqlite(tmp_path)))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_surreal(case: journal_suite.Case, tmp_path: Path) -> None:
    asyncio.run(case(surreal(tmp_path)))
