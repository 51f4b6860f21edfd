"""Files and folders beside a workflow file: their content is what counts, for the plan, a resume, a plan file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.support.command_line import Command

SERVER = {"name": "web-1", "plan": "small", "zone": "zone-a"}
USES: list[dict[str, Any]] = [
    {
        "name": "shop",
        "entry": "unit",
        "variables": {
            "source": "shop",
            "run": ["./start"],
            "environment": {"HOME": "/srv", "TOKEN": {"env": "TOKEN"}, "env": "x"},
        },
    },
    {"name": "files", "variables": {"files": {"/etc/app.toml": {"source": "app.toml"}}, "values": {"env": "test"}}},
]
FLOW: dict[str, Any] = {
    "name": "shop", "version": "1", "operations": [
        {"id": "up", "type": "server_batch", "provider": "simulated", "server_configs": [SERVER]},
        {"id": "gate", "type": "command", "run": ["test", "-e", "go"], "dependencies": ["up"]},
        {"id": "on", "type": "taskserv_batch", "provider": "simulated", "taskservs": USES,
         "dependencies": ["up", "gate"]},
    ],
}  # fmt: skip


@pytest.fixture
def command(tmp_path: Path) -> Command:
    home = tmp_path / "home"
    (home / "shop").mkdir(parents=True)
    (home / "shop" / "start").write_text("#!/bin/sh\n")
    (home / "app.toml").write_text("one")
    (home / "flow.json").write_text(json.dumps({"batch_workflow": FLOW}))
    return Command(home, BATCHWRIGHT_STATE_DIR=str(tmp_path / "state"), TOKEN="sesame")


def changes(command: Command) -> dict[str, list[str]]:
    """The fields that differ, by task service."""
    plan = command.json("plan", "flow.json")["plan"]
    return {
        step["subject"]: [change["field"] for change in step.get("changes", ())]
        for step in plan["steps"]
        if step["operation"] == "on"
    }


def test_a_changed_content_is_the_only_difference(command: Command) -> None:
    (command.home / "go").touch()
    assert command.json("run", "flow.json")["status"] == "Completed"
    assert changes(command) == {"shop": [], "files": []}
    (command.home / "shop").rename(command.home / "program")
    moved = json.dumps({"batch_workflow": FLOW}).replace('"source": "shop"', '"source": "program"')
    (command.home / "flow.json").write_text(moved)
    assert changes(command) == {"shop": [], "files": []}
    (command.home / "app.toml").write_text("two")
    (command.home / "program" / "start").write_text("#!/bin/sh\nexit 0\n")
    assert changes(command) == {"shop": ["variables.source"], "files": ["variables.files[/etc/app.toml].source"]}
    told = command("plan", "flow.json").stdout
    assert "~ shop on web-1: source content " in told
    assert "files[/etc/app.toml].source content " in told
    assert "environment[TOKEN]=<env TOKEN>" in command("status", "shop").stdout


def test_what_a_run_has_still_to_install_must_be_what_was_planned(command: Command) -> None:
    command("run", "flow.json", code=1)
    (command.home / "go").touch()
    (command.home / "shop" / "start").write_text("another")
    refused = command("resume", "latest", code=2).stderr
    assert "is not what was planned" in refused
    assert "[source-changed]" in refused
    (command.home / "shop" / "start").unlink()
    (command.home / "shop").rmdir()
    assert f"there is no {command.home / 'shop'}" in command("resume", "latest", code=2).stderr
    (command.home / "shop").mkdir()
    (command.home / "shop" / "start").write_text("#!/bin/sh\n")
    assert command.json("resume", "latest")["status"] == "Completed"


def test_a_plan_file_needs_the_same_content_beside_it(command: Command) -> None:
    (command.home / "go").touch()
    command("plan", "flow.json", "--out", "shop.plan")
    assert str(command.home) not in (command.home / "shop.plan").read_text().split("\n", 1)[1].replace(
        json.dumps(str(command.home / "shop.plan")), ""
    ).replace(f'"folder":"{command.home}"', "").replace(f'"started":"{command.home}"', "")
    there = command.home / "there"
    there.mkdir()
    (command.home / "shop.plan").rename(there / "shop.plan")
    refused = command("run", "there/shop.plan", code=1).stderr
    assert f"there is no {there / 'shop'}" in refused
    assert "--dir" in refused
    (command.home / "app.toml").rename(there / "app.toml")
    (command.home / "shop").rename(there / "shop")
    assert command.json("run", "there/shop.plan")["status"] == "Completed"


def test_a_missing_or_unusable_source_is_a_problem_of_the_plan(command: Command) -> None:
    (command.home / "app.toml").unlink()
    (command.home / "shop" / "out").symlink_to("/etc/passwd")
    told = command("plan", "flow.json", code=1).stderr
    assert '"files": there is no' in told
    assert "[source-missing]" in told
    assert "out is a link to '/etc/passwd', which is not inside it [source-invalid]" in told
    assert "flow.json:1:" in told
