"""The service among hostile clients, on loopback only: `python -m bench.hostile_clients [PART...]` prints a table.

Ten runs are driven by one real service process while clients do what clients should not. The lag is what the service's
own monitor has measured, the memory what the kernel says of its process; each part has a service of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
from msgspec import Struct

from bench.service import RUNS, submit

HALF_OPEN, BODIES, BODY_BYTES, READERS, BURNING = 2_000, 25, 4 * 1024 * 1024, 2_000, 64
RUNS_DRIVEN, STEPS, LIMIT = 10, 60, 6  # every second run is one of real commands on this machine
SIM = {"answer_seconds": "0.2", "boot_seconds": "1", "time_scale": "1"}
BURN = b"let rec burn = fun n => if n == 0 then 0 else burn (n - 1) in { batch_workflow = burn 1e18 }"


class Service(Struct):
    """A running service process, and a client that behaves."""

    session: aiohttp.ClientSession  # with a token; hostile clients have it where a part says so
    pid: int
    host: str
    port: int
    answers: Counter[str]

    def memory(self, field: str = "VmHWM") -> float:
        """MiB, of the process itself."""
        found = re.search(rf"{field}:\s+(\d+)", Path(f"/proc/{self.pid}/status").read_text())
        assert found is not None
        return int(found.group(1)) / 1024

    def descriptors(self) -> int:
        """How many it has open."""
        return len(list(Path(f"/proc/{self.pid}/fd").iterdir()))

    async def get(self, path: str, **params: int) -> dict[str, Any]:
        """What a client that behaves is told; it tries again when it is turned away."""
        while True:
            try:
                async with self.session.get(path, params=params) as answer:
                    if answer.status == 200:
                        told: dict[str, Any] = await answer.json()
                        return told
            except (OSError, aiohttp.ClientError):
                await asyncio.sleep(0.1)
            self.answers["good client turned away"] += 1

    async def until_over(self, run: str) -> str:
        """The state in which a run has ended."""
        while (status := str((await self.get(f"{RUNS}/{run}"))["status"])) in ("Pending", "Running"):
            await asyncio.sleep(1.0)
        return status

    async def connect(self, said: bytes = b"") -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A connection of a hostile client."""
        reader, writer = await asyncio.open_connection(self.host, self.port)
        writer.write(said)
        return reader, writer


@contextlib.asynccontextmanager
async def service(folder: Path, descriptors: int = 0) -> AsyncIterator[Service]:
    """A running service with a state folder of its own; `descriptors` that it may have, where that is less."""
    command = [sys.executable, "-m", "batchwright"]
    state = ["--state-dir", str(folder)]
    made = [*command, "token", "create", "--role", "admin", *state, "--json"]
    token = json.loads(subprocess.run(made, check=True, capture_output=True).stdout)["token"]
    limit = ["sh", "-c", f'ulimit -Sn {descriptors}; ulimit -Hn {descriptors}; exec "$@"', "sh"] if descriptors else []
    words = ["serve", "--port", "0", "--submit-rate", "10000", "--grace", "0", "--allow-commands", *state]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([*limit, *command, *words], stdout=subprocess.PIPE, stderr=log)
    assert process.stdout is not None
    try:
        found = re.search(r"http://\S+", process.stdout.readline().decode())
        assert found, (folder / "log").read_text()
        place = urlsplit(found.group())
        timeout = aiohttp.ClientTimeout(total=None)
        headers = {"Authorization": f"Bearer {token}"}
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(
            found.group(), timeout=timeout, headers=headers, connector=connector
        ) as session:
            yield Service(session, process.pid, str(place.hostname), int(place.port or 0), Counter())
    finally:
        process.terminate()
        process.wait(60)
        process.stdout.close()


class Hostility:
    """Hostile clients of one kind. `begin` makes them; they go on until `stop`."""

    def __init__(self, there: Service, scale: float = 1.0) -> None:
        self.there = there
        self.scale = scale
        self._stop = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    def many(self, count: int) -> int:
        """So many, scaled."""
        return max(1, int(count * self.scale))

    def begin(self, count: int, one: Callable[[int], Awaitable[str]], *, again: bool = True) -> None:
        """So many clients, each of which does it again and again; what it tells is counted."""

        async def going_on(number: int) -> None:
            while not self._stop.is_set():
                try:
                    told = await one(number)
                except (OSError, aiohttp.ClientError, asyncio.IncompleteReadError) as error:
                    told = type(error).__name__
                    await asyncio.sleep(0.2)
                self.there.answers[told] += 1
                if not again:
                    return

        self._tasks += [asyncio.create_task(going_on(number)) for number in range(self.many(count))]

    async def stop(self) -> None:
        """Go away."""
        self._stop.set()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


def half_open(hostility: Hostility) -> None:
    """Requests that never become whole; every second one trickles a byte a second."""

    async def one(number: int) -> str:
        head = b"POST /v1/workflows/batch/submit HTTP/1.1\r\nHost: localhost\r\nX-Slow: "
        reader, writer = await hostility.there.connect(head)
        reading = asyncio.create_task(reader.read())
        try:
            while number % 2 and not reading.done():
                writer.write(b"x")
                await asyncio.wait([reading], timeout=1.0)
            answer = await reading
            return "half request: " + (answer.split(b"\r\n")[0].decode() or "closed")
        finally:
            reading.cancel()
            writer.close()

    hostility.begin(HALF_OPEN, one)


