"""What a submission costs the service, beside what Nickel alone takes: `python -m bench.submits [PART...]`.

The service is a process of its own, on loopback; the load comes from this one, so on few cores they take from each
other. CPU is that of the service and of all processes that it has begun. Each submission gets an environment of its
own. `bare` is what Nickel takes to evaluate the same text under the same contracts, in a process that does nothing
else: machines differ, and so does what else they do, so the ratio to it is what to compare.
"""

from __future__ import annotations

import asyncio
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import aiohttp
import nickel

from batchwright.loader import nickel_expressions
from batchwright.loader.sources import schema_folder
from bench.service import RUNS, flow, ms, service

EXAMPLE = Path(__file__).parents[1] / "workflows" / "example_batch.ncl"
NICKEL, JSON = "text/x-nickel", "application/json"
ALONE, AT_ONCE = 30, 500
FAST = {"answer_seconds": "0", "boot_seconds": "0", "install_seconds": "0"}
SLOW = {"answer_seconds": "1", "boot_seconds": "900", "spread": "0"}
LAG_SECONDS = 0.25  # as the service measures its own
TICKS = os.sysconf("SC_CLK_TCK")

# How late an idle process wakes: what the machine alone adds to the lag of any event loop.
IDLE = """
import sys, threading, time
worst, ended = 0.0, threading.Event()
threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()
while not ended.is_set():
    began = time.monotonic()
    time.sleep(0.25)
    worst = max(worst, time.monotonic() - began - 0.25)
print(worst)
"""


