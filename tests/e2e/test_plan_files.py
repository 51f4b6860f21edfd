"""A plan written by one user and applied by another, who has neither the workflow nor the same folders."""

from __future__ import annotations

import json
import shutil
import signal
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.test_commands import until
from tests.support.command_line import PATIENCE, Command
from tests.support.service_process import service_process

FLOW: dict[str, Any] = {
    "name": "shop", "version": "1", "operations": [
        {"id": "up", "type": "server_batch", "provider": "simulated",
         "server_configs": [{"name": "web-1", "plan": "small", "zone": "zone-a", "user_data": "#!/bin/sh\n: private"}]},
        {"id": "go", "type": "command", "run": ["./work.sh"], "undo": ["./work.sh", "undo"], "directory": "scripts",
         "dependencies": ["up"], "env": {"TOKEN": {"env": "TOKEN"}}},
        {"id": "here", "type": "command", "run": ["sh", "-c", "pwd"]},
    ],
}  # fmt: skip
SCRIPT = """#!/bin/sh
echo "${1:-do} in $(pwd) with ${#TOKEN} letters" >>"$HOME/log"
while [ -e "$HOME/hold" ]; do sleep 0.02; done
"""
SECRET = "hunter2-planted-secret"


class Person:
    """A user with a home and a checkout of their own; the state folder is everybody's."""

    def __init__(self, folder: Path, name: str, checkout: str, secret: str) -> None:
        self.home, self.checkout = folder / "home" / name, folder / checkout
        for place in (self.home, self.checkout / "scripts"):
            place.mkdir(parents=True)
        self.write(FLOW)
        program = self.checkout / "scripts" / "work.sh"
        program.write_text(SCRIPT)
        program.chmod(0o755)
        self.command = Command(self.checkout, BATCHWRIGHT_STATE_DIR=str(folder / "state"), TOKEN=secret)
        self.command.env["HOME"] = str(self.home)

    def write(self, flow: dict[str, Any]) -> None:
        (self.checkout / "flow.json").write_text(json.dumps({"batch_workflow": flow}))

    def hash(self) -> str:
        return str(self.command.json("plan", "flow.json")["plan"]["hash"])

    @property
    def log(self) -> list[str]:
        place = self.home / "log"
        return place.read_text().splitlines() if place.exists() else []


class Team:
    def __init__(self, folder: Path) -> None:
        self.ada = Person(folder, "ada", "a/x", SECRET)
        self.bob = Person(folder, "bob", "srv/b/y", "sesame7")

    def handed_over(self, *options: str) -> Path:
        """Ada writes a plan; Bob has it beside the scripts, and no workflow."""
        self.ada.command("plan", "flow.json", *options, "--out", "shop.plan")
        (self.bob.checkout / "flow.json").unlink(missing_ok=True)
        return Path(shutil.copy(self.ada.checkout / "shop.plan", self.bob.checkout))


@pytest.fixture
def team(tmp_path: Path) -> Team:
    return Team(tmp_path)


def test_the_hash_is_the_same_for_every_user_and_folder(team: Team) -> None:
    assert team.ada.hash() == team.bob.hash()
    team.ada.command("run", "flow.json", "--plan-hash", team.bob.hash())
    assert team.ada.hash() == team.bob.hash(), "in an environment that has something"
    flow = {**FLOW, "version": "2"}
    team.bob.write(flow)
    assert team.ada.hash() != team.bob.hash()


def test_another_user_applies_the_plan_elsewhere(team: Team) -> None:
    plan = team.handed_over()
    assert stat.S_IMODE((team.ada.checkout / "shop.plan").stat().st_mode) == 0o600
    assert SECRET.encode() not in plan.read_bytes()
    shown = team.bob.command.json("plan", "shop.plan")
    assert shown["ok"]
    assert shown["plan"]["hash"] == team.ada.hash()
    run = team.bob.command.json("run", "shop.plan", "--plan-hash", shown["plan"]["hash"])
    assert run["status"] == "Completed"
    scripts = team.bob.checkout / "scripts"
    assert team.bob.log == [f"do in {scripts} with 7 letters"]
    assert team.ada.log == []
    events = team.bob.command("events", run["run"]).stdout
    assert f"here/run: {team.bob.checkout}" in events, events
    again = team.bob.command("run", "shop.plan", code=1)
    assert f"web-1 was added by run {run['run']}" in again.stderr
    assert "[plan-changed]" in again.stderr
    team.bob.command("destroy", "shop", "--yes")
    assert team.bob.log[1:] == [f"undo in {scripts} with 7 letters"], "where the run did it"


def test_a_killed_run_of_a_plan_goes_on_from_any_folder(team: Team) -> None:
    team.handed_over()
    hold = team.bob.home / "hold"
    hold.touch()
    process = team.bob.command.start("run", "shop.plan")
    until(lambda: len(team.bob.log) == 1)
    process.send_signal(signal.SIGKILL)
    process.wait(PATIENCE)
    hold.unlink()
    elsewhere = Command(team.bob.home)
    elsewhere.env.update(team.bob.command.env)
    elsewhere("resume", "shop", "--redo", "go")
    assert team.bob.log == [f"do in {team.bob.checkout / 'scripts'} with 7 letters"] * 2
    assert elsewhere.json("status", "latest")["status"] == "Completed"


def test_folders_are_those_of_the_plan_file_or_of_dir(team: Team, tmp_path: Path) -> None:
    team.handed_over()
    away = tmp_path / "inbox"
    away.mkdir()
    plan = shutil.move(team.bob.checkout / "shop.plan", away)
    refused = team.bob.command("run", str(plan), code=1)
    assert f'go: there is no folder "{away}/scripts" [directory-missing]' in refused.stderr
    assert "--dir" in refused.stderr
    team.bob.command("run", str(plan), "--dir", str(team.bob.checkout))
    assert team.bob.log == [f"do in {team.bob.checkout / 'scripts'} with 7 letters"]


def test_what_would_make_it_another_plan_is_refused(team: Team) -> None:
    plan = team.handed_over()
    for words in (
        ("--retire",),
        ("--set", "a=b"),
        ("--simulate",),
        ("--env", "x"),
        ("--overlay", "x"),
        ("--sim", "a=1"),
    ):
        assert "cannot change" in team.bob.command("run", "shop.plan", *words, code=2).stderr
    assert "[plan-changed]" in team.bob.command("run", "shop.plan", "--plan-hash", "0123", code=1).stderr
    for verb in ("validate", "submit"):
        assert "is a plan, not a workflow" in team.bob.command(verb, "shop.plan", code=2).stderr
    assert "--dir is for plan files" in team.ada.command("run", "flow.json", "--dir", ".", code=2).stderr
    plan.write_bytes(plan.read_bytes()[:-1])
    assert "is cut off" in team.bob.command("run", "shop.plan", code=2).stderr
    assert team.bob.command.json("list")["runs"] == []


def test_a_simulated_plan_stays_simulated(team: Team) -> None:
    team.handed_over("--simulate")
    assert team.bob.command.json("run", "shop.plan")["simulated"]
    assert team.bob.log == [], "nothing was run"


def test_a_service_takes_no_plan(team: Team, tmp_path: Path) -> None:
    plan = team.handed_over()
    with service_process(tmp_path, "--allow-commands") as (url, _):
        place = f"{url}/v1/workflows/batch/submit"
        words = ["curl", "-sS", "-H", "Content-Type: text/x-nickel", "--data-binary", f"@{plan}", place]
        sent = subprocess.run(words, capture_output=True, text=True, timeout=PATIENCE, check=True).stdout
    assert "forbidden" in sent
    assert "this is a plan" in sent
