"""The real command on a machine whose wall clock is set by hours while it works.

A `sitecustomize` module moves what Python shows as the wall clock by the number of seconds in a file; the monotonic
clock stays as it is, as it does when somebody sets the clock of a machine.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from tests.support.command_line import SOURCES, environment

PATIENCE = 60.0  # seconds until something that waits for the wall clock counts as hanging
HOURS = 5 * 3600
MOVED = """
import os, time
_real = time.time
def _moved():
    try:
        with open(os.environ["MOVED_CLOCK"]) as file:
            return _real() + float(file.read() or 0)
    except (OSError, ValueError):
        return _real()
time.time = _moved
"""


class Machine:
    """A folder, a state folder, and a wall clock that the test sets."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "python").mkdir()
        (folder / "python" / "sitecustomize.py").write_text(MOVED)
        state, moved = str(folder / "state"), str(folder / "moved")
        self.env = environment(folder, BATCHWRIGHT_STATE_DIR=state, MOVED_CLOCK=moved)
        self.env["PYTHONPATH"] = os.pathsep.join([str(folder / "python"), SOURCES])
        self.set(0)

    def set(self, seconds: int) -> None:
        """How far the wall clock is from the right time, from now on."""
        draft = self.folder / "moved.new"
        draft.write_text(str(seconds))
        draft.replace(self.folder / "moved")

    def write(self, script: str, **more: Any) -> None:
        operation = {"id": "c", "type": "command", "run": ["sh", "-c", script], **more}
        workflow = {"name": "clk", "version": "1", "operations": [operation]}
        (self.folder / "clk.json").write_text(json.dumps({"batch_workflow": workflow}))

    def start(self, *args: str) -> subprocess.Popen[str]:
        line = [sys.executable, "-m", "batchwright", *args]
        pipe = subprocess.PIPE
        return subprocess.Popen(line, env=self.env, cwd=self.folder, stdout=pipe, stderr=pipe, text=True)

    def until(self, process: subprocess.Popen[str], said: str) -> None:
        """Read its lines until one says so."""
        assert process.stdout is not None
        for line in process.stdout:
            if said in line:
                return
        raise AssertionError(f"it never said {said!r}: {process.stderr.read() if process.stderr else ''}")


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def ended(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Its exit code and all that it has said since; one that hangs is killed, which is an exit code too."""
    assert process.stdout is not None
    assert process.stderr is not None
    killer = threading.Timer(PATIENCE, process.kill)
    killer.start()
    try:
        with process:
            said = process.stdout.read() + process.stderr.read()  # what `until` has read ahead, too
        return process.returncode, said
    finally:
        killer.cancel()


RETRIED = "test -e mark || { touch mark; exit 1; }"


@pytest.mark.parametrize("jump", [-HOURS, HOURS])
def test_a_retry_that_waits_does_not_wait_for_the_wall_clock(machine: Machine, jump: int) -> None:
    """D5: the clock is set while it waits."""
    machine.write(RETRIED, idempotent=True, retry={"max_attempts": 3, "initial_delay": 2})
    process = machine.start("run", "clk.json")
    machine.until(process, "failed (")
    machine.set(jump)
    code, said = ended(process)
    assert (code, "Completed" in said) == (0, True), said


@pytest.mark.parametrize("jump", [-HOURS, HOURS])
def test_nor_does_the_next_process(machine: Machine, jump: int) -> None:
    """D5: killed while it waits, and gone on with under another wall clock."""
    machine.write(RETRIED, idempotent=True, retry={"max_attempts": 3, "initial_delay": 4})
    process = machine.start("run", "clk.json")
    machine.until(process, "failed (")
    process.kill()
    ended(process)
    machine.set(jump)
    code, said = ended(machine.start("resume", "latest"))
    assert (code, "Completed" in said) == (0, True), said


@pytest.mark.parametrize("jump", [-HOURS, HOURS])
@pytest.mark.parametrize("verb", [("resume", "latest"), ("rollback", "latest", "--yes"), ("gc", "--run", "latest")])
def test_a_process_under_another_clock_takes_no_run_from_its_driver(
    machine: Machine, jump: int, verb: tuple[str, ...]
) -> None:
    """D5: and the driver goes on, whatever its own clock is set to meanwhile."""
    machine.write("while ! test -e go; do sleep 0.1; done")
    process = machine.start("run", "clk.json")
    try:
        machine.until(process, "started")
        machine.set(jump)
        code, said = ended(machine.start(*verb))
        assert code != 0, said
    finally:
        (machine.folder / "go").touch()
        code, out = ended(process)
    assert (code, "Completed" in out) == (0, True), out
