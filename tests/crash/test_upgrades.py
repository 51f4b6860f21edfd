"""An upgrade: what earlier versions left is carried on, and they refuse what this one wrote."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from batchwright.app import lease_takeover
from batchwright.journal import event_codec, lease_holder
from batchwright.journal.sqlite.connect import SCHEMA_VERSION
from batchwright.model.plan import RULES, SEMANTICS
from batchwright.providers.simulated.world import World
from tests.support.command_line import Command
from tests.support.old_versions import (
    CASES,
    KEPT,
    STATES,
    VERSIONS,
    Case,
    OldCommand,
    Version,
    make_state,
    workflow,
    write_state,
)


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first versions did not record how to see whether a driver is dead; users wait fifteen seconds for that."""
    monkeypatch.setattr(lease_takeover, "WATCH_SECONDS", 0.0)
    monkeypatch.setattr(lease_holder, "LEASE_SECONDS", 0.0)


BEGUN = {"creating", "installing", "asking", "broken"}  # runs that can go on


def carry_on(home: Path, cases: set[str]) -> None:
    """Every run is as it was, goes on if it can, and is undone. Nothing is left in the simulated world."""
    batchwright = Command(home, BATCHWRIGHT_STATE_DIR=str(home / "state"))
    assert "0 runs with a problem" in batchwright("store", "check").stderr
    listed = batchwright.json("list")["runs"]
    found = {run["workflow"].split()[0]: run for run in listed}
    assert {name: run["status"] for name, run in found.items()} == {
        case.name: case.status for case in CASES if case.name in cases
    }
    for name in sorted(BEGUN & cases):
        if name == "asking":
            batchwright("approve", name)
        assert batchwright.json("resume", found[name]["run"])["status"] == "Completed", name
    for name in sorted(cases - {"undone"}):
        there = batchwright.json("status", name)
        assert [server["name"] for server in there["resources"]] == [f"{name}-1", f"{name}-2"]
        assert batchwright.json("rollback", found[name]["run"], "--yes")["status"] == "RolledBack", name
    world = World(home / "state/simulated.db")
    assert not world.servers()
    assert not world.duplicates()
    world.close()


@pytest.mark.parametrize("version", KEPT, ids=lambda version: version.name)
def test_what_an_earlier_version_left_goes_on(version: Version, tmp_path: Path) -> None:
    files = json.loads((STATES / f"{version.name}.json").read_text())
    assert files["journal.db"]["user_version"] == version.store
    write_state(files, tmp_path / "state")
    carry_on(tmp_path, {case.name for case in CASES if case.name != "undone" and (version.asks or not case.asks)})


def test_each_format_of_the_past_is_tried() -> None:
    assert {version.store for version in VERSIONS} == set(range(1, SCHEMA_VERSION + 1))
    assert {version.events for version in VERSIONS} == set(range(1, event_codec.VERSION + 1))
    assert {version.semantics for version in VERSIONS} == set(RULES) - {SEMANTICS}


@pytest.mark.long
@pytest.mark.parametrize("version", VERSIONS, ids=lambda version: version.name)
def test_an_earlier_version_itself(version: Version, tmp_path: Path) -> None:
    state = tmp_path / "state"
    make_state(version, tmp_path / "programs", state)
    carry_on(tmp_path, {case.name for case in CASES if version.asks or not case.asks})
    (tmp_path / "newer.ncl").write_text(workflow(Case("newer", "Completed")))
    Command(tmp_path, BATCHWRIGHT_STATE_DIR=str(state))("run", "newer.ncl", "--simulate", "--sim", "time_scale=0.01")
    run = Command(tmp_path, BATCHWRIGHT_STATE_DIR=str(state)).json("status", "newer")["run"]
    refused = OldCommand(version, tmp_path / "programs", state)("rollback", run, "--yes", folder=tmp_path)
    assert refused.returncode > 0
    assert re.search(refusal(version), refused.stderr)


def refusal(version: Version) -> str:
    """How a version says that something is of this one."""
    if version.store < SCHEMA_VERSION:
        return f"has format {SCHEMA_VERSION}; this Batchwright knows formats up to {version.store}"
    if version.events < event_codec.VERSION:
        return f"an event of version {event_codec.VERSION}; this Batchwright knows up to {version.events}"
    return f"was planned with semantics {SEMANTICS}"


@pytest.mark.long
@pytest.mark.parametrize("version", VERSIONS, ids=lambda version: version.name)
def test_the_program_is_replaced_while_a_run_is_driven(version: Version, tmp_path: Path) -> None:
    """The new one opens the store, and so upgrades it; the driver of before ends its run all the same."""
    state = tmp_path / "state"
    (tmp_path / "under-way.ncl").write_text(workflow(Case("under-way", "Completed")))
    old = OldCommand(version, tmp_path / "programs", state)
    batchwright = Command(tmp_path, BATCHWRIGHT_STATE_DIR=str(state))
    with old.started("run", "under-way.ncl", "--simulate", "--sim", "install_seconds=5", folder=tmp_path) as driver:
        told = driver.read_until("under-way-1/containerd: started")
        batchwright("list")
        status = batchwright.json("status", "under-way")
        assert status["changing"]
        told += driver.rest()
    assert driver.process.returncode == 0, told
    assert batchwright.json("status", "under-way")["status"] == "Completed"
    assert batchwright.json("rollback", "under-way", "--yes")["status"] == "RolledBack"
    assert "0 runs with a problem" in batchwright("store", "check").stderr
    world = World(state / "simulated.db")
    assert not world.servers()
    world.close()
