"""Time of `batchwright plan` of an unchanged environment: `python -m bench.unchanged_plan FOLDER` prints JSON.

The environment in FOLDER is made first, by a run, if it is not there.
"""

from __future__ import annotations

import asyncio
import json
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from unittest.mock import patch

from batchwright.app.plans import make_plan
from batchwright.app.settings import Settings
from batchwright.app.system_clock import SystemClock
from batchwright.app.workflow_source import Source
from batchwright.providers.simulated import SimulatedRunner
from batchwright.views.plan import plan_view
from batchwright.views.planned_changes import is_unchanged

SERVERS, TASKSERVS = 1_000, ("nginx", "redis", "containerd")
REPEATS = 5
FLOW = """{ batch_workflow = {
  name = "large", version = "1", parallel_limit = 1000,
  operations = [
    {
      id = "up", type = "server_batch", provider = "upcloud",
      server_configs = std.array.generate (fun n => {
        name = "web-%{std.to_string n}", plan = "1xCPU-2GB", zone = "de-fra1",
      }) SERVERS,
    },
    { id = "on", type = "taskserv_batch", provider = "upcloud", taskservs = TASKSERVS, dependencies = ["up"] },
  ],
} }"""
SIMULATION: dict[str, Any] = {"time_scale": 0.0}


def command(folder: Path, *words: str) -> list[str]:
    """The real command with the bench's state folder and simulation."""
    options = ["--state-dir", str(folder / "state"), "--sim", "time_scale=0", "--json"]
    return [sys.executable, "-m", "batchwright", *words, str(folder / "large.ncl"), *options]


def fill(folder: Path) -> None:
    """Write the workflow and run it."""
    folder.mkdir(parents=True, exist_ok=True)
    text = FLOW.replace("SERVERS", str(SERVERS)).replace("TASKSERVS", json.dumps(TASKSERVS))
    (folder / "large.ncl").write_text(text)
    subprocess.run(command(folder, "run"), check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def typed(folder: Path) -> tuple[float, float]:
    """Seconds and CPU seconds of the whole command, with the start of Python and the evaluator; nothing changes."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run([*command(folder, "plan"), "--exit-code"], check=True, stdout=subprocess.DEVNULL)
    wall, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def calls(folder: Path) -> int:
    """How many calls planning sends to servers."""
    sent: list[str] = []

    async def call(*_: object, **__: object) -> tuple[str, ...]:
        sent.append("call")
        return ()

    verbs = ("install", "installed", "preview", "check", "remove")
    with patch.multiple(SimulatedRunner, **dict.fromkeys(verbs, call)):
        source = Source(folder / "large.ncl")
        planned = asyncio.run(make_plan(Settings(folder / "state"), SystemClock(), source, SIMULATION))
    assert planned.plan is not None
    view = plan_view(planned.plan)
    assert is_unchanged(view.difference)
    assert sum(view.difference.values()) == SERVERS * (1 + len(TASKSERVS))
    return len(sent)


def main() -> None:
    """Measure; the least of several is the figure."""
    folder = Path(sys.argv[1])
    if not (folder / "large.ncl").exists():
        fill(folder)
    timed = [typed(folder) for _ in range(REPEATS)]
    wall, cpu = (min(one[i] for one in timed) for i in (0, 1))
    services = SERVERS * len(TASKSERVS)
    result = {"servers": SERVERS, "taskservs": services, "wall": wall, "cpu": cpu, "calls": calls(folder)}
    print(json.dumps(result))


if __name__ == "__main__":
    main()
