"""The documented workflow in waves: asked after the first, killed in the second, and completed without two servers."""

from __future__ import annotations

import signal
import subprocess
import time
from pathlib import Path

import pytest
from tests.support.command_line import PATIENCE, Command

DOCUMENT = (Path(__file__).parents[2] / "docs" / "workflow-file.md").read_text()
LOOKS = 2_400


@pytest.fixture
def command(tmp_path: Path) -> Command:
    section = DOCUMENT.split("## First one, then the rest\n")[1].split("\n## ")[0]
    operations = section.split("```nickel\n")[1].split("```")[0]
    frame = '{ batch_workflow = { name = "fleet", version = "1", %s } }'
    (tmp_path / "fleet.ncl").write_text(frame % operations)
    return Command(tmp_path, BATCHWRIGHT_STATE_DIR=str(tmp_path / "state"))


def until(command: Command, holds: object) -> dict[str, object]:
    for _ in range(LOOKS):
        runs = command.json("list")["runs"]
        if runs and holds(view := command.json("status", "latest")):  # type: ignore[operator]
            return view  # type: ignore[no-any-return]
        time.sleep(0.05)
    raise AssertionError("it does not happen")


def test_a_run_in_waves_is_killed_in_its_second_wave_and_goes_on(command: Command) -> None:
    """The servers of the second wave are held until the process is dead."""
    plan = command("plan", "fleet.ncl", "--simulate").stdout
    assert "servers: in waves of 1, 5, 10 and 4, asks after the first; 18 of 20 must succeed" in plan
    assert "40 steps in 2 operations" in plan
    faults = ("--sim", "fail=web-3,web-20", "--sim", "boot_seconds=0.8", "--sim", "install_seconds=0.2")
    process = command.start("run", "fleet.ncl", "--simulate", *faults, stderr=subprocess.STDOUT)
    view = until(command, lambda view: view["counts"].get("succeeded") == 2 and view["waiting"])
    reasons = {one["code"]: one for one in view["waiting"]}  # type: ignore[attr-defined]
    assert reasons["approval"]["steps"] == 5
    assert reasons["approval"]["reason"] == "waits for approval to begin wave 2 of servers"
    assert reasons["wave"]["reason"] == "waits for wave 3 of servers to end"
    assert "approval to begin wave 2 of servers" in command("explain", "latest", "servers/web-2").stdout
    command("approve", "latest")
    until(command, lambda view: view["operations"][0]["wave"] == 2 and view["running"])
    process.send_signal(signal.SIGKILL)
    process.wait(PATIENCE)
    stopped = command.json("status", "latest")
    assert (stopped["operations"][0]["wave"], stopped["operations"][0]["waves"]) == (2, 4)
    assert all(step["step"].startswith("servers/web-") for step in stopped["running"])
    assert len(stopped["running"]) <= 5
    done = command("resume", "latest").stdout
    assert "Completed, degraded" in done
    end = command.json("status", "latest")
    assert (end["status"], end["degraded"], end["done"]) == ("Completed", ["servers"], 36)
    assert [op["state"] for op in end["operations"]] == ["degraded", "done"]
    assert end["counts"]["not_wanted"] == 2
    assert "Completed, degraded" in command("list").stdout
    assert command.json("list")["runs"][0]["degraded"] == 1
    assert command.json("stats")["degraded"] == 1
    again = command("plan", "fleet.ncl", "--simulate").stdout
    assert "servers: in waves of 1 and 1, asks after" in again, "only what is missing"
    command("rollback", "latest", "--yes")
    assert command.json("status", "latest")["status"] == "RolledBack"
