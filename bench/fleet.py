"""Runs that Temporal has driven by workers: `python -m bench.fleet`, a table.

How many runs a second are taken, how long after a worker's death a run goes on, and what more workers bring for runs
that mostly wait. Services and workers are processes of their own, with PostgreSQL and Temporal's development server
beside them on the same cores.
"""

from __future__ import annotations

import asyncio
import statistics
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from tests.support.fleet import RUNS, Fleet, ask, flow, until
from tests.support.postgres_server import PostgresServer, new_folder
from tests.support.temporal_server import TemporalServer

from batchwright.app.backing_services import TemporalConfig
from batchwright.journal.postgres import PostgresAddress
from batchwright.journal.postgres.journal import PostgresJournal

DEATHS, WAITING, TAKEN = 5, 40, 100


@contextmanager
def fleet_of(workers: int, places: int) -> Iterator[tuple[Fleet, str, PostgresAddress]]:
    """A service and so many workers, each with so many places for runs."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bwfleet-")))
        postgres = stack.enter_context(PostgresServer(new_folder(in_memory=False))).new_database()
        temporal = stack.enter_context(TemporalServer(folder))
        fleet = Fleet(folder, postgres, TemporalConfig(temporal.address), stack)
        url = fleet.begin_service("service")
        for number in range(workers):
            fleet.begin_worker(f"worker{number}", "--runs", str(places))
        yield fleet, url, postgres


def submitted(url: str, name: str, count: int, **settings: Any) -> str:
    """The run of a workflow of so many servers."""
    query = "&".join(f"sim={key}={value}" for key, value in settings.items())
    own: str = ask(url, f"{RUNS}/submit?simulate=true&{query}", flow(name, count))["run"]
    return own


def history(address: PostgresAddress, folder: Path, runs: list[str]) -> dict[str, list[tuple[float, str]]]:
    """The times and kinds of the events of runs."""

    async def read() -> dict[str, list[tuple[float, str]]]:
        journal = PostgresJournal(address, folder)
        await journal.open()
        try:
            return {run: [(e.at, type(e).__name__) for _, e in await journal.read(run)] for run in runs}
        finally:
            await journal.aclose()

    return asyncio.run(read())


def taken() -> str:
    """How fast two workers take what was recorded while there was none."""
    with fleet_of(0, 0) as (fleet, url, postgres):
        with ThreadPoolExecutor(8) as pool:
            runs = list(pool.map(lambda n: submitted(url, f"flow{n}", 1, boot_seconds=0.01), range(TAKEN)))
        for name in ("worker0", "worker1"):
            fleet.begin_worker(name, "--runs", "100")
        for run in runs:
            until(url, run, "Completed")
        told = history(postgres, fleet.folder, runs)
        begun = [next(at for at, kind in events if kind == "DriverStarted") for events in told.values()]
        return f"{TAKEN} waiting runs: {TAKEN / (max(begun) - min(begun)):.0f} taken a second by two workers"


def deaths() -> str:
    """SIGKILL of the worker that drives a run, and the time until its next driver begins and its next step."""
    begins, steps = [], []
    with fleet_of(2, 100) as (fleet, url, postgres):
        for number in range(DEATHS):
            run = submitted(url, f"flow{number}", 40, answer_seconds=0.05, boot_seconds=0.1)
            victim = fleet.driver_of(run)
            until(url, run, "Running")
            time.sleep(0.5)  # so that it is in the midst of it
            killed = time.time()
            fleet.kill(victim)
            until(url, run, "Completed")
            events = history(postgres, fleet.folder, [run])[run]
            begins.append(next(at for at, kind in events if kind == "DriverStarted" and at > killed) - killed)
            steps.append(next(at for at, kind in events if kind == "StepStarted" and at > killed) - killed)
            fleet.begin_worker(victim, "--runs", "100")
    words = [f"{statistics.median(each):.1f} s (at most {max(each):.1f})" for each in (begins, steps)]
    return f"{DEATHS} deaths: driven by another worker of this machine after {words[0]}, next step after {words[1]}"


def waiting(workers: int) -> str:
    """Runs of which each waits some ten seconds, ten at a time at each worker."""
    with fleet_of(workers, 10) as (_, url, _):
        began = time.perf_counter()
        with ThreadPoolExecutor(8) as pool:
            runs = list(pool.map(lambda n: submitted(url, f"flow{n}", 3, boot_seconds=8, spread=0), range(WAITING)))
        for run in runs:
            until(url, run, "Completed")
        return f"{workers} worker(s) of 10 places: {WAITING} runs of 8 s each in {time.perf_counter() - began:.0f} s"


if __name__ == "__main__":
    print((__doc__ or "").partition("\n\n")[2])
    for line in (taken, deaths, *(partial(waiting, count) for count in (1, 2, 4))):
        print(f"- {line()}", flush=True)
