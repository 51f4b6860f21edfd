"""Rehearsals: the whole command over the example, all crash points of 200 steps, and 1,000 servers.

`python -m bench.rehearsal`: a table. CPU seconds are of all processes together: two free cores take half as long.
"Crash points" are the sides of all calls of the run and of its rollback; "same" leave what another one leaves.
The last column compares with the goal: a full report, all faults that were asked for, or one of each kind, in time.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
KINDS = ("kinds", "nested")
MEMORY_MB, SECONDS = 300, 60.0
EXAMPLE = ROOT / "workflows/example_batch.ncl"


def workflow(servers: int, taskservs: int) -> dict[str, Any]:
    """So many servers, each with so many task services."""
    plan = {"plan": "1xCPU-2GB", "zone": "de-fra1"}
    names = ("containerd", "redis", "nginx")[:taskservs]
    operations: list[dict[str, Any]] = [
        {
            "id": "up",
            "type": "server_batch",
            "provider": "upcloud",
            "server_configs": [{"name": f"s{n}", **plan} for n in range(servers)],
        }
    ]
    if names:
        on = {"id": "on", "type": "taskserv_batch", "provider": "upcloud", "dependencies": ["up"], "taskservs": names}
        operations.append(on)
    return {"batch_workflow": {"name": "bench", "version": "1", "parallel_limit": 50, "operations": operations}}


def measured(file: Path, *words: str) -> dict[str, Any]:
    """One rehearsal by the command, in processes of its own."""
    command = [sys.executable, "-m", "batchwright", "rehearse", str(file), "--json", *words]
    began, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    with tempfile.TemporaryDirectory() as folder:
        environ = {**os.environ, "BATCHWRIGHT_STATE_DIR": folder}
        done = subprocess.run(command, check=False, capture_output=True, text=True, env=environ)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    report: dict[str, Any] = json.loads(done.stdout)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"report": report, "wall": time.perf_counter() - began, "cpu": cpu, "mb": after.ru_maxrss / 1024}


def reached(got: dict[str, Any], seconds: float, parts: tuple[str, ...]) -> str:
    """Whether so much memory and time were enough for these parts; else what two free cores would take, about.

    Where `seconds` is SECONDS, that is how long it may explore. The estimate is the processor time of what was done.
    """
    seen = got["report"]["coverage"]
    done, whole = (sum(seen[part + word] for part in parts) for word in ("_done", ""))
    if got["mb"] > MEMORY_MB:
        return f"no: {got['mb']:.0f} MiB"
    if done == whole and (seconds == SECONDS or got["wall"] <= seconds):
        return f"yes, {seconds:g} s"
    return f"not seen in {seconds:g} s; two free cores: about {got['cpu'] / max(1, done) * whole / 2:.0f} s"


def row(name: str, got: dict[str, Any], seconds: float, parts: tuple[str, ...]) -> str:
    """One line of the table."""
    seen = got["report"]["coverage"]
    done = seen["kinds_done"] + seen["nested_done"] + seen["alike_done"]
    whole = seen["kinds"] + seen["nested"] + seen["alike"]
    points = f"{seen['points']:,} | {seen['same']:,}"
    took = f"{got['cpu']:.1f} | {got['wall']:.1f} | {got['mb']:.0f}"
    told = f"{seen['runs']:,} | {done:,} of {whole:,} | {took} | {reached(got, seconds, parts)}"
    return f"| {name} | {got['report']['steps']:,} | {points} | {told} |"


def main() -> None:
    """Print the table."""
    print("| rehearsal | steps | crash points | same | runs | faults tried | CPU, s | wall, s | peak, MiB | goal |")
    print("|--|--|--|--|--|--|--|--|--|--|")
    print(row("the example", measured(EXAMPLE), 5.0, KINDS))
    with tempfile.TemporaryDirectory() as folder:
        for name, servers, taskservs, words in (
            ("200 steps, crashes only", 50, 3, ("--faults", "crash", "--seconds", "60")),
            ("1,000 servers", 1_000, 0, ("--seconds", "60")),
        ):
            file = Path(folder, f"{servers}.json")
            file.write_text(json.dumps(workflow(servers, taskservs)))
            parts = KINDS if not taskservs else (*KINDS, "alike")
            print(row(name, measured(file, *words), SECONDS, parts), flush=True)
    load, cores = os.getloadavg()[0], os.cpu_count()
    print(f"\n{cores} cores, load {load:.0f}")


if __name__ == "__main__":
    main()
