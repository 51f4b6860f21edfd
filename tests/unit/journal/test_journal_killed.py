"""A real process is killed while it writes: what it was told is durable is there, whole, in order, without gaps."""

import asyncio
import itertools
import random
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.support.needs import missing, tool

from batchwright.journal.base import Journal
from batchwright.journal.lease_holder import own_holder
from batchwright.journal.sqlite import SqliteJournal
from batchwright.journal.surreal import SurrealJournal
from batchwright.testing.journal_suite import NOW, steps

SCRIPT = Path(__file__).with_name("journal_process.py")
KILLS = (3, pytest.param(20, marks=pytest.mark.long))
BACKENDS: dict[str, Callable[[Path], Journal]] = {"sqlite": SqliteJournal, "surreal": SurrealJournal}


async def last_of_run(journal: Journal) -> int:
    """The last sequence number, with every event before it seen to be what was appended there."""
    await journal.open()
    last = 0
    while piece := await journal.read("aaaa", last):
        numbers = [number for number, _ in piece]
        assert numbers == list(range(last + 1, last + 1 + len(piece)))
        written = [event for number, event in piece if number > 1]
        assert written == steps(max(numbers[0], 2), len(written))
        last = numbers[-1]
    summary = await journal.summary("aaaa")
    lease = await journal.acquire("aaaa", own_holder(), NOW)  # the killed process's lease has not expired
    await journal.release(lease)
    await journal.aclose()
    assert summary.steps <= last
    return last


@pytest.mark.parametrize("kills", KILLS)
@pytest.mark.parametrize("backend", BACKENDS)
def test_what_was_acknowledged_survives_kill_9(backend: str, kills: int, tmp_path: Path) -> None:
    place = tmp_path / "store"
    chance = random.Random(20)
    acknowledged = 0
    for _ in range(kills):
        command = [sys.executable, str(SCRIPT), "append", backend, str(place), "0"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            for _ in range(chance.randrange(3, 60)):
                acknowledged = max(acknowledged, int(process.stdout.readline()))
            process.kill()
            rest = process.stdout.read().split("\n")
        acknowledged = max([acknowledged, *map(int, filter(None, rest[:-1]))])
        found = asyncio.run(last_of_run(BACKENDS[backend](place)))
        assert found >= acknowledged > 1


@pytest.mark.parametrize("backend", BACKENDS)
def test_every_acknowledged_append_was_synced(backend: str, tmp_path: Path) -> None:
    trace, appends = tmp_path / "trace", 50
    work = [sys.executable, str(SCRIPT), "append", backend, str(tmp_path / "store"), str(appends)]
    strace = [tool("strace", "scripts/tools.sh"), "-f", "-o", str(trace), "-e", "trace=fsync,fdatasync,write"]
    run = subprocess.run([*strace, *work], capture_output=True, text=True, check=False)
    if "ptrace" in run.stderr:
        missing("processes may not be traced here")
    assert run.returncode == 0, run.stderr
    synced = [
        "sync" if re.search(r"sync\(\d+\) += 0|f(data)?sync resumed.* = 0", line) else "told"
        for line in trace.read_text().splitlines()
        if re.search(r"sync\(\d+\) += 0|f(data)?sync resumed.* = 0|write\(1, \"\d+\\n", line)
    ]
    assert synced.count("told") == appends + 1
    for one, next_one in itertools.pairwise(synced):
        assert (one, next_one) != ("told", "told")  # between two acknowledgements there is always a sync
