"""The service under load, on loopback only: `python -m bench.service [PART...]` prints tables.

The service is a process of its own; the load comes from this one, so on few cores they take from each other.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp

RUNS = "/v1/workflows/batch"
READERS = 1_000
LOOK_SECONDS = 5.0


@contextlib.asynccontextmanager
async def service(folder: Path) -> AsyncIterator[tuple[int, aiohttp.ClientSession]]:
    """The process id of a running service, and a client."""
    words = ["serve", "--port", "0", "--state-dir", str(folder), "--submit-rate", "10000"]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([sys.executable, "-m", "batchwright", *words], stdout=subprocess.PIPE, stderr=log)
        assert process.stdout is not None
        found = re.search(r"http://\S+", process.stdout.readline().decode())
        assert found, (folder / "log").read_text()
        try:
            connector = aiohttp.TCPConnector(limit=0)
            timeout = aiohttp.ClientTimeout(total=None)
            async with aiohttp.ClientSession(found.group(), connector=connector, timeout=timeout) as session:
                yield process.pid, session
        finally:
            process.terminate()
            process.wait(60)


def flow(name: str, count: int, limit: int) -> dict[str, Any]:
    """Some servers on one simulated place."""
    configs = [{"name": f"{name}-{i:05d}", "plan": "small", "zone": "zone-a"} for i in range(count)]
    batch = {"id": "web", "type": "server_batch", "provider": "simulated", "server_configs": configs}
    return {"batch_workflow": {"name": name, "version": "1", "parallel_limit": limit, "operations": [batch]}}


async def submit(session: aiohttp.ClientSession, name: str, count: int, limit: int, **sim: str) -> str:
    """The id of a new run."""
    params = [("simulate", "true"), *(("sim", f"{k}={v}") for k, v in sim.items())]
    while True:
        async with session.post(f"{RUNS}/submit", params=params, json=flow(name, count, limit)) as answer:
            if answer.status != 429:
                told = await answer.json()
                assert answer.status == 202, told
                return str(told["run"])
        await asyncio.sleep(0.05)


async def until(
    session: aiohttp.ClientSession, run: str, wanted: str = "Completed", pause: float = 0.2
) -> dict[str, Any]:
    """Look until it is so."""
    while True:
        async with session.get(f"{RUNS}/{run}") as answer:
            view: dict[str, Any] = await answer.json()
        if view["status"] == wanted:
            return view
        assert view["status"] in ("Pending", "Running"), view
        await asyncio.sleep(pause)


def ms(seconds: list[float]) -> str:
    """p50 and p95."""
    ordered = sorted(seconds)
    return f"p50 {statistics.median(ordered) * 1000:.0f}, p95 {ordered[int(len(ordered) * 0.95)] * 1000:.0f}"


async def lookers(session: aiohttp.ClientSession) -> list[str]:
    """Status requests per second while 10 runs of 400 servers are active, 16 connections."""
    sim = {"answer_seconds": "0.2", "boot_seconds": "0.5", "time_scale": "1"}
    runs = [await submit(session, f"busy{i}", 400, 10, **sim) for i in range(10)]
    end, took = time.perf_counter() + LOOK_SECONDS, []

    async def look(i: int) -> None:
        while time.perf_counter() < end:
            began = time.perf_counter()
            async with session.get(f"{RUNS}/{runs[i % 10]}") as answer:
                status = (await answer.json())["status"]
                assert status in ("Pending", "Running"), status
            took.append(time.perf_counter() - began)

    await asyncio.gather(*(look(i) for i in range(16)))
    for run in runs:
        async with session.post(f"{RUNS}/{run}/cancel", params={"force": "true"}):
            pass
    return [
        f"| status requests per second, 10 active runs | {len(took) / LOOK_SECONDS:,.0f} |",
        f"| each, ms | {ms(took)} |",
    ]


async def one_run(session: aiohttp.ClientSession, name: str, readers: int) -> tuple[float, int]:
    """Seconds from the start to the end of a run of 600 servers, by its own events, and events read in all."""
    run = await submit(session, name, 600, 20, answer_seconds="0.1", boot_seconds="0.3", seed="7")
    read = 0

    async def follow() -> None:
        nonlocal read
        async with session.get(f"{RUNS}/{run}/progress", headers={"Accept": "text/event-stream"}) as answer:
            async for chunk in answer.content.iter_any():
                read += chunk.count(b"event: event\n")

    tasks = [asyncio.create_task(follow()) for _ in range(readers)]
    view = await until(session, run, pause=1.0)
    await asyncio.gather(*tasks)
    return view["ended_at"] - view["started_at"], read


async def readers(session: aiohttp.ClientSession) -> list[str]:
    """One run without and with a thousand readers, three times each, in turn."""
    alone, watched, read = [], [], 0
    for i in range(3):
        alone.append((await one_run(session, f"alone{i}", 0))[0])
        seconds, read = await one_run(session, f"watched{i}", READERS)
        watched.append(seconds)
    ratio = statistics.median(watched) / statistics.median(alone)
    return [
        f"| run without readers, s | {statistics.median(alone):.2f} |",
        f"| the same with {READERS:,} readers, s | {statistics.median(watched):.2f} |",
        f"| ratio | {ratio:.3f} |",
        f"| events sent in the last | {read:,} |",
    ]


PARTS = {"lookers": lookers, "readers": readers}


async def main() -> None:
    """Measure what was asked for, or everything."""
    print("| | |\n|--|--|")
    for name in sys.argv[1:] or PARTS:
        with tempfile.TemporaryDirectory() as folder:
            async with service(Path(folder)) as (_, session):
                print("\n".join(await PARTS[name](session)), flush=True)


if __name__ == "__main__":
    asyncio.run(main())
