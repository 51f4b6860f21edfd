"""Commands with the real command line: real programs, killed for real, asked about, done again, skipped, undone."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.support.command_line import COMMAND, PATIENCE, Command
from tests.support.needs import tool
from tests.support.service_process import service_process

ROOT = Path(__file__).parents[2]
SECRET = "hunter2-planted-secret"
PROGRAM = """#!/bin/sh
# Says that it has begun, then waits for a file before it ends; `undo` takes its line away again.
if [ "$1" = undo ]; then echo undone >>"$LOG"; exit 0; fi
echo "begun $$ $BATCHWRIGHT_STEP" >>"$LOG"
echo "has $TOKEN"
while [ ! -e "$GO" ]; do sleep 0.02; done
echo "ended $$" >>"$LOG"
"""


class Desk:
    """A user with a workflow of commands around one program that says what it did in a log."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.log, self.go = home / "log", home / "go"
        self.program = home / "work.sh"
        self.program.write_text(PROGRAM)
        self.program.chmod(0o755)
        self.command = Command(home, TOKEN=SECRET, BATCHWRIGHT_STATE_DIR=str(home / "state"))

    def operation(self, name: str, **fields: Any) -> dict[str, Any]:
        env = {"LOG": str(self.log), "GO": str(self.go), "TOKEN": {"env": "TOKEN"}}
        return {
            "id": name, "type": "command", "run": ["./work.sh"], "undo": ["./work.sh", "undo"], "directory": ".",
            "env": env, **fields,
        }  # fmt: skip

    def write(self, *operations: dict[str, Any]) -> None:
        flow = {"name": "glue", "version": "1", "operations": list(operations)}
        (self.home / "flow.json").write_text(json.dumps({"batch_workflow": flow}))

    def lines(self, word: str) -> list[str]:
        return (
            [line for line in self.log.read_text().splitlines() if line.startswith(word)] if self.log.exists() else []
        )

    def begin(self, *words: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [*COMMAND, *words], env=self.command.env, cwd=self.home, stdin=subprocess.DEVNULL, text=True,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip

    def kill_in_the_midst(self, *words: str) -> None:
        """SIGKILL as soon as one more program has begun."""
        before = len(self.lines("begun"))
        process = self.begin(*words)
        until(lambda: len(self.lines("begun")) > before)
        process.send_signal(signal.SIGKILL)
        process.wait(PATIENCE)

    def pids(self) -> list[str]:
        return [line.split()[1] for line in self.lines("begun")]

    def go_on(self, *words: str) -> subprocess.Popen[str]:
        """Go on with the run, and let the program end once it has begun anew."""
        before = len(self.lines("begun"))
        process = self.begin(*words)
        until(lambda: len(self.lines("begun")) > before or process.poll() is not None)
        return process

    def finish(self, process: subprocess.Popen[str]) -> None:
        self.go.touch()
        assert process.wait(PATIENCE) == 0


def alive(pid: str) -> bool:
    try:
        return "\nState:\tZ" not in Path("/proc", pid, "status").read_text()
    except OSError:
        return False


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def test_killed_around_an_idempotent_program_it_is_ended_and_run_again(desk: Desk) -> None:
    desk.write(desk.operation("do", idempotent=True))
    desk.kill_in_the_midst("run", "flow.json")
    for _ in range(3):
        desk.kill_in_the_midst("resume", "latest")
    assert len(desk.pids()) == 4
    last = desk.go_on("resume", "latest")
    assert [pid for pid in desk.pids() if alive(pid)] == desk.pids()[4:], "an old program runs beside the new one"
    desk.finish(last)
    run = desk.command.json("status", "latest")
    assert (run["status"], run["restarts"]) == ("Completed", 4)
    assert desk.lines("ended") == [f"ended {desk.pids()[4]}"]


def test_killed_around_one_that_is_not_it_stops_and_asks(desk: Desk) -> None:
    desk.write(desk.operation("do"), desk.operation("then", run=["true"], undo=[], dependencies=["do"]))
    desk.kill_in_the_midst("run", "flow.json")
    old = desk.lines("begun")[-1].split()[1]
    run = desk.command.json("resume", "latest", code=1)
    assert (run["status"], run["doubts"]) == ("Failed", ["do/run"])
    [failed] = run["failed"]
    assert f"still running as process {old}" in failed["message"]
    assert "--redo do/run; to mark it as done: --skip do/run" in failed["hint"]
    assert "--redo do/run" in run["next"]
    assert "--skip do/run" in run["next"]
    assert "--redo do/run" in desk.command("status", "latest").stdout
    told = desk.command("explain", "latest", "do").stdout
    assert "in doubt" in told
    assert "--skip do/run" in told
    refused = desk.command("resume", "latest", code=2)
    assert "it is unknown how far do/run got" in refused.stderr
    assert "[not-allowed]" in refused.stderr
    assert len(desk.lines("begun")) == 1
    desk.go.touch()
    until(lambda: bool(desk.lines("ended")))  # it was never disturbed
    assert desk.command.json("resume", "latest", "--skip", "do")["status"] == "Completed"
    assert len(desk.lines("begun")) == 1
    assert "marked as done" in desk.command("status", "latest", "--steps").stdout
    assert desk.command.json("rollback", "latest", "--yes")["status"] == "RolledBack"
    assert desk.lines("undone") == ["undone"]


def test_done_again_right_after_the_kill_ends_the_old_one(desk: Desk) -> None:
    desk.write(desk.operation("do"))
    desk.kill_in_the_midst("run", "flow.json")
    assert alive(desk.pids()[0])
    again = desk.go_on("resume", "latest", "--redo", "do")
    assert not alive(desk.pids()[0])
    desk.finish(again)
    assert len(desk.lines("begun")) == 2
    assert desk.command.json("status", "latest")["status"] == "Completed"
    over = desk.command("resume", "latest", "--redo", "do", code=2)
    assert "Completed" in over.stderr
    misfit = desk.command("resume", "latest", "--skip", "nothing-like-it", code=2)
    assert "[step-not-found]" in misfit.stderr


def test_a_rollback_after_a_kill_ends_what_runs_and_runs_the_undo(desk: Desk) -> None:
    desk.write(desk.operation("do"))
    desk.kill_in_the_midst("run", "flow.json")
    shown = desk.command("rollback", "latest", "--plan").stdout
    assert "do/run: run " in shown
    assert "work.sh undo" in shown
    assert desk.command.json("rollback", "latest", "--yes")["status"] == "RolledBack"
    assert not alive(desk.pids()[0])
    assert desk.lines("undone") == ["undone"]


def test_no_secret_is_anywhere(desk: Desk) -> None:
    desk.write(desk.operation("do"), desk.operation("bad", run=["sh", "-c", "echo $TOKEN; exit 3"], undo=[]))
    desk.go.touch()
    said = desk.command("run", "flow.json", code=1)
    shown = [said.stdout + said.stderr]
    for words in (
        ("status", "latest", "--steps"),
        ("events", "latest"),
        ("explain", "latest", "bad"),
        ("plan", "flow.json"),
    ):
        done = desk.command(*words, code=None)
        shown.append(done.stdout + done.stderr)
        shown.append(desk.command(*words, "--json", code=None).stdout)
    assert "has ***" in shown[3]
    kept = [path.read_bytes() for path in (desk.home / "state").rglob("*") if path.is_file()]
    assert kept
    assert not any(SECRET in text for text in shown)
    assert not any(SECRET.encode() in body for body in kept)


def test_what_is_missing_is_told_before_anything_is_changed(desk: Desk) -> None:
    desk.write(
        desk.operation("one", run=["./wrok.sh"]),
        desk.operation("two", directory="folder"),
        desk.operation("three", env={"X": {"env": "NOT_SET_ANYWHERE"}}),
    )
    done = desk.command("run", "flow.json", code=1)
    assert f'Did you mean "{desk.program}"?' in done.stderr
    for code in ("program-missing", "directory-missing", "secret-missing"):
        assert f"[{code}]" in done.stderr
    assert desk.command.json("list")["runs"] == []


def test_simulated_commands_start_nothing_and_can_fail(desk: Desk) -> None:
    server = {"name": "web-01", "plan": "1xCPU-1GB", "zone": "de-fra1"}
    web = {"id": "web", "type": "server_batch", "provider": "upcloud", "server_configs": [server]}
    there = desk.operation("there", targets=["web"], dependencies=["web"], directory="/srv")
    desk.write(web, there, desk.operation("here", run=["no-such-program"], dependencies=["there"]))
    run = desk.command.json("run", "flow.json", "--sim", "time_scale=0")
    assert (run["status"], run["done"], [one["name"] for one in run["providers"]]) == ("Completed", 3, ["upcloud"])
    assert not desk.log.exists()
    undo = desk.command.json("rollback", "latest", "--plan")["undo"]
    assert [(one["step"], one["what"]) for one in undo] == [
        ("here/run", "run"), ("there/web-01", "run"), ("web/web-01", "destroy")
    ]  # fmt: skip
    assert desk.command.json("rollback", "latest", "--yes")["status"] == "RolledBack"
    failed = desk.command.json("run", "flow.json", "--sim", "time_scale=0", "--sim", "fail_command=here=exit", code=1)
    assert failed["failed"][0]["kind"] == "exit"


def test_a_service_runs_commands_only_when_it_was_told_to(desk: Desk) -> None:
    desk.write(desk.operation("do", env={"LOG": str(desk.log)}))
    with service_process(desk.home, "--state-dir", str(desk.home / "state")) as (url, _):
        refused = desk.command("submit", "flow.json", "--url", url, code=2)
        assert "[forbidden]" in refused.stderr
        assert "--allow-commands" in refused.stderr
        assert desk.command.json("submit", "flow.json", "--url", url, "--sim", "time_scale=0")["run"]
    assert not desk.log.exists()


def test_a_service_is_told_what_to_do_about_a_command_in_doubt(desk: Desk) -> None:
    desk.write(desk.operation("one", env={"LOG": str(desk.log), "GO": str(desk.go)}),
               desk.operation("two", env={"LOG": str(desk.log), "GO": str(desk.go)}))  # fmt: skip
    at = ("--state-dir", str(desk.home / "state"))  # by the service's own socket, so no token is needed
    with service_process(desk.home, "--allow-commands") as (url, process):
        refused = desk.command("submit", "flow.json", "--url", url, code=2)
        assert "[forbidden]" in refused.stderr
        assert "own socket" in refused.stderr
        desk.command("submit", "flow.json", *at)
        until(lambda: len(desk.lines("begun")) == 2)
        process.send_signal(signal.SIGKILL)
        process.wait(PATIENCE)
    desk.go.touch()
    with service_process(desk.home, "--allow-commands"):
        until(lambda: desk.command.json("status", "latest", *at)["status"] == "Failed")
        refused = desk.command("resume", "latest", *at, code=2)
        assert "[not-allowed]" in refused.stderr
        run = desk.command.json("resume", "latest", "--redo", "one", "--skip", "two", *at)
        assert run["status"] == "Completed"
    assert len(desk.lines("begun")) == 3


def terraform() -> Path:
    """Where it is; the test is skipped, or fails in CI, when it is nowhere."""
    return Path(tool("terraform", "scripts/terraform.sh")).parent


def test_the_terraform_example_is_applied_and_destroyed_by_the_real_one(tmp_path: Path) -> None:
    tools = terraform()
    for part in ("terraform.ncl", "terraform/main.tf"):
        target = tmp_path / part
        target.parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / "workflows" / part, target)
    state = tmp_path / "terraform" / "terraform.tfstate"
    path = f"{tools}{os.pathsep}{os.environ['PATH']}"
    command = Command(tmp_path, BATCHWRIGHT_STATE_DIR=str(tmp_path / "state"), PATH=path)

    run = command.json("run", "terraform.ncl", "--set", "greeting=good day")
    assert run["status"] == "Completed"
    assert 'greeting = "good day"' in command("events", "latest", "--json").stdout.replace('\\"', '"')
    [resource] = json.loads(state.read_text())["resources"]
    assert (resource["type"], resource["instances"][0]["attributes"]["output"]["value"]) == (
        "terraform_data",
        "good day",
    )

    preview = {one["step"]: one for one in command.json("rollback", "latest", "--plan")["undo"]}
    assert "destroy" in preview["apply/run"]["ref"]
    assert preview["init/run"]["what"] == "stays"
    assert command.json("rollback", "latest", "--yes")["status"] == "RolledBack"
    assert json.loads(state.read_text())["resources"] == []
