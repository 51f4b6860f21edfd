"""An author adds servers to a file by structured verbs; what it gives is checked by loading it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from batchwright.agents.roles.payloads import DefinitionPatch
from batchwright.agents.roles.registry import answered
from batchwright.app.definition_edit import DefinitionChange, edit_definition
from batchwright.app.settings import Settings
from batchwright.app.workflow_source import Source
from batchwright.errors import FileUnreadable, UsageError, WorkflowInvalid
from batchwright.loader import load
from batchwright.operations.taskserv_batch.structs import TaskservBatch

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
    return changed(file, DefinitionChange(like, count, zone))


def changed(file: Path, change: DefinitionChange) -> DefinitionPatch:
    made = edit_definition(Settings(state_dir=file.parent / "state"), Source(file), change)
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
        ("auto-1", 1, "no plain text in the file"),
        ("web-01", 0, "--count 0"),
    ],
)
def test_what_cannot_be_copied_is_said(file: Path, like: str, count: int, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        edit(file, like, count)


def test_a_zone_cannot_break_out_of_its_text(file: Path) -> None:
    with pytest.raises(UsageError, match="is not a name"):
        edit(file, "web-07", 1, 'x", labels = { a = "b" }, image = "y')


NICKEL = """{ batch_workflow = {
  name = "shop", version = "1", operations = {
    servers = {
      type = "server_batch", provider = "simulated",
      server_configs = [
        { name = "web-1", plan = "small", zone = "zone-a" }, # the first
        { name = "web-2", plan = "small", zone = "zone-a" }
      ],
    },
    web = { type = "taskserv_batch", provider = "simulated", dependencies = ["servers"], taskservs = ["nginx"] },
  },
} }
"""
JSON = """{"batch_workflow": {
  "name": "shop", "version": "1", "operations": [
    {"id": "servers", "type": "server_batch", "provider": "simulated", "server_configs": [
      {"name": "web-1", "plan": "small", "zone": "zone-a"},
      {"name": "web-2", "plan": "small", "zone": "zone-a"}
    ]},
    {"id": "web", "type": "taskserv_batch", "provider": "simulated", "dependencies": ["servers"],
     "taskservs": ["nginx"]}
  ]
}}
"""
YAML = """batch_workflow:
  name: shop
  version: "1"
  operations:
    - id: servers
      type: server_batch
      provider: simulated
      server_configs:
        # the first
        - name: web-1
          plan: small
          zone: 'zone-a'  # here

        - name: web-2
          plan: small
          zone: zone-a
    - id: web
      type: taskserv_batch
      provider: simulated
      dependencies: [servers]
      taskservs:
        - nginx
