"""`store prune` and `store import` of many runs, beside a run that goes on: `python -m bench.store_prune FOLDER`: JSON.

The store in FOLDER is made first if it is not there; that takes some minutes.
"""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import os
import resource
import subprocess
import sys
import time
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any

import msgspec

from batchwright.app.settings import Settings
from batchwright.journal.base import Turn
from batchwright.journal.sqlite import SqliteJournal
from batchwright.model import events as ev
from batchwright.model.environment import Enter, EnvironmentKey, Leave
from batchwright.model.environment_fold import FOLD
from batchwright.model.lifecycle import RunState
from batchwright.model.run import Run
from bench.environments import resources, run_id
from bench.noop import plan_of

ENVIRONMENTS, RUNS, STEPS = 100, 200, 30
KEEP = 20
BESIDE = "zzzzzzzzzzzz"
PAUSE = 0.01  # seconds between two appends of the run beside


async def fill(file: Path) -> None:
    """Make the store: in each environment one run after the other, each with its plan and three events a step."""
    journal, plan = SqliteJournal(file), plan_of(STEPS, 10)
    await journal.open()

    async def turn(number: int, of: int) -> None:
        run, at, key = run_id(number * ENVIRONMENTS + of), 1.7e9 + number, EnvironmentKey("real", f"shop/env-{of:04d}")
        own = msgspec.structs.replace(plan, workflow="shop", environment=key.name)
        before = run_id((number - 1) * ENVIRONMENTS + of) if number else ""
        created = ev.RunCreated(at, run, own, turn=number + 1, after=before)
        summary = Run(created).summary(journal.name)
        await journal.create(created, summary, enter=Enter(key, run, at, number, before))
        lease = await journal.acquire(run, f"bench:{os.getpid()}:?", at)
        ended = msgspec.structs.replace(summary, status=RunState.COMPLETED, started_at=at, ended_at=at + 1)
        events: list[ev.AnyEvent] = [ev.RunStarted(at)]
        for step in own.steps:
            token = f"token-{run}-{step.id}"
            events += [ev.StepStarted(at, step.id, 1, token), ev.StepCreated(at, step.id, f"ref-{token}"),
                       ev.StepSucceeded(at, step.id, f"ref-{token}", "198.18.0.1", True)]  # fmt: skip
        events.append(ev.RunEnded(at + 1, RunState.COMPLETED, ""))
        leave = Leave(key, run, run, False, FOLD, resources(run, number + 1))
        await journal.append(lease, 1, events, ended, turn=Turn(leave=leave))
        await journal.release(lease)

    for number in range(RUNS):
        await asyncio.gather(*(turn(number, of) for of in range(ENVIRONMENTS)))
    await journal.aclose()


async def _beside(file: Path, stop: Event) -> list[float]:
    journal = SqliteJournal(file)
    await journal.open()
    own = msgspec.structs.replace(plan_of(1, 1), workflow="beside")
    now, key = time.time(), EnvironmentKey("real", "beside")
    created = ev.RunCreated(now, BESIDE, own, turn=1)
    if BESIDE not in await journal.runs():
        await journal.create(created, Run(created).summary(journal.name), enter=Enter(key, BESIDE, now, 0))
    lease = await journal.acquire(BESIDE, f"bench:{os.getpid()}:?", time.time())
    last, waits = (await journal.head(BESIDE)).seq, []
    while not stop.is_set():
        began = time.perf_counter()
        last = await journal.append(lease, last, [ev.StepOutput(time.time(), own.steps[0].id, 1, ("a line",))])
        waits.append(time.perf_counter() - began)
        await asyncio.sleep(PAUSE)
    await journal.release(lease)
    await journal.aclose()
    return sorted(waits)


def beside(file: Path, stop: Event, told: Any) -> None:
    """A run that goes on in a process of its own, as in a service; tells how long its appends took."""
    told.put(asyncio.run(_beside(file, stop)))


def timed(folder: Path, *words: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The command's JSON; its seconds, its peak memory, and how long appends waited meanwhile."""
    stop, told = multiprocessing.Event(), multiprocessing.Queue()
    process = multiprocessing.Process(target=beside, args=(Settings(folder).journal_file, stop, told), daemon=True)
    process.start()
    began = time.perf_counter()
    command = [sys.executable, "-m", "batchwright", "store", *words, "--json", "--state-dir", str(folder)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE)
    seconds = time.perf_counter() - began
    stop.set()
    waits = told.get()
    process.join()
    return json.loads(done.stdout), {
        "seconds": round(seconds, 1),
        "peak_mib": resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024,
        "file_mib": Settings(folder).journal_file.stat().st_size >> 20,
        "appends": len(waits),
        "append_median_ms": round(waits[len(waits) // 2] * 1e3, 1),
        "append_99_ms": round(waits[int(len(waits) * 0.99)] * 1e3, 1),
        "append_longest_ms": round(waits[-1] * 1e3, 1),
    }


def main() -> None:
    """Measure a plan, a prune and an import of the same store."""
    folder = Path(sys.argv[1])
    file = Settings(folder).journal_file
    if not file.exists():
        folder.mkdir(parents=True, exist_ok=True)
        asyncio.run(fill(file))
    size = file.stat().st_size >> 20
    _, planned = timed(folder, "prune", "--keep", str(KEEP), "--plan")
    result, pruned = timed(folder, "prune", "--keep", str(KEEP))
    _, imported = timed(folder, "import", result["archive"])
    about = {"runs": ENVIRONMENTS * RUNS, "archived": result["runs"], "file_mib": size,
             "archive_mib": result["archive_size"] >> 20}  # fmt: skip
    print(json.dumps({**about, "plan": planned, "prune": pruned, "import": imported}, indent=1))


if __name__ == "__main__":
    main()
