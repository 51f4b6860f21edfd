"""The plan is applied, never what happens to lie in the catalogue now: only the entry that was planned is installed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from batchwright.app.system_clock import SystemClock
from batchwright.model.call_outcome import Rejected
from batchwright.model.fault import FaultClass
from batchwright.model.ssh_access import SshAccess
from batchwright.operations.taskserv_batch import TaskservRequest
from batchwright.plan import build
from batchwright.taskservs.base import Target, TaskservCall
from batchwright.taskservs.catalogue import load_catalogue
from batchwright.taskservs.runner import pyinfra_runner
from batchwright.testing.plans import empty_world, servers, taskservs, workflow

NOWHERE = Target("local", "ref", "web-01", "127.0.0.1", SshAccess("127.0.0.1", port=1))  # nobody listens there
METADATA = 'name: mine\nversion: "1"\nsummary: x\nseconds: 5\n'


def entry(root: Path) -> Path:
    (root / "mine").mkdir()
    (root / "mine" / "taskserv.yaml").write_text(METADATA)
    (root / "mine" / "deploy.py").write_text("def install(v): pass\ndef remove(v): pass\n")
    return root / "mine"


def planned(root: Path) -> TaskservRequest:
    flow = workflow(servers("made", "web-01"), taskservs("on", "mine", after=["made"]))
    plan = build(flow, load_catalogue([root]), empty_world(flow)).plan
    assert plan is not None
    request = plan.steps[-1].request
    assert isinstance(request, TaskservRequest)
    return request


def outcome(root: Path, change: Callable[[Path], object], verb: str = "install") -> Rejected:
    """What comes of a request whose entry has changed since it was planned."""
    folder = entry(root)
    catalogue = load_catalogue([root])
    request = planned(root)
    assert request.digest == catalogue["mine"].digest != ""
    change(folder)
    runner = pyinfra_runner(catalogue, catalogue.folders, str, SystemClock())
    found = asyncio.run(getattr(runner, verb)(request, NOWHERE, TaskservCall(seconds=1.0)))
    assert isinstance(found, Rejected)
    return found


CHANGES: dict[str, Callable[[Path], object]] = {
    "metadata": lambda folder: (folder / "taskserv.yaml").write_text(METADATA + "provides: [more]\n"),
    "deploy": lambda folder: (folder / "deploy.py").write_text("def install(v): 1 / 0\n"),
    "new file": lambda folder: (folder / "more.conf").write_text(""),
    "broken": lambda folder: (folder / "taskserv.yaml").write_text("name: ["),
    "gone": lambda folder: [file.unlink() for file in folder.iterdir()],
}


@pytest.mark.parametrize("what", CHANGES)
def test_an_entry_that_has_changed_since_is_not_installed(tmp_path: Path, what: str) -> None:
    fault = outcome(tmp_path, CHANGES[what]).fault
    assert (fault.kind, fault.code) == (FaultClass.PERMANENT, "entry-changed")
    assert "mine has changed since the plan" in fault.message
    assert "Plan and run again" in fault.hint


def test_one_that_has_not_is_and_what_is_installed_is_removed_whatever_has_changed(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    assert outcome(tmp_path / "a", lambda _folder: None).fault.code != "entry-changed"
    assert outcome(tmp_path / "b", CHANGES["new file"], "remove").fault.code != "entry-changed"


def test_the_plans_hash_is_that_of_what_is_installed(tmp_path: Path) -> None:
    folder, flow = entry(tmp_path), workflow(servers("made", "web-01"), taskservs("on", "mine", after=["made"]))
    first = build(flow, load_catalogue([tmp_path]), empty_world(flow)).plan
    CHANGES["deploy"](folder)
    second = build(flow, load_catalogue([tmp_path]), empty_world(flow)).plan
    assert first is not None
    assert second is not None
    assert first.hash() != second.hash()