def bodies(hostility: Hostility) -> None:
    """Workflows of 4 MiB that hold two million empty arrays."""
    body = b'{"batch_workflow":[' + b"[]," * ((BODY_BYTES - 40) // 3) + b"[]]}"
    kind = {"Content-Type": "application/json"}

    async def one(_number: int) -> str:
        async with hostility.there.session.post(f"{RUNS}/validate", data=body, headers=kind) as answer:
            await answer.read()
            if answer.status in (429, 503):
                await asyncio.sleep(1.0)
            return f"body of 4 MiB: {answer.status}"

    hostility.begin(BODIES, one)


def readers(hostility: Hostility, run: str) -> None:
    """Readers of a run's events from its beginning, who take nothing."""
    head = f"GET {RUNS}/{run}/progress HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n"
    head += f"Authorization: {hostility.there.session.headers['Authorization']}\r\nLast-Event-ID: 0\r\n\r\n"

    async def one(_number: int) -> str:
        reader, writer = await hostility.there.connect(head.encode())
        try:
            status = await reader.readuntil(b"\r\n")
            writer.transport.pause_reading()  # type: ignore[attr-defined]
            if b"200" in status:
                await hostility._stop.wait()
            else:
                await asyncio.sleep(1.0)
            return "reader: " + status.decode().strip()
        finally:
            writer.transport.abort()

    hostility.begin(READERS, one)


def burning(hostility: Hostility) -> None:
    """Evaluations that never end by themselves."""
    kind = {"Content-Type": "text/x-nickel"}

    async def one(_number: int) -> str:
        async with hostility.there.session.post(f"{RUNS}/validate", data=BURN, headers=kind) as answer:
            await answer.read()
            if answer.status in (429, 503):
                await asyncio.sleep(1.0)
            return f"evaluation: {answer.status}"

    hostility.begin(BURNING, one)


PARTS = ("nobody", "half-open", "bodies", "readers", "burning", "all")


class Outcome(Struct):
    """What became of the ten runs, and what it cost."""

    part: str
    seconds: float
    lag: float
    memory: float
    descriptors: int
    completed: int
    doubts: int
    drivers: int  # how often a run got a driver; once each when no lease was lost
    answers: Counter[str]


async def begin(session: aiohttp.ClientSession, number: int, steps: int) -> str:
    """One of the runs that are driven meanwhile."""
    if number % 2:
        return await submit(session, f"run{number}", steps, LIMIT, **SIM)
    commands = [{"id": f"c{i}", "type": "command", "run": ["sleep", "0.2"]} for i in range(steps)]
    flow = {"name": f"run{number}", "version": "1", "parallel_limit": LIMIT, "operations": commands}
    async with session.post(f"{RUNS}/submit", json={"batch_workflow": flow}) as answer:
        told = await answer.json()
        assert answer.status == 202, told
        return str(told["run"])


async def measure(part: str, scale: float = 1.0, steps: int = STEPS, descriptors: int = 0) -> Outcome:
    """Ten runs among such clients."""
    with tempfile.TemporaryDirectory() as folder:
        async with service(Path(folder), descriptors) as there:
            runs = [await begin(there.session, number, steps) for number in range(RUNS_DRIVEN)]
            began = time.perf_counter()
            hostility = Hostility(there, scale)
            if part in ("half-open", "all"):
                half_open(hostility)
            if part in ("bodies", "all"):
                bodies(hostility)
            if part in ("readers", "all"):
                readers(hostility, runs[0])
            if part in ("burning", "all"):
                burning(hostility)
            lag, most = 0.0, 0
            watching = asyncio.gather(*(there.until_over(run) for run in runs))
            while not watching.done():
                await asyncio.wait([watching], timeout=2.0)
                lag = max(lag, (await there.get("/health"))["event_loop_lag_seconds"])
                most = max(most, there.descriptors())
            seconds = time.perf_counter() - began
            await hostility.stop()
            kinds = Counter([kind for run in runs for kind in await happened(there, run)])
            done = (await watching).count("Completed")
            return Outcome(
                part, seconds, lag, there.memory(), most, done, kinds["step_in_doubt"], kinds["driver_started"],
                there.answers,
            )  # fmt: skip


async def happened(there: Service, run: str) -> list[str]:
    """The types of a run's events."""
    kinds: list[str] = []
    after: int | None = 0
    while after is not None:
        page = await there.get(f"{RUNS}/{run}/events", after=after, limit=1000)
        kinds += [event["type"] for event in page["items"]]
        after = page["next_after"]
    return kinds


def row(one: Outcome) -> str:
    """Of the table."""
    told = ", ".join(f"{words} {count:,}" for words, count in sorted(one.answers.items()))
    return (
        f"| {one.part} | {one.completed} of {RUNS_DRIVEN} | {one.doubts} | {one.drivers - RUNS_DRIVEN} "
        f"| {one.seconds:.1f} | {one.lag * 1000:.0f} | {one.memory:.0f} | {one.descriptors:,} | {told} |"
    )


async def main(parts: Sequence[str]) -> None:
    """Measure what was asked for, or everything."""
    print(
        "| clients | runs Completed | steps in doubt | leases lost | seconds | worst lag, ms | peak memory, MiB "
        "| descriptors | what they got |\n|--|--|--|--|--|--|--|--|--|"
    )
    for part in parts or PARTS:
        print(row(await measure(part)), flush=True)


if __name__ == "__main__":
    os.nice(5)  # the load comes from the same cores
    asyncio.run(main(sys.argv[1:]))
