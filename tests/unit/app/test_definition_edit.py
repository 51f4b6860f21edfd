"""An author adds servers to a file by structured verbs; what it gives is checked by loading it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from batchwright.agents.roles.payloads import DefinitionPatch
from batchwright.agents.roles.registry import answered
from batchwright.app.definition_edit import more_servers
from batchwright.app.settings import Settings
from batchwright.app.workflow_source import Source
from batchwright.errors import UsageError
from batchwright.loader import load

FILE = """# the shop
let common = import "common.ncl" in
let made = fun i => { name = "auto-%{std.to_string i}", plan = "small", zone = "zone-a" } in
{ batch_workflow = {
  name = "shop", version = "1", operations = [
    { id = "web", type = "server_batch", provider = "simulated", server_configs = [
      {
        name = "web-01", # the } first
        plan = common.plan,
        zone = "zone-a",
        labels = { zone = "x" },
      },
      { name = "web-07", plan = "small", zone = "zone-b" },
    ] },
    { id = "auto", type = "server_batch", provider = "simulated", server_configs = [made 1] },
  ],
} }
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "common.ncl").write_text('{ plan = "small" }', encoding="utf-8")
    path = tmp_path / "shop.ncl"
    path.write_text(FILE, encoding="utf-8")
    return path


def edit(file: Path, like: str, count: int = 1, zone: str = "") -> DefinitionPatch:
    made = more_servers(Settings(state_dir=file.parent / "state"), Source(file), like, count, zone)
    payload = answered("author", made).reports[0].payload
    assert isinstance(payload, DefinitionPatch)
    return payload


def test_a_patch_adds_what_was_asked_and_applies(file: Path) -> None:
    made = edit(file, "web-01", 2, "us-nyc1")
    assert (made.operation, made.added) == ("web", ("web-08", "web-09"))
    assert sorted(one.name for one in file.parent.iterdir()) == ["common.ncl", "shop.ncl"]  # no copy is left
    assert file.read_text(encoding="utf-8") == FILE
    subprocess.run(["patch", "-s", "-p1"], input=made.patch, text=True, cwd=file.parent, check=True)
    workflow = load(file).workflow
    assert workflow is not None
    configs = workflow.operations[0].server_configs  # type: ignore[attr-defined]
    assert [(one.name, one.zone, one.plan) for one in configs] == [
        ("web-01", "zone-a", "small"),
        ("web-08", "us-nyc1", "small"),
        ("web-09", "us-nyc1", "small"),
        ("web-07", "zone-b", "small"),
    ]
    assert all(one.labels == {"zone": "x"} for one in configs[:3])


@pytest.mark.parametrize(
    ("like", "count", "said"),
    [
        ("web-02", 1, "the file has no server 'web-02'"),
        ("auto-1", 1, "are not plain texts in the file"),
        ("web-01", 0, "--count 0"),
    ],
)
def test_what_cannot_be_copied_is_said(file: Path, like: str, count: int, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        edit(file, like, count)


def test_a_zone_cannot_break_out_of_its_text(file: Path) -> None:
    with pytest.raises(UsageError, match="is not a name"):
        edit(file, "web-07", 1, 'x", labels = { a = "b" }, image = "y')
