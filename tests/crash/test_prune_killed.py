"""A real process is killed while it archives runs or takes them back: nothing is lost, and the next one finishes."""

from __future__ import annotations

import asyncio
import random
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from batchwright.app.multi_store import Stores
from batchwright.app.settings import Settings
from batchwright.app.store_check import check
from batchwright.app.system_clock import SystemClock
from batchwright.journal.environment_state import environment_problems, environment_state
from tests.unit.app.filled_store import filled
from tests.unit.app.test_environment_state import SHOP

SCRIPT = Path(__file__).with_name("prune_process.py")
KILLS = (2, pytest.param(40, marks=pytest.mark.long))
STORES = ("filesystem", pytest.param("surrealdb", marks=pytest.mark.long))


def everything(folder: Path, store: str) -> tuple[dict[str, Any], set[str], Any]:
    """The pages of each run that is here, the runs that are archived, what the environment has; all of it sound."""

    async def work() -> Any:
        async with Stores(Settings(folder)) as stores:
            journal = await stores.get(store)
            rows = await journal.summaries()
            pages = {row.run: await journal.pages(row.run) for row in rows if not row.archive}
            assert await environment_problems(journal) == []
            found = [one async for one in check(stores, SystemClock())]
            assert [one for one in found if one.problems] == []
            gone = {row.run: row.archive for row in rows if row.archive}
            return pages, gone, (await environment_state(journal, SHOP)).resources

    return asyncio.run(work())  # type: ignore[no-any-return]


def process(folder: Path, number: int, *words: str) -> int:
    command = [sys.executable, str(SCRIPT), str(folder), str(number), *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode in (0, -signal.SIGKILL), done.stderr
    return done.returncode


@pytest.mark.parametrize("kills", KILLS)
@pytest.mark.parametrize("store", STORES)
def test_a_killed_prune_and_a_killed_import_lose_nothing(store: str, kills: int, tmp_path: Path) -> None:
    folder, draw = tmp_path / "state", random.Random(f"{store}{kills}")
    filled(folder, store)
    whole, _, has = everything(folder, store)
    died = 0
    for _ in range(kills):
        for attempt in range(100):  # one process after the other, until one comes to its end
            ended = process(folder, draw.randint(1, 14) if attempt < 2 else 0, "prune", "1") == 0
            pages, gone, now = everything(folder, store)
            assert now == has
            assert pages.keys() | gone.keys() == whole.keys()
            assert all(pages[run] == whole[run] for run in pages)
            assert all((folder / "keys" / run).exists() for run in pages)
            if ended:
                break
            died += 1
        assert len(gone) == 8
        assert not [run for run in gone if (folder / "keys" / run).exists()]
        assert not list((folder / "archives").glob(".*"))
        for place in set(gone.values()):
            while process(folder, draw.randint(1, 12), "import", place) != 0:
                died += 1
                pages, gone, now = everything(folder, store)
                assert all(pages[run] == whole[run] for run in pages)
        assert everything(folder, store) == (whole, {}, has)
        for run in whole:
            (folder / "keys" / run).mkdir(exist_ok=True)
        shutil.rmtree(folder / "archives")
    assert died > kills
