"""F1: a process that dies, or runs out of descriptors, while a store is first made leaves nothing in the way."""

from __future__ import annotations

import asyncio
import random
import resource
import secrets
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from batchwright.errors import StoreCorrupt
from batchwright.journal.base import Journal
from batchwright.journal.sqlite import SqliteJournal
from batchwright.journal.surreal import SurrealJournal
from batchwright.testing.journal_suite import begun, opened

SCRIPT = Path(__file__).with_name("journal_process.py")
BACKENDS: dict[str, Callable[[Path], Journal]] = {
    "sqlite": lambda folder: SqliteJournal(folder / "journal.db"),
    "surreal": SurrealJournal,
}


def opens(backend: str, folder: Path) -> subprocess.Popen[str]:
    place = folder / "journal.db" if backend == "sqlite" else folder
    command = [sys.executable, str(SCRIPT), "open", backend, str(place), "1"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)


async def use(backend: str, folder: Path) -> None:
    async with opened(lambda: BACKENDS[backend](folder)) as journal:
        known = await journal.runs()
        await begun(journal)
        assert sorted([*known, "aaaa"]) == sorted(await journal.runs())


def killed_while_made(backend: str, folder: Path, chance: random.Random, most: float) -> None:
    """From the first thing that appears in the folder, after a random part of a moment."""
    with opens(backend, folder) as process:
        while process.poll() is None and not (folder.exists() and any(folder.iterdir())):
            time.sleep(0.0005)
        time.sleep(chance.random() * most)
        process.kill()
    asyncio.run(use(backend, folder))


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_kill_while_a_store_is_first_made_leaves_nothing_in_the_way(backend: str, tmp_path: Path) -> None:
    """F1: a sample; `make test-long` does it 60 times."""
    chance = random.Random(1)
    for number in range(4):
        killed_while_made(backend, tmp_path / str(number), chance, 0.06)


@pytest.mark.long
@pytest.mark.parametrize("backend", BACKENDS)
def test_sixty_kills_while_a_store_is_first_made(
    backend: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """F1."""
    seed = secrets.randbelow(1_000_000)
    with capsys.disabled():
        print(f"\nkills with seed {seed}")
    chance = random.Random(seed)
    for number in range(60):
        killed_while_made(backend, tmp_path / str(number), chance, 0.12)


@pytest.mark.parametrize("left", [(), ("manifest",), ("manifest", "clog")])
@pytest.mark.parametrize("whole", [False, True])
def test_what_older_versions_left_half_made_is_made_again(left: tuple[str, ...], whole: bool, tmp_path: Path) -> None:
    """F1: as kills of the version before left it; what was there is set aside, not deleted."""
    (tmp_path / "database").mkdir(parents=True)
    for name in left:
        (tmp_path / "database" / name).mkdir()
        end = "manifest" if name == "manifest" else "clog"
        content = b"\0" * 243 if whole and name == "manifest" else b""
        (tmp_path / "database" / name / f"00000000000000000000.{end}").write_bytes(content)
    asyncio.run(use("surreal", tmp_path))


def test_a_store_that_held_something_is_never_made_again(tmp_path: Path) -> None:
    """F1: neither with its mark nor, as an older version left it, without."""
    asyncio.run(use("surreal", tmp_path))
    manifest = tmp_path / "database" / "manifest" / "00000000000000000000.manifest"
    manifest.write_bytes(b"")
    for _ in range(2):
        with pytest.raises(StoreCorrupt):
            asyncio.run(use("surreal", tmp_path))
        assert manifest.read_bytes() == b""
        (tmp_path / "journal.mark").unlink(missing_ok=True)


SCARCE = """
import asyncio, os, resource, sys
from pathlib import Path

sys.path.insert(0, sys.argv[1])
import encodings.idna, msgspec, surrealdb  # before there is nothing left to load them with
import journal_process as p
from batchwright.errors import StoreError

make = p.SqliteJournal if sys.argv[2] == "sqlite" else p.SurrealJournal


async def main(place, few):
    journal = make(Path(place))
    resource.setrlimit(resource.RLIMIT_NOFILE, (few, few))
    try:
        await journal.open()
        await journal.aclose()
    except (StoreError, OSError):
        os._exit(3)
    os._exit(0)


for word in sys.argv[3:]:
    few, place = word.split(":", 1)
    if (child := os.fork()) == 0:
        asyncio.run(main(place, int(few)))
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@pytest.mark.parametrize("backend", BACKENDS)
def test_too_few_descriptors_while_a_store_is_first_made_leave_nothing_in_the_way(backend: str, tmp_path: Path) -> None:
    """F1: with each number of descriptors from too few to enough, in a process that is forked for each."""
    numbers = range(6, 40, 3 if backend == "surreal" else 2)
    places = [f"{few}:{tmp_path / str(few) / ('journal.db' if backend == 'sqlite' else '')}" for few in numbers]
    command = [sys.executable, "-c", SCARCE, str(SCRIPT.parent), backend, *places]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    assert {"0", "3"} <= set(done.stdout.split())
    assert len(done.stdout.split()) == len(numbers)
    for few in numbers:
        asyncio.run(use(backend, tmp_path / str(few)))
    assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] > 40
