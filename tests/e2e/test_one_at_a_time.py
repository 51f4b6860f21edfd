"""D1: many people submit one workflow at once, to two services and from terminals: each name is used once."""

from __future__ import annotations

import asyncio
import json
import os
import re
import select
import signal
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

from tests.support.service_in_loop import FAST, RUNS, Answer, Serving, serving, workflow

from batchwright.app.settings import Settings
from batchwright.providers.simulated import World

SUBMITS = 20
PATIENCE = 120.0
EVENT = re.compile(rb"(?m)^ +\d.*$")  # a line of output


def flow(version: int, count: int = 3) -> dict[str, Any]:
    definition = workflow("shop", count)
    definition["batch_workflow"]["version"] = str(version)
    return definition


async def submit(service: Serving, version: int, wait: int = 0) -> Answer:
    params = [("simulate", "true"), *(("sim", f"{key}={value}") for key, value in {**FAST, "list_lag": 0.2}.items())]
    return await service.post(f"{RUNS}/submit", params=[*params, ("wait", str(wait))], json=flow(version))


def alive(folder: Path) -> list[str]:
    with closing(World(Settings(folder).world_file)) as world:
        assert world.duplicates() == {}
        return sorted(server.name for server in world.servers())


def test_of_twenty_submits_to_two_services_one_runs_and_all_are_told(tmp_path: Path) -> None:
    async def main() -> tuple[list[Answer], list[Answer]]:
        async with serving(tmp_path) as one, serving(tmp_path) as two:
            services = [one, two]
            at_once = await asyncio.gather(*(submit(services[n % 2], n) for n in range(SUBMITS)))
            waiting = await asyncio.gather(*(submit(services[n % 2], n, wait=60) for n in range(6)))
            for answer in (*at_once, *waiting):
                if answer.status == 202:
                    await one.until(answer.json["run"], "Completed")
        return at_once, waiting

    at_once, waiting = asyncio.run(main())
    taken = [answer for answer in at_once if answer.status == 202]
    refused = [answer for answer in at_once if answer.status != 202]
    assert taken
    assert {(one.status, one.json["code"]) for one in refused} <= {
        (409, "environment-busy"),
        (409, "environment-moved"),
    }
    assert all(any(run.json["run"] in one.json["detail"] for run in taken) for one in refused)
    assert [one.status for one in waiting] == [202] * len(waiting)
    assert alive(tmp_path) == ["shop-0000", "shop-0001", "shop-0002"]


def test_terminals_that_start_at_once_and_are_killed_leave_one_of_each(tmp_path: Path) -> None:
    """With SIGKILL in the midst; whoever comes next goes on with the run that is there."""
    file, state = tmp_path / "shop.json", tmp_path / "state"
    file.write_text(json.dumps(flow(1)), encoding="utf-8")
    line = [sys.executable, "-m", "batchwright", "run", str(file), "--state-dir", str(state), "--resume"]
    line += ["--sim", "boot_seconds=0.4", "--sim", "answer_seconds=0.2", "--sim", "seed=1"]
    for events in (1, 2, 4, 6):
        reader, writer = os.pipe()
        started = [subprocess.Popen(line, stdout=writer, stderr=subprocess.PIPE) for _ in range(3)]
        os.close(writer)
        seen = b""
        while len(EVENT.findall(seen)) < events and select.select([reader], [], [], PATIENCE)[0]:
            if not (said := os.read(reader, 65_536)):
                break  # the run has ended
            seen += said
        os.close(reader)
        assert seen
        for process in started:
            process.send_signal(signal.SIGKILL)
            process.communicate(timeout=PATIENCE)
    ended = subprocess.run(line, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert ended.returncode == 0, ended.stderr
    assert alive(state) == ["shop-0000", "shop-0001", "shop-0002"]
    checked = [sys.executable, "-m", "batchwright", "store", "check", "--state-dir", str(state)]
    done = subprocess.run(checked, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert done.returncode == 0, done.stdout
