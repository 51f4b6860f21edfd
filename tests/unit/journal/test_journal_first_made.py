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


@pytest.mark.parametrize("backend", BACKENDS)
def test_too_few_descriptors_while_a_store_is_first_made_leave_nothing_in_the_way(backend: str, tmp_path: Path) -> None:
    """F1: with each number of descriptors from too few to enough."""
    results = set()
    for few in range(6, 40, 3 if backend == "surreal" else 2):
        folder = tmp_path / str(few)
        place = folder / "journal.db" if backend == "sqlite" else folder
        code = (
            "import asyncio, resource, sys; from pathlib import Path\n"
            "sys.path.insert(0, sys.argv[1]); import journal_process as p\n"
            "from batchwright.errors import StoreError; import surrealdb, encodings.idna, msgspec\n"
            "make = p.SqliteJournal if sys.argv[2] == 'sqlite' else p.SurrealJournal\n"
            "async def main():\n"
            "    journal = make(Path(sys.argv[3]))\n"
            "    resource.setrlimit(resource.RLIMIT_NOFILE, (int(sys.argv[4]),) * 2)\n"
            "    try:\n"
            "        await journal.open(); await journal.aclose()\n"
            "    except (StoreError, OSError) as error:\n"
            "        sys.exit(3)\n"
            "asyncio.run(main())\n"
        )
        command = [sys.executable, "-c", code, str(SCRIPT.parent), backend, str(place), str(few)]
        results.add(subprocess.run(command, capture_output=True, timeout=60, check=False).returncode)
        asyncio.run(use(backend, folder))
    assert {0, 3} <= results
    assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] > 40
