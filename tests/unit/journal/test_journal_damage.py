"""D6: damage to the files of a store is reported or changes nothing; no acknowledged event is lost silently."""

from __future__ import annotations

import asyncio
import random
import secrets
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from batchwright.errors import EventUnreadable, StoreError
from batchwright.journal.base import Journal, Snapshot
from batchwright.journal.sqlite import SqliteJournal
from batchwright.journal.surreal import SurrealJournal
from batchwright.model.events import AnyEvent
from batchwright.model.run_signal import Signal, SignalKind
from batchwright.model.run_summary import RunSummary
from batchwright.testing.journal_suite import NOW, begun, steps, summary_of

BACKENDS: dict[str, Callable[[Path], Journal]] = {
    "sqlite": lambda folder: SqliteJournal(folder / "journal.db"),
    "surreal": SurrealJournal,
}
BLOCK = 512
RUNS = ("aaaa", "bbbb", "cccc")


class Content(NamedTuple):
    """All that a store was told to keep."""

    summaries: list[RunSummary]
    events: dict[str, list[tuple[int, AnyEvent]]]
    snapshots: dict[str, Snapshot | None]
    signals: dict[str, list[tuple[int, Signal]]]


async def content(journal: Journal) -> Content:
    return Content(
        sorted(await journal.summaries(), key=lambda row: row.run),
        {run: await journal.read(run) for run in RUNS},
        {run: await journal.snapshot(run) for run in RUNS},
        {run: await journal.signals(run) for run in RUNS},
    )


async def record(backend: str, folder: Path) -> Content:
    """Fills a store in `folder`/live, as a killed process leaves it and as one that ends does; older copies beside."""
    live = folder / "live"
    journal = BACKENDS[backend](live)
    await journal.open()
    leases = {run: await begun(journal, run) for run in RUNS}
    last = dict.fromkeys(RUNS, 1)
    for number in range(30):
        run = RUNS[number * number % 3]
        fresh = steps(last[run] + 1, 1 + number * 7 % 40)
        last[run] = await journal.append(leases[run], last[run], fresh, summary_of(run, steps=last[run]))
        if number % 9 == 4:
            await journal.save_snapshot(leases[run], Snapshot(last[run], bytes(range(256)) * 4))
            await journal.signal(run, Signal(SignalKind.PAUSE, NOW + number, "suite"))
        if number in (8, 19):
            shutil.copytree(live, folder / f"old{number}")
    last["aaaa"] = await journal.append(leases["aaaa"], last["aaaa"], steps(last["aaaa"] + 1, 3))
    told = await content(journal)
    shutil.copytree(live, folder / "killed")
    await journal.aclose()
    shutil.copytree(live, folder / "closed")
    return told


def damaged(folder: Path, case: Path, chance: random.Random) -> str:
    """A copy of the store, killed or closed, with one thing wrong; says what."""
    shutil.copytree(folder / chance.choice(("killed", "closed")), case)
    files = sorted(path for path in case.rglob("*") if path.is_file() and path.stat().st_size and path.name != "lock")
    weights = [0.5 if path.suffix in (".mark", ".manifest") or path.name.endswith("-shm") else 3 for path in files]
    [file] = chance.choices(files, weights)
    name, body = file.relative_to(case), bytearray(file.read_bytes())
    old = folder / chance.choice(("old8", "old19")) / name
    match chance.choice(("flip", "flip", "flip", "cut", "swap", "zero", "older", "gone")):
        case "flip":
            at = chance.randrange(len(body))
            body[at] ^= 1 << chance.randrange(8)
            what = f"a bit at {at}"
        case "cut":
            del body[chance.randrange(len(body)) :]
            what = f"cut at {len(body)}"
        case "swap":
            one, other = (chance.randrange(1 + len(body) // BLOCK) * BLOCK for _ in range(2))
            size = min(BLOCK, len(body) - one, len(body) - other)
            body[one : one + size], body[other : other + size] = body[other : other + size], body[one : one + size]
            what = f"blocks at {one} and {other} swapped"
        case "zero":
            at = chance.randrange(1 + len(body) // BLOCK) * BLOCK
            body[at : at + BLOCK] = bytes(len(body[at : at + BLOCK]))
            what = f"zeros at {at}"
        case "older" if old.exists():
            body = bytearray(old.read_bytes())
            what = f"that of {old.parent}"
        case _:
            file.unlink()
            return f"{name}: gone"
    file.write_bytes(body)
    return f"{name} ({len(body)} bytes): {what}"


async def outcome(backend: str, case: Path, told: Content) -> str:
    """What somebody sees who opens it: the class of the error, or that all is there; raises if it is something else."""
    journal = BACKENDS[backend](case)
    try:
        await journal.open()
        found = await content(journal)
        assert found == told, "something else is read, and nobody was told"
        for run in RUNS:
            lease = await journal.acquire(run, "next", NOW + 1e6)
            last = len(told.events[run])
            assert await journal.append(lease, last, steps(last + 1, 2)) == last + 2
            assert (await journal.read(run, last)) == list(enumerate(steps(last + 1, 2), last + 1))
    except (StoreError, EventUnreadable) as error:
        return type(error).__name__
    finally:
        await journal.aclose()
    return "nothing changed"


def try_all(backend: str, folder: Path, seed: int, count: int) -> dict[str, int]:
    told = asyncio.run(record(backend, folder))
    seen: dict[str, int] = {}
    for number in range(count):
        case = folder / "case"
        what = damaged(folder, case, random.Random(f"{seed}-{number}"))
        try:
            result = asyncio.run(outcome(backend, case, told))
        except BaseException as error:
            raise AssertionError(f"seed {seed}-{number}: {what}: {type(error).__name__}: {error}") from error
        seen[result] = seen.get(result, 0) + 1
        shutil.rmtree(case)
    return seen


@pytest.mark.parametrize("backend", BACKENDS)
def test_damage_is_told_or_changes_nothing(backend: str, tmp_path: Path) -> None:
    """D6: a sample; `make test-long` tries more, with other seeds."""
    seen = try_all(backend, tmp_path, 6, 24)
    assert sum(count for result, count in seen.items() if result != "nothing changed") > 6, seen


@pytest.mark.long
@pytest.mark.parametrize("backend", BACKENDS)
def test_damage_of_hundreds_of_kinds_is_told_or_changes_nothing(
    backend: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """D6: 250 for each store with a seed that is new each time and printed."""
    seed = secrets.randbelow(1_000_000)
    with capsys.disabled():
        print(f"\n{backend}: damage with seed {seed}: {try_all(backend, tmp_path, seed, 250)}")
