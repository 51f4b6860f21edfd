"""CPU time of `batchwright environments` with many environments and runs: `python -m bench.environments FOLDER`: JSON.

The store in FOLDER is made first if it is not there; that takes a minute.
"""

from __future__ import annotations

import asyncio
import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path

import msgspec

from batchwright.app.settings import Settings
from batchwright.client.local import LocalClient
from batchwright.journal.base import Turn
from batchwright.journal.sqlite import SqliteJournal
from batchwright.model import events as ev
from batchwright.model.environment import Enter, EnvironmentKey, Leave, Resource
from batchwright.model.environment_fold import FOLD
from batchwright.model.lifecycle import RunState
from batchwright.model.run import Run
from batchwright.operations.server_batch import ServerRequest
from batchwright.operations.taskserv_batch import TaskservRequest
from bench.noop import plan_of

ENVIRONMENTS, RUNS = 1_000, 20  # runs of each environment
SERVERS, TASKSERVS = 3, 2  # in an environment, and on each server
LETTERS = "abcdefghijklmnopqrstuvwxyz234567"
REPEATS = 5


def run_id(number: int) -> str:
    """An id like those of real runs."""
    digits = [LETTERS[number // 32**i % 32] for i in range(4)]
    return "".join(digits) + "b" * 8


def resources(run: str, turn: int) -> tuple[Resource, ...]:
    """What an environment has after a run."""
    made: list[Resource] = []
    for i in range(SERVERS):
        about = {"ref": f"ref-{run}-{i}", "made_by": run, "made_turn": turn, "changed_by": run, "changed_turn": turn}
        server, name = ServerRequest(f"server-{i}", "small", "zone-a"), f"server-{i}"
        made.append(Resource("server", name, provider="bench", request=msgspec.to_builtins(server), **about))
        for j in range(TASKSERVS):
            request = msgspec.to_builtins(TaskservRequest(f"service-{j}", "1.0", "bench", {"port": 80 + j}))
            made.append(Resource("taskserv", f"service-{j}", name, provider="bench", request=request, **about))
    return tuple(made)


async def fill(file: Path) -> None:
    """Make the store: in each environment one run after the other."""
    journal, plan = SqliteJournal(file), plan_of(SERVERS, 10)
    await journal.open()

    async def turn(number: int, of: int) -> None:
        run, at, key = run_id(number * ENVIRONMENTS + of), 1.7e9 + number, EnvironmentKey("real", f"shop/env-{of:04d}")
        own = msgspec.structs.replace(plan, workflow="shop", environment=key.name)
        before = run_id((number - 1) * ENVIRONMENTS + of) if number else ""
        created = ev.RunCreated(at, run, own, turn=number + 1, after=before)
        folded = Run(created)
        summary = folded.summary(journal.name)
        await journal.create(created, summary, enter=Enter(key, run, at, number, before))
        lease = await journal.acquire(run, f"bench:{os.getpid()}:?", at)
        ended = msgspec.structs.replace(summary, status=RunState.COMPLETED, started_at=at, ended_at=at + 1)
        leave = Leave(key, run, run, False, FOLD, resources(run, number + 1))
        events = [ev.RunStarted(at), ev.RunEnded(at + 1, RunState.COMPLETED, "")]
        await journal.append(lease, 1, events, ended, turn=Turn(leave=leave))
        await journal.release(lease)

    for number in range(RUNS):
        await asyncio.gather(*(turn(number, of) for of in range(ENVIRONMENTS)))
    await journal.aclose()


def asked(folder: Path) -> float:
    """CPU seconds of the local client to open the store, list all environments and close."""
    start = time.process_time()
    with LocalClient(Settings(folder)) as client:
        lines = client.environments()
    assert (len(lines), lines[0].servers, lines[0].taskservs) == (ENVIRONMENTS, SERVERS, SERVERS * TASKSERVS)
    return time.process_time() - start


def typed(folder: Path) -> tuple[float, float]:
    """Seconds and CPU seconds of the whole command, with the start of Python."""
    began = time.perf_counter()
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, "-m", "batchwright", "environments", "--json", "--state-dir", str(folder)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    wall, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    """Measure; the least of several is the figure."""
    folder = Path(sys.argv[1])
    file = Settings(folder).journal_file
    if not file.exists():
        folder.mkdir(parents=True, exist_ok=True)
        asyncio.run(fill(file))
    client = min(asked(folder) for _ in range(REPEATS))
    timed = [typed(folder) for _ in range(REPEATS)]
    wall, cpu = (min(one[i] for one in timed) for i in (0, 1))
    result = {"environments": ENVIRONMENTS, "runs": ENVIRONMENTS * RUNS, "client_cpu": client, "wall": wall, "cpu": cpu}
    print(json.dumps(result))


if __name__ == "__main__":
    main()
