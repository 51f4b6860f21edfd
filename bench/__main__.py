"""`make bench`: every measurement, as a table on the screen and in bench/RESULTS.md. Ratios are within this run."""

from __future__ import annotations

import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from bench.terraform import apply_seconds

PLAN_MOST, ENVIRONMENTS_MOST = 2.0, 0.5  # seconds
OUT = Path(__file__).parent / "RESULTS.md"


def noop(kind: str, count: int, limit: int, store: str = "filesystem") -> dict[str, Any]:
    """One measurement in a process of its own, so that its peak memory is its own."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "bench.noop", kind, str(count), str(limit), folder, store]
        return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)  # type: ignore[no-any-return]


def throughput() -> list[str]:
    """Durable no-op steps per second in each store, next to what the disk allows for the same bytes and groups.

    The CPU is that of our process; PostgreSQL's server runs beside it on the same cores and the same disk.
    """
    rows = [
        "| store | limit | durable steps/s | of filesystem | CPU us/step | appends (fsyncs) | raw, steps/s | of raw |",
        "|--|--|--|--|--|--|--|--|",
    ]
    for limit in (10, 64, 256):
        first = 0.0
        for store in ("filesystem", "surrealdb", "postgres"):
            got = noop("noop", 20_000, limit, store)
            rate, raw = got["rate"], 20_000 / got["raw"]
            first = first or rate
            rows.append(
                f"| {store} | {limit} | {rate:,.0f} | {rate / first:.0%} | {got['cpu'] / 20_000 * 1e6:.0f} "
                f"| {got['appends']:,} | {raw:,.0f} | {rate / raw:.1%} |"
            )
    return rows


def peer() -> list[str]:
    """Beside terraform's own graph walk over `terraform_data`, which does nothing either."""
    rows = ["| resources | shape | terraform apply, s | batchwright run, s | times faster |", "|--|--|--|--|--|"]
    for count in (250, 500, 1000):
        for chained in (True, False):
            with tempfile.TemporaryDirectory() as folder:
                theirs = apply_seconds(count, 10, Path(folder), chained=chained)
            ours = noop("chained" if chained else "noop", count, 10)["wall"]
            shape = "chained" if chained else "independent, 10 at a time"
            if theirs is None:
                rows.append(f"| {count:,} | {shape} | not installed here | {ours:.2f} | |")
            else:
                rows.append(f"| {count:,} | {shape} | {theirs:.2f} | {ours:.2f} | {theirs / ours:.0f} |")
    return rows


def scale() -> list[str]:
    """Time per step must stay flat; peak memory of the whole process."""
    rows = ["| steps | CPU us/step | durable steps/s | peak memory, MiB |", "|--|--|--|--|"]
    for count in (1_000, 10_000, 100_000):
        got = noop("noop", count, 256)
        rows.append(f"| {count:,} | {got['cpu'] / count * 1e6:.0f} | {got['rate']:,.0f} | {got['rss']:.0f} |")
    return rows


def reopen() -> list[str]:
    """A run of 100,000 steps whose process was stopped at nine tenths."""
    got = noop("reopen", 100_000, 256)
    return [
        "| steps | events in the journal | seconds to reopen and fold | until the rest was done |",
        "|--|--|--|--|",
        f"| 100,000 | {got['events']:,} | {got['reopen']:.2f} | {got['resumed_to_end']:.2f} |",
    ]


def makespan() -> list[str]:
    """1,000 steps of 20 to 200 ms, over the lower bound max(critical path, work / parallel_limit)."""
    rows = ["| limit | bound, s | run, s | over the bound |", "|--|--|--|--|"]
    for limit in (10, 20, 64):
        got = noop("makespan", 1_000, limit)
        rows.append(f"| {limit} | {got['bound']:.2f} | {got['wall']:.2f} | {got['wall'] / got['bound'] - 1:.1%} |")
    return rows


def started() -> float:
    """CPU seconds of a command that does nothing."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-m", "batchwright", "--version"], check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def environments() -> list[str]:
    """The whole commands beside what they may take; of each, how long `batchwright --version` takes: Python's start."""
    rows = [
        "| command | of | CPU s | of it the start | s | limit, s | calls to servers |",
        "|--|--|--|--|--|--|--|",
    ]
    start = min(started() for _ in range(5))
    for name, told, limit in (
        ("unchanged_plan", "`plan`, unchanged: {servers:,} servers, {taskservs:,} task services", PLAN_MOST),
        ("environments", "`environments`: {environments:,} with {runs:,} runs", ENVIRONMENTS_MOST),
    ):
        with tempfile.TemporaryDirectory() as folder:
            command = [sys.executable, "-m", f"bench.{name}", folder]
            got = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        word, _, rest = told.format(**got).partition(": ")
        figures = f"{got['cpu']:.2f} | {start:.2f} | {got['wall']:.2f} | {limit} | {got.get('calls', '')}"
        rows.append(f"| {word} | {rest} | {figures} |")
    return rows


def script(name: str) -> list[str]:
    """A measurement that prints its own table."""
    done = subprocess.run([sys.executable, "-m", f"bench.{name}"], check=True, capture_output=True, text=True)
    return done.stdout.splitlines()


def machine() -> str:
    """Where this was measured."""
    cpu = next(
        (x.partition(":")[2].strip() for x in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in x), ""
    )
    memory = int(Path("/proc/meminfo").read_text().split()[1]) / 1024**2
    load = ", ".join(f"{x:.1f}" for x in os.getloadavg())
    return (
        f"{os.cpu_count()} cores ({cpu}), {memory:.0f} GiB, {platform.system()} {platform.release()}, "
        f"Python {platform.python_version()}; load at the start {load}. Figures are of one run on a shared machine: "
        "read the ratios."
    )


SECTIONS = {
    "Durable no-op steps": throughput,
    "Beside terraform": peer,
    "Beside other durable engines": lambda: script("peers"),
    "Workers that Temporal finds": lambda: script("fleet"),
    "From 1,000 to 100,000 steps": scale,
    "Reopening a run": reopen,
    "Makespan": makespan,
    "Installs beside pyinfra and ansible": lambda: script("installs"),
    "Servers and their services, by barrier and per server": lambda: script("per_server"),
    "Limits of two runs at one account": lambda: script("limits"),
    "Environments": environments,
    "Views of a page": lambda: script("page_views"),
    "Answers about a run of 100,000 steps": lambda: script("slices"),
    "Rehearsals": lambda: script("rehearsal"),
    "Journals": lambda: script("journal"),
    "Loader": lambda: script("loader"),
    "Service": lambda: script("service"),
    "Submissions": lambda: script("submits"),
    "Hostile clients": lambda: script("hostile"),
}


def main() -> None:
    """Measure everything."""
    parts = ["# Results", "", "Made by `make bench`.", "", machine(), ""]
    for title, section in SECTIONS.items():
        print(f"\n{title}", flush=True)
        rows = section()
        print("\n".join(rows), flush=True)
        about = (section.__doc__ or "").strip()
        parts += [f"## {title}", "", *([about, ""] if about else []), *rows, ""]
    OUT.write_text("\n".join(parts))


if __name__ == "__main__":
    main()