class Used:
    """CPU seconds of a process and all its descendants since it was made. To `look` from time to time is needed: what
    forked evaluators used is lost when the process that forked them is killed with its parent."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._forking: dict[int, int] = {}
        self._before = self.look()

    def look(self) -> float:
        """All until now."""
        seen = _tree(self._pid)
        self._forking |= {pid: ticks for pid, ticks in seen.items() if _forks(pid)}
        lost = sum(ticks for pid, ticks in self._forking.items() if pid not in seen)
        return (sum(seen.values()) + lost) / TICKS

    def seconds(self) -> float:
        """Until now."""
        return self.look() - self._before


def _tree(pid: int) -> dict[int, int]:
    """The process and its living descendants, each with its ticks and those of the children that it has waited for."""
    parents: dict[int, int] = {}
    used: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(") ")[2].split()
            except OSError:
                continue  # it has ended meanwhile
            parents[int(entry.name)] = int(fields[1])
            used[int(entry.name)] = sum(map(int, fields[11:15]))
    ours, found = {pid}, {pid}
    while found:
        found = {one for one, parent in parents.items() if parent in found} - ours
        ours |= found
    return {one: used[one] for one in ours if one in used}


def _forks(pid: int) -> bool:
    """Whether it forks evaluators, and is none of them."""
    try:
        own = Path(f"/proc/{pid}/cmdline").read_bytes()
        parent = int(Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()[1])
        above = Path(f"/proc/{parent}/cmdline").read_bytes()
    except OSError:
        return False
    return b"evaluator_process" in own and b"evaluator_process" not in above and own.count(b"\0") > 4


def bare(text: str, form: str) -> tuple[float, float]:
    """CPU and wall seconds of one evaluation of the text under the contracts, the median of some."""
    with tempfile.NamedTemporaryFile("w", suffix=f".{form}") as file:
        file.write(text)
        file.flush()
        raw = nickel_expressions.merged([nickel_expressions.content(file.name, form)], {})
        expression = nickel_expressions.checked(raw, schema_folder() / "workflows.ncl", {}, "mark")
        taken = []
        for _ in range(15):
            before, began = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
            nickel.run(expression)
            wall, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_SELF)
            taken.append((after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, wall))
    cpu, wall = (statistics.median(column) for column in zip(*taken, strict=True))
    return cpu, wall


class Text:
    """What is submitted, `number` by `number`: all different."""

    def __init__(self, title: str, kind: str, of: Callable[[int], str]) -> None:
        self.title, self.kind, self.of = title, kind, of

    def bare(self) -> tuple[float, float]:
        """What Nickel takes for one of them."""
        return bare(self.of(0), "json" if self.kind == JSON else "nickel")


def example(number: int) -> str:
    """The example with servers of its own, in the store of the other text."""
    return EXAMPLE.read_text().replace('"surrealdb"', '"filesystem"').replace("web-0", f"web-{number}-0")


TEXTS = (
    Text("the example", NICKEL, example),
    Text("four servers as JSON", JSON, lambda number: json.dumps(flow(f"four{number}", 4, 4))),
)


class Submitted:
    """One submission that was answered: how long it took and the id of its run."""

    def __init__(self, run: str, began: float, seconds: float, refused: int) -> None:
        self.run, self.began, self.seconds, self.refused = run, began, seconds, refused


async def submit(session: aiohttp.ClientSession, text: Text, number: int, sim: dict[str, str]) -> Submitted:
    """Submit until it is accepted. A refusal says how long to wait; a connection that was closed may be repeated."""
    params = [("environment", f"e{number}"), ("simulate", "true"), *(("sim", f"{k}={v}") for k, v in sim.items())]
    body, headers, refused = text.of(number), {"Content-Type": text.kind, "Idempotency-Key": f"k{number}"}, 0
    began, clock = time.perf_counter(), time.time()
    while True:
        try:
            async with session.post(f"{RUNS}/submit", params=params, data=body, headers=headers) as answer:
                told, wait = await answer.json(), float(answer.headers.get("Retry-After", 0))
        except aiohttp.ClientConnectionError:
            refused += 1
            continue
        if answer.status == 202:
            return Submitted(told["run"], clock, time.perf_counter() - began, refused)
        assert answer.status in (429, 503), told
        refused += 1
        await asyncio.sleep(wait)


async def alone(session: aiohttp.ClientSession, pid: int, text: Text) -> list[str]:
    """One after the other, each to its end: from the request to the first step that is durable."""
    cpu, wall = text.bare()
    await finished(session, await submit(session, text, ALONE, FAST))  # the evaluators are started
    first, answered = [], []
    used = Used(pid)
    for number in range(ALONE):
        one = await submit(session, text, number, FAST)
        answered.append(one.seconds)
        first.append(await finished(session, one))
    each = used.seconds() / ALONE
    return [
        f"| {text.title} | {ms(first)} | {ms(answered)} | {each * 1000:.0f} | {wall * 1000:.0f} | {cpu * 1000:.0f} "
        f"| {statistics.median(first) / wall:.1f} | {each / cpu:.1f} |"
    ]


async def finished(session: aiohttp.ClientSession, one: Submitted) -> float:
    """Wait for the end of the run; seconds from its request to its first step that was begun."""
    while True:
        async with session.get(f"{RUNS}/{one.run}") as answer:
            status = (await answer.json())["status"]
        if status == "Completed":
            break
        assert status in ("Pending", "Running"), status
        await asyncio.sleep(0.02)
    async with session.get(f"{RUNS}/{one.run}/events") as answer:
        events = (await answer.json())["items"]
    return float(next(event["at"] for event in events if event["type"] == "step_started") - one.began)


async def crowd(session: aiohttp.ClientSession, pid: int, text: Text) -> list[str]:
    """All at once, and the worst lag of the event loop until 15 s later."""
    cpu, _ = text.bare()
    idle = subprocess.Popen([sys.executable, "-c", IDLE], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    lags: list[float] = []
    used, began = Used(pid), time.perf_counter()
    watching = asyncio.create_task(watch(session, lags, used))
    done = await asyncio.gather(*(submit(session, text, number, SLOW) for number in range(AT_ONCE)))
    seconds, each = time.perf_counter() - began, used.seconds() / AT_ONCE
    await asyncio.sleep(15.0)
    watching.cancel()
    worst_idle = float(idle.communicate("")[0])
    async with session.get("/health") as answer:
        assert (await answer.json())["driven"] >= AT_ONCE
    refused = sum(one.refused for one in done)
    return [
        f"| {text.title} | {seconds:.1f} | {AT_ONCE / seconds:.0f} | {refused} | {each * 1000:.0f} | {cpu * 1000:.0f} "
        f"| {each / cpu:.2f} | {max(lags):.2f} | {worst_idle:.2f} |"
    ]


async def watch(session: aiohttp.ClientSession, lags: list[float], used: Used) -> None:
    """The lag that the service tells, which is the worst of its last ten seconds, and the CPU time until then."""
    while True:
        used.look()
        async with session.get("/health") as answer:
            lags.append((await answer.json())["event_loop_lag_seconds"])
        await asyncio.sleep(0.5)


ALONE_HEAD = (
    "| one at a time | to the first step, ms | to the answer, ms | CPU ms | bare, ms | bare, CPU ms "
    "| first step / bare | CPU / bare |\n|--|--|--|--|--|--|--|--|"
)
CROWD_HEAD = (
    f"| {AT_ONCE} at once | seconds | a second | told to wait | CPU ms each | bare, CPU ms | CPU / bare "
    "| worst lag, s | of an idle process, s |\n|--|--|--|--|--|--|--|--|--|"
)
Part = Callable[[aiohttp.ClientSession, int, Text], Awaitable[list[str]]]
PARTS: dict[str, tuple[str, Part]] = {"alone": (ALONE_HEAD, alone), "crowd": (CROWD_HEAD, crowd)}


async def main() -> None:
    """Measure what was asked for, or everything."""
    for name in sys.argv[1:] or PARTS:
        head, part = PARTS[name]
        print(f"\n{head}", flush=True)
        for text in TEXTS:
            with tempfile.TemporaryDirectory() as folder:
                async with service(Path(folder)) as (pid, session):
                    print("\n".join(await part(session, pid, text)), flush=True)
    print(f"\nLoad of the machine at the end: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores.")


if __name__ == "__main__":
    asyncio.run(main())
