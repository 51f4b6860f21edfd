"""The real command on a disk that is really full while its steps end."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.support.command_line import environment
from tests.unit.journal.conftest import mounted

PATIENCE = 120.0  # seconds until something that hangs counts as a failure
STEPS = 4
SCRIPT = "touch started-$0; while ! test -e go; do sleep 0.1; done; echo $0 >> ran"

__all__ = ["mounted"]


def fill(disk: Path) -> Path:
    """Take all the room that is left."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file:
        for size in (65_536, 4_096, 1):
            try:
                while True:
                    file.write(bytes(size))
            except OSError:
                continue
    return filler


def workflow(store: str) -> str:
    operations = [
        {"id": f"c{n}", "type": "command", "run": ["sh", "-c", SCRIPT, str(n)], "on_failure": "continue"}
        for n in range(STEPS)
    ]
    operations.append({"id": "last", "type": "command", "run": ["sh", "-c", "echo last >> ran"],
                       "dependencies": [f"c{n}" for n in range(STEPS)]})  # fmt: skip
    told = {"name": "full", "version": "1", "storage_backend": store, "parallel_limit": STEPS, "operations": operations}
    return json.dumps({"batch_workflow": told})


@pytest.mark.parametrize("store", ["filesystem", "surrealdb"])
def test_outcomes_are_kept_until_there_is_room_again(
    tmp_path: Path, mounted: Callable[[str], Path], store: str
) -> None:
    """D7: nothing is in doubt, nothing runs twice, and nothing new begins meanwhile."""
    disk, work = mounted("size=24m"), tmp_path / "work"
    work.mkdir()
    (work / "full.json").write_text(workflow(store))
    env = environment(work, BATCHWRIGHT_STATE_DIR=str(disk / "state"))
    line = [sys.executable, "-m", "batchwright", "run", "full.json"]
    with subprocess.Popen(
        line, cwd=work, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        killer = threading.Timer(PATIENCE, process.kill)
        killer.start()
        try:
            assert process.stdout is not None
            said = [process.stdout.readline()]
            while said[-1] and sum("started" in one for one in said) < STEPS + 1:  # the run, and each of them
                said.append(process.stdout.readline())
            filler = fill(disk)
            (work / "go").touch()
            while said[-1] and "waits for disk space" not in said[-1]:
                said.append(process.stdout.readline())
            filler.unlink()
            said.append(process.stdout.read())
        finally:
            killer.cancel()
    assert (process.returncode, "Completed" in said[-1]) == (0, True), "".join(said)
    assert sorted((work / "ran").read_text().split()) == [*map(str, range(STEPS)), "last"]
