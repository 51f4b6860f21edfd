"""Changing a server of this machine, over files that stand for its folder and its control groups."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

from batchwright import durable_files
from batchwright.model.call_outcome import Going, Rejected
from batchwright.model.fault import FaultClass
from batchwright.operations.server_batch import ServerRequest
from batchwright.providers.local import cgroups, records, server_changes
from batchwright.providers.local.cgroups import Hierarchy

REF, MB = "local-abcdefabcdef", 1024 * 1024
SMALL = ServerRequest("web", "1xCPU-256MB", "here", labels={"tier": "web"}, resolved={"memory_mb": "256", "base": "b"})
LARGE = replace(SMALL, plan="2xCPU-1GB", labels={"team": "a"})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / REF
    place.mkdir()
    request = replace(SMALL, labels={"tier": "web", "cost": "7"})
    intent = records.Intent(REF, "run", "token", request, "127.77.0.9", 22, records.SYSTEM, 1.0)
    (place / records.INTENT).write_bytes(records.encode(intent))
    return place


@pytest.fixture
def groups(tmp_path: Path) -> tuple[Hierarchy, Path]:
    """A v2 hierarchy whose server uses 300 MB."""
    hierarchy = Hierarchy(tmp_path / "cgroup", 2)
    group = cgroups.group_of(hierarchy, REF)
    group.mkdir(parents=True)
    for name, text in (("memory.max", "x"), ("memory.high", "max"), ("memory.current", str(300 * MB))):
        (group / name).write_text(text)
    return hierarchy, group


def now(folder: Path) -> ServerRequest:
    intent = records.read_intent(folder)
    assert intent is not None
    return intent.request


def test_the_limit_and_the_record_change_and_can_change_back(folder: Path, groups: tuple[Hierarchy, Path]) -> None:
    hierarchy, group = groups
    for _ in range(2):
        assert server_changes.change(folder, [hierarchy], LARGE, SMALL) is None
        assert (now(folder).plan, now(folder).labels) == ("2xCPU-1GB", {"cost": "7", "team": "a"})
        assert now(folder).resolved == {"base": "b", "cpus": "2", "memory_mb": "1024"}
        assert (group / "memory.max").read_text() == str(1024 * MB)
        assert (group / "memory.high").read_text() == "max"
    middle = replace(LARGE, plan="1xCPU-512MB")
    assert server_changes.change(folder, [hierarchy], middle, LARGE) is None
    assert (group / "memory.max").read_text() == str(512 * MB)


def test_a_plan_with_less_memory_than_is_used_changes_nothing(folder: Path, groups: tuple[Hierarchy, Path]) -> None:
    hierarchy, group = groups
    assert server_changes.change(folder, [hierarchy], LARGE, SMALL) is None
    before = now(folder)
    refused = server_changes.change(folder, [hierarchy], SMALL, LARGE)
    assert isinstance(refused, Rejected)
    assert (refused.fault.kind, refused.fault.code) == (FaultClass.PERMANENT, "MEMORY_IN_USE")
    assert now(folder) == before
    assert (group / "memory.max").read_text() == str(1024 * MB)
    assert (group / "memory.high").read_text() == "max"


def test_a_server_that_is_gone_or_going_or_held_is_left_alone(folder: Path) -> None:
    with durable_files.alone(folder):
        assert isinstance(server_changes.change(folder, [], LARGE, SMALL), Going)
    for gone in (lambda: (folder / records.DESTROYING).touch(), lambda: (folder / records.INTENT).unlink()):
        before = (folder / records.INTENT).read_bytes()
        gone()
        refused = server_changes.change(folder, [], LARGE, SMALL)
        assert isinstance(refused, Rejected)
        assert refused.fault.kind is FaultClass.NOT_FOUND
        assert not (folder / records.INTENT).exists() or (folder / records.INTENT).read_bytes() == before
    assert isinstance(server_changes.change(folder.parent / "local-other", [], LARGE, SMALL), Rejected)
    refused = server_changes.change(folder, [], replace(LARGE, plan="huge"), SMALL)
    assert isinstance(refused, Rejected)
    assert refused.fault.kind is FaultClass.INVALID
