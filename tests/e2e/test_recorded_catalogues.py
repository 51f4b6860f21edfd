"""A run goes on with the catalogues it was planned with, and not with others."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.support.command_line import Command

from batchwright.app.adapters import SharedRunner
from batchwright.app.catalogue_changes import with_catalogues
from batchwright.app.settings import Settings
from batchwright.model.run_provenance import InputFile, RunInputs
from batchwright.operations.taskserv_batch import TaskservRequest
from batchwright.taskservs.catalogue import load_catalogue
from batchwright.testing.plans import plan_of, servers, taskservs, workflow
from batchwright.testing.virtual_clock import VirtualClock

METADATA = 'name: mine\nversion: "1"\nsummary: something of ours\nseconds: 1\n'
DEPLOY = "def install() -> None: ...\n"
SERVER = {"name": "web-1", "plan": "small", "zone": "zone-a"}
FLOW: dict[str, Any] = {
    "name": "shop", "version": "1", "operations": [
        {"id": "up", "type": "server_batch", "provider": "simulated", "server_configs": [SERVER]},
        {"id": "gate", "type": "command", "run": ["test", "-e", "go"], "dependencies": ["up"]},
        {"id": "on", "type": "taskserv_batch", "provider": "simulated", "taskservs": ["mine"],
         "dependencies": ["up", "gate"]},
    ],
}  # fmt: skip


def own_entries(folder: Path, deploy: str = DEPLOY) -> Path:
    (folder / "mine").mkdir(parents=True, exist_ok=True)
    (folder / "mine" / "taskserv.yaml").write_text(METADATA)
    (folder / "mine" / "deploy.py").write_text(deploy)
    return folder


@pytest.fixture
def failed(tmp_path: Path) -> Command:
    """A run that failed before it installed anything of its own catalogue."""
    command = Command(tmp_path, BATCHWRIGHT_STATE_DIR=str(tmp_path / "state"))
    (tmp_path / "flow.json").write_text(json.dumps({"batch_workflow": FLOW}))
    own_entries(tmp_path / "own")
    command("run", "flow.json", "--catalogue", "own", code=1)
    (tmp_path / "go").touch()
    return command


def test_resume_needs_no_catalogue_on_the_command_line(failed: Command) -> None:
    assert "catalogue " + str(failed.home / "own") in failed("status", "latest").stdout
    assert failed.json("resume", "latest")["status"] == "Completed"


def test_an_entry_that_changed_is_refused_before_anything_is_done(failed: Command) -> None:
    own_entries(failed.home / "own", DEPLOY + "# mended\n")
    before = failed("events", "latest").stdout
    refused = failed("resume", "latest", code=2)
    assert 'the task service "mine" in' in refused.stderr
    assert "was planned [entry-changed]" in refused.stderr
    assert "rollback" in refused.stderr
    assert failed("events", "latest").stdout == before
    assert failed.json("rollback", "latest", "--yes")["status"] == "RolledBack", "a way out"


def test_a_catalogue_that_moved_is_named(failed: Command) -> None:
    (failed.home / "own").rename(failed.home / "moved")
    assert 'no task service "mine"' in failed("resume", "latest", code=2).stderr
    assert failed.json("resume", "latest", "--catalogue", "moved")["status"] == "Completed"


def test_a_plan_file_takes_its_catalogue_along(failed: Command) -> None:
    failed("rollback", "latest", "--yes")
    failed("plan", "flow.json", "--catalogue", "own", "--out", "shop.plan")
    own_entries(failed.home / "own", DEPLOY + "# mended\n")
    refused = failed("run", "shop.plan", code=1)
    assert "[entry-changed]" in refused.stderr
    assert "--catalogue DIR" in refused.stderr
    own_entries(failed.home / "kept")
    (failed.home / "own").rename(failed.home / "gone")
    assert failed.json("run", "shop.plan", "--catalogue", "kept")["status"] == "Completed"


def test_the_runner_has_the_recorded_folders(tmp_path: Path) -> None:
    folder = own_entries(tmp_path / "own")
    entry = load_catalogue([folder])["mine"]
    flow = workflow(servers("up", "a"), taskservs("on", "mine", after=("up",)))
    plan = plan_of(flow, load_catalogue([folder]))
    assert any(isinstance(step.request, TaskservRequest) and step.request.digest == entry.digest for step in plan.steps)
    settings = Settings(tmp_path / "state")
    inputs = RunInputs(catalogues=(InputFile(str(folder), "any"), InputFile(str(tmp_path / "none"), "any")))
    assert with_catalogues(settings, inputs, plan.steps).catalogues == (folder,)
    assert with_catalogues(settings, None, plan.steps) == settings
    copy = own_entries(tmp_path / "copy")
    other = Settings(tmp_path / "state", catalogues=(copy,))
    assert with_catalogues(other, inputs, plan.steps) == other, "it has the same entry"
    runners = SharedRunner(settings, VirtualClock())
    assert runners.get((folder,)) is runners.get((folder,))
    assert runners.get((folder,)) is not runners.get()