"""
FILES = {"shop.ncl": NICKEL, "shop.json": JSON, "shop.yaml": YAML}
BOTH = "web-1 small zone-a, web-2 small zone-a"


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize(
    ("change", "servers", "services"),
    [
        (DefinitionChange("web-1", 1, "zone-b"), "web-1 small zone-a, web-3 small zone-b, web-2 small zone-a", "nginx"),
        (DefinitionChange("web-2"), f"{BOTH}, web-3 small zone-a", "nginx"),
        (DefinitionChange(remove=["web-1"]), "web-2 small zone-a", "nginx"),
        (DefinitionChange(remove=["web-2"]), "web-1 small zone-a", "nginx"),
        (DefinitionChange(resize={"web-1": "large"}), "web-1 large zone-a, web-2 small zone-a", "nginx"),
        (
            DefinitionChange(resize={"web-1": "large", "web-2": "medium"}),
            "web-1 large zone-a, web-2 medium zone-a",
            "nginx",
        ),
        (DefinitionChange(service="redis", on="web"), BOTH, "nginx, redis"),
        (DefinitionChange(service="redis", on="servers"), BOTH, "nginx, redis"),
        (
            DefinitionChange(service="redis", on="web-1", variables={"port": 6380}),
            BOTH,
            "nginx; redis port=6380 on web-1",
        ),
    ],
)
def test_each_verb_in_each_form_of_a_file(
    name: str, change: DefinitionChange, servers: str, services: str, tmp_path: Path
) -> None:
    file = tmp_path / name
    file.write_text(FILES[name], encoding="utf-8")
    made = changed(file, change)
    assert file.read_text(encoding="utf-8") == FILES[name]
    subprocess.run(["patch", "-s", "-p1"], input=made.patch, text=True, cwd=tmp_path, check=True)
    workflow = load(file).workflow
    assert workflow is not None
    got: dict[str, list[str]] = {"servers": [], "services": []}
    for one in workflow.operations:
        if isinstance(one, TaskservBatch):
            uses = [" ".join([use.name, *(f"{k}={v}" for k, v in use.variables.items())]) for use in one.taskservs]
            got["services"].append(", ".join(uses) + (f" on {', '.join(one.targets)}" if one.targets else ""))
        else:
            got["servers"] += [f"{at.name} {at.plan} {at.zone}" for at in one.server_configs]  # type: ignore[attr-defined]
    assert (", ".join(got["servers"]), "; ".join(sorted(got["services"]))) == (servers, services)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (DefinitionChange(), "one change at a time"),
        (DefinitionChange("web-01", remove=["web-07"]), "one change at a time"),
        (DefinitionChange(remove=["auto-1"]), "is not written out|not a record"),
        (DefinitionChange(resize={"web-01": "large"}), "plan of the server: no plain text"),
        (DefinitionChange(resize={"web-07": 'x", labels = {}, image = "y'}), "is not a name"),
        (DefinitionChange(service="nginx", on="web-9"), "--on 'web-9' is no server and no operation"),
        (DefinitionChange(service="nginx", on="web-07", variables={"x": "%{y}"}), "would be computed by Nickel"),
    ],
)
def test_what_cannot_be_changed_is_said(file: Path, change: DefinitionChange, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        changed(file, change)


def test_a_change_that_makes_the_file_wrong_is_not_shown(file: Path) -> None:
    with pytest.raises(WorkflowInvalid):
        changed(file, DefinitionChange(service="ngnix", on="web-07"))


def test_where_there_is_no_file_it_says_how_to_begin_one(file: Path) -> None:
    with pytest.raises(UsageError) as refused:
        changed(file.with_name("none.ncl"), DefinitionChange("web-01"))
    assert refused.value.hint == "Begin one: batchwright new workflow NAME"


SMALL = {
    "small.json": """{"batch_workflow": {"name": "w", "version": "1", "description": "a\u2028b", "operations": [
{"id": "web", "type": "server_batch", "provider": "simulated", "server_configs": [
{"name": "web-01", "zone": "a", "plan": "small"}, {"name": "web-02", "zone": "a", "plan": "small"}]}]}}""",
    "small.yaml": """batch_workflow:
  name: w
  version: '1'
  operations:
  - id: web
    type: server_batch
    provider: simulated
    server_configs:
    - name: web-01
      zone: a
      plan: small
    - name: web-02
      zone: a
      plan: small""",
}


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("ending", ["\n", "\r\n"])
@pytest.mark.parametrize("last", ["", "\n"])
def test_a_patch_applies_however_the_lines_end(tmp_path: Path, name: str, ending: str, last: str) -> None:
    file = tmp_path / name
    file.write_bytes((SMALL[name] + last).replace("\n", ending).encode())
    for change, servers in (
        (DefinitionChange("web-02"), ["web-01", "web-02", "web-03"]),
        (DefinitionChange(remove=["web-02", "web-03"]), ["web-01"]),
    ):
        made = changed(file, change).patch.encode()
        subprocess.run(["patch", "-s", "-p1", "--binary"], input=made, cwd=tmp_path, check=True)
        workflow = load(file).workflow
        assert workflow is not None
        assert [one.name for one in workflow.operations[0].server_configs] == servers  # type: ignore[attr-defined]
    raw = file.read_bytes()
    assert raw.count(b"\r\n") == (raw.count(b"\n") if ending == "\r\n" else 0)


def test_a_file_that_cannot_be_edited_is_refused_in_words(tmp_path: Path) -> None:
    file, folder = tmp_path / "mixed.yaml", tmp_path / "folder.yaml"
    folder.mkdir()
    with pytest.raises(FileUnreadable):
        changed(folder, DefinitionChange("web-02"))
    file.write_bytes(b"\xff\xfe")
    with pytest.raises(WorkflowInvalid):
        changed(file, DefinitionChange("web-02"))
    file.write_bytes(SMALL["small.yaml"].replace("\n", "\r\n", 3).encode())
    with pytest.raises(UsageError, match="end in different ways"):
        changed(file, DefinitionChange("web-02"))
