"""A right file becomes a Workflow, in every format and with everything normalised."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from batchwright.errors import EvaluatorUnavailable, FileUnreadable
from batchwright.loader import LOCAL, Loaded, evaluator_client, load, load_source
from batchwright.model.diagnostic import Severity
from batchwright.model.workflow import Dependency, DependencyKind, OnFailure, Retry, ServerConfig, Workflow
from batchwright.operations.server_batch import ServerBatch
from batchwright.operations.taskserv_batch import TaskservBatch, TaskservUse
from batchwright.views.definition import definition
from tests.support.examples import share

EXAMPLE = Path(__file__).parents[3] / "workflows" / "example_batch.ncl"
MINIMAL = {
    "batch_workflow": {
        "name": "x",
        "version": "1",
        "operations": [
            {
                "id": "a",
                "type": "server_batch",
                "provider": "local",
                "server_configs": [{"name": "a", "plan": "p", "zone": "z"}],
            }
        ],
    }
}


def operation(**fields: object) -> dict[str, object]:
    """The minimal workflow with fields added to its operation."""
    whole = json.loads(json.dumps(MINIMAL))
    whole["batch_workflow"]["operations"][0].update(fields)
    return whole


def loaded(tmp_path: Path, content: object, name: str = "flow.json") -> Loaded:
    file = tmp_path / name
    file.write_text(content if isinstance(content, str) else json.dumps(content))
    return load(file)


def valid(tmp_path: Path, content: object, name: str = "flow.json") -> Workflow:
    result = loaded(tmp_path, content, name)
    assert result.diagnostics == ()
    assert result.workflow is not None
    return result.workflow


def test_the_example_loads_as_it_stands() -> None:
    result = load(EXAMPLE)
    assert result.workflow == Workflow(
        name="multi_cloud_deployment",
        version="1.0.0",
        storage_backend="surrealdb",
        parallel_limit=5,
        operations=(
            ServerBatch(
                id="upcloud_servers",
                provider="upcloud",
                server_configs=(
                    ServerConfig(name="web-01", plan="1xCPU-2GB", zone="de-fra1"),
                    ServerConfig(name="web-02", plan="1xCPU-2GB", zone="us-nyc1"),
                ),
            ),
            TaskservBatch(
                id="aws_taskservs",
                provider="aws",
                dependencies=(Dependency("upcloud_servers"),),
                taskservs=(TaskservUse("kubernetes"), TaskservUse("cilium"), TaskservUse("containerd")),
            ),
        ),
    )
    (warning,) = result.diagnostics
    assert (warning.code, warning.severity) == ("plan-normalised", Severity.WARNING)
    assert (warning.line, warning.column) == (15, 37)
    assert warning.message == 'plan "1xCPU-2 GB" is read as "1xCPU-2GB"'
    assert warning.notes == ("This occurs in 2 places.",)


def test_the_example_of_the_reference_loads(tmp_path: Path) -> None:
    reference = (EXAMPLE.parents[1] / "docs" / "workflow-file.md").read_text()
    valid(tmp_path, reference.split("```nickel\n")[1].split("```")[0], "flow.ncl")


@pytest.mark.parametrize("suffix", [".ncl", ".json", ".yaml", ".yml"])
def test_every_format_says_the_same(suffix: str, tmp_path: Path) -> None:
    workflow = load(EXAMPLE).workflow
    assert workflow is not None
    plain = {"batch_workflow": definition(workflow)}
    text = {".ncl": EXAMPLE.read_text(), ".json": json.dumps(plain)}.get(suffix, yaml.safe_dump(plain))
    assert loaded(tmp_path, text, f"flow{suffix}").workflow == load(EXAMPLE).workflow


def test_defaults_of_the_schema_and_of_the_model_agree(tmp_path: Path) -> None:
    server = ServerConfig(name="a", plan="p", zone="z")
    bare = Workflow(
        name="x", version="1", operations=(ServerBatch(id="a", provider="local", server_configs=(server,)),)
    )
    assert valid(tmp_path, MINIMAL) == bare
    services = {"id": "a", "type": "taskserv_batch", "provider": "local", "taskservs": ["redis"]}
    whole = {"batch_workflow": {"name": "x", "version": "1", "operations": [services]}}
    expected = TaskservBatch(id="a", provider="local", taskservs=(TaskservUse("redis"),))
    assert valid(tmp_path, whole).operations == (expected,)


@pytest.mark.parametrize(
    ("written", "seconds"),
    [(90, 90), (0.5, 0.5), ("30s", 30), ("10m", 600), ("1h", 3600), ("1.5m", 90), ("24h", 86400)],
)
def test_durations_become_seconds(written: object, seconds: float, tmp_path: Path) -> None:
    retry = {"max_attempts": 2, "initial_delay": written, "max_delay": written}
    (batch,) = valid(tmp_path, operation(timeout=written, retry=retry)).operations
    assert batch.timeout == seconds
    assert batch.retry == Retry(2, seconds, seconds)


def test_shorthands_are_written_out(tmp_path: Path) -> None:
    text = """{ batch_workflow = {
      name = "x", version = "1", on_failure = 'stop, description = "why",
      operations = {
        two = {
          type = 'taskserv_batch, provider = 'aws, on_failure = 'rollback, targets = ["one", "web-1"],
          dependencies = ["one", { id = "three", kind = 'soft }],
          taskservs = ["redis", { name = "cilium", variables = { mtu = 1500, ipv6 = true, mode = "v", on = ["a"] } }],
        },
        one = {
          type = "server_batch", provider = "aws",
          server_configs = [{
            name = "web-1", plan = "p", zone = "z", image = "i", user_data = "#!", ssh_keys = [],
            labels = { team = "a", "x.y-z" = "" },
          }],
        },
        three = { id = "three", type = "taskserv_batch", provider = "aws", taskservs = ["redis"] },
      },
    } }"""
    workflow = valid(tmp_path, text, "flow.ncl")
    assert (workflow.on_failure, workflow.description) == (OnFailure.STOP, "why")
    one, three, two = workflow.operations
    assert isinstance(one, ServerBatch)
    assert isinstance(two, TaskservBatch)
    assert (one.id, two.id, three.id) == ("one", "two", "three")
    assert one.server_configs[0].labels == {"team": "a", "x.y-z": ""}
    assert two.dependencies == (Dependency("one"), Dependency("three", DependencyKind.SOFT))
    assert two.taskservs[1] == TaskservUse("cilium", {"mtu": 1500, "ipv6": True, "mode": "v", "on": ("a",)})
    assert (two.on_failure, two.targets) == (OnFailure.ROLLBACK, ("one", "web-1"))


def test_functions_imports_and_late_binding_work(tmp_path: Path) -> None:
    (tmp_path / "parts").mkdir()
    part = 'fun place n => { name = "web-%{std.to_string n}", plan = "p", zone = place }'
    (tmp_path / "parts" / "server.ncl").write_text(part)
    (tmp_path / "parts" / "init.sh").write_text("#!/bin/sh\n")
    text = """let server = import "parts/server.ncl" in
    { batch_workflow = { name = "x", version = "1", operations = [{
      id = "a", type = "server_batch", provider = "local",
      server_configs = std.array.generate (fun n => server "z" n & { user_data = import "parts/init.sh" as 'Text }) 500,
    }] } }"""
    (batch,) = valid(tmp_path, text, "flow.ncl").operations
    assert isinstance(batch, ServerBatch)
    assert batch.server_configs[499] == ServerConfig(name="web-499", plan="p", zone="z", user_data="#!/bin/sh\n")


def test_yaml_aliases_work(tmp_path: Path) -> None:
    text = """
inputs: {size: &size small}
batch_workflow:
  name: x
  version: "1"
  operations:
    - id: a
      type: server_batch
      provider: local
      server_configs:
        - {name: a, plan: *size, zone: z}
        - {name: b, plan: *size, zone: z}
"""
    (batch,) = valid(tmp_path, text, "flow.yaml").operations
    assert isinstance(batch, ServerBatch)
    assert [server.plan for server in batch.server_configs] == ["small", "small"]
    broken = loaded(tmp_path, text.replace("name: b", "name: B"), "flow.yaml")
    assert [(found.line, found.column) for found in broken.diagnostics] == [(12, 18)]


def test_an_alias_that_nickel_loses_is_told(tmp_path: Path) -> None:
    (tmp_path / "part.yaml").write_text("a: &one small\nb: *one\n")
    text = '{ batch_workflow = { name = ((import "part.yaml") & { c = 1 }).b } }'
    found = loaded(tmp_path, text, "flow.ncl").diagnostics
    assert [one.code for one in found] == ["unsupported-alias"]


def test_tabs_windows_lines_and_wide_characters_keep_places_right(tmp_path: Path) -> None:
    file = tmp_path / "flow.ncl"
    file.write_bytes(
        b'{ batch_workflow = {\r\n\tname = "x", description = "\xc3\xa9\xe2\x82\xac", vrsion = "1",\r\n} }\r\n'
    )
    found = load(file).diagnostics
    assert [(one.code, one.line, one.column) for one in found] == [
        ("missing-field", 1, 20),
        ("unknown-field", 2, 34),
    ]


def test_what_cannot_be_evaluated_hides_nothing_else(tmp_path: Path) -> None:
    text = """let size = fun n => n + "GB" in
    { inputs = { unset | Number }, batch_workflow = { name = 5, version = {}.none, operations =
      [
        { id = "a", type = "server_batch", provider = "awz", server_configs = [
          { name = "a", plan = size 1, zone = "z" },
          { name = "b", plan = size 2, zone = inputs.unset },
        ] },
      ] @ std.array.map (fun n => { id = n ++ 1, type = "taskserv_batch" }) ["b", "c"]
    } }"""
    found = loaded(tmp_path, text, "flow.ncl").diagnostics
    assert [(one.code, one.line) for one in found] == [
        ("type-error", 1),
        ("missing-definition", 2),
        ("wrong-type", 2),
        ("no-such-field", 2),
        ("unknown-provider", 4),
        ("missing-field", 8),
        ("missing-field", 8),
        ("type-error", 8),
    ]


def test_every_error_names_the_operation_it_is_in(tmp_path: Path) -> None:
    (found,) = loaded(tmp_path, operation(provider="nowhere")).diagnostics
    assert found.where == "a"
    assert str(found).startswith(f"{tmp_path}/flow.json:1:")
    assert str(found).endswith('unknown provider "nowhere" [unknown-provider]')


def test_diagnostics_are_bounded_and_what_is_left_is_counted(tmp_path: Path) -> None:
    servers = [{"name": f"w{number}", "plan": "p", "zone": number} for number in range(60)]
    file = tmp_path / "flow.json"
    file.write_text(json.dumps(operation(server_configs=servers)))
    result = load(file, limits=msgspec.structs.replace(LOCAL, diagnostics=10))
    assert [found.code for found in result.diagnostics] == ["wrong-type"] * 10 + ["more-mistakes"]
    assert "50 more" in result.diagnostics[-1].message
    columns = [found.column for found in result.diagnostics[:-1]]
    assert columns == sorted(columns)


def test_an_error_is_never_displaced_by_warnings(tmp_path: Path) -> None:
    servers = [{"name": f"w{number}", "plan": f"p {number}", "zone": "z"} for number in range(20)]
    file = tmp_path / "flow.json"
    file.write_text(json.dumps(operation(server_configs=servers, provider="awz")))
    result = load(file, limits=msgspec.structs.replace(LOCAL, diagnostics=3))
    assert [found.code for found in result.diagnostics] == [
        "unknown-provider",
        "plan-normalised",
        "plan-normalised",
        "more-mistakes",
    ]
    assert (result.workflow, result.diagnostics[-1].severity) == (None, Severity.WARNING)
    file.write_text(json.dumps(operation(server_configs=servers)))
    result = load(file, limits=msgspec.structs.replace(LOCAL, diagnostics=3))
    assert result.workflow is not None
    none = load(file, limits=msgspec.structs.replace(LOCAL, diagnostics=0))
    assert none.workflow is not None


def test_a_file_may_have_any_name_and_be_reached_by_a_link(tmp_path: Path) -> None:
    folder = tmp_path / 'a "b" %{c} \\d é:1:2'
    folder.mkdir()
    file = folder / "flow 1.ncl"
    file.write_text("{ batch_workflow = 5 }")
    link = tmp_path / "link.ncl"
    link.symlink_to(file)
    for path in (file, link):
        (found,) = load(path).diagnostics
        assert (found.file, found.code, found.column) == (str(path), "wrong-type", 20)


def test_further_folders_may_be_imported_from_when_they_are_named(tmp_path: Path) -> None:
    shared, own = tmp_path / "shared", tmp_path / "own"
    shared.mkdir()
    own.mkdir()
    (shared / "flow.ncl").write_text("{ batch_workflow = 5 }")
    file = own / "flow.ncl"
    file.write_text('import "../shared/flow.ncl"')
    assert [found.code for found in load(file).diagnostics] == ["import-refused"]
    (found,) = load(file, limits=msgspec.structs.replace(LOCAL, import_roots=(shared,))).diagnostics
    assert (found.code, Path(found.file).parent.name) == ("wrong-type", "shared")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 2000) | st.floats(-1, 1e9) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["id", "name", "$problems", "x"]), inner)
    ),
    max_leaves=4,
)
PATHS = [
    ["batch_workflow"],
    ["batch_workflow", "name"],
    ["batch_workflow", "parallel_limit"],
    ["batch_workflow", "operations"],
    *(
        ["batch_workflow", "operations", 0, name]
        for name in ("id", "type", "dependencies", "retry", "server_configs", "timeout")
    ),
    *(
        ["batch_workflow", "operations", 0, "server_configs", 0, name]
        for name in ("name", "plan", "labels", "ssh_keys")
    ),
]


@settings(max_examples=share(60), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(changes=st.lists(st.tuples(st.sampled_from(PATHS), JSON), min_size=1, max_size=3))
def test_whatever_stands_in_a_file_the_answer_is_a_workflow_or_an_error(
    changes: list[tuple[list[Any], Any]], tmp_path: Path
) -> None:
    whole = json.loads(json.dumps(MINIMAL))
    for path, value in changes:
        place: Any = whole
        for step in path[:-1]:
            is_there = step in place if isinstance(place, dict) else isinstance(place, list) and len(place) > 0
            place = place[step] if is_there and isinstance(step, int) == isinstance(place, list) else None
        if isinstance(place, dict):
            place[path[-1]] = value
    result = loaded(tmp_path, whole)
    has_error = any(found.severity is Severity.ERROR for found in result.diagnostics)
    assert (result.workflow is None) == has_error
    assert all(found.line > 0 and found.column > 0 and found.code and found.message for found in result.diagnostics)


def test_more_operations_than_allowed_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "flow.json"
    file.write_text(json.dumps(MINIMAL))
    (found,) = load(file, limits=msgspec.structs.replace(LOCAL, operations=0)).diagnostics
    assert found.code == "too-many-operations"


def test_a_source_from_elsewhere_is_shown_by_its_name() -> None:
    assert load_source(json.dumps(MINIMAL), "request.json").workflow is not None
    result = load_source("{ batch_workflow = nothing }", "request.ncl")
    assert [str(found) for found in result.diagnostics] == [
        "request.ncl:1:20: `nothing` is not defined [unbound-name]",
    ]


def test_a_file_that_cannot_be_read_raises(tmp_path: Path) -> None:
    with pytest.raises(FileUnreadable, match=r"cannot read .*none\.ncl: No such file"):
        load(tmp_path / "none.ncl")
    with pytest.raises(FileUnreadable, match="directory"):
        load(tmp_path)
    with pytest.raises(FileUnreadable, match="not a regular file"):
        load(Path("/dev/zero"))
    with pytest.raises(FileUnreadable, match="overlay"):
        load(EXAMPLE, overlays=[tmp_path / "overlay.ncl"])


@pytest.mark.usefixtures("own_evaluator")
def test_an_evaluator_that_cannot_be_started_raises(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(evaluator_client, "find_nickel", lambda: str(tmp_path / "missing.so"))
    with pytest.raises(EvaluatorUnavailable, match="while it was starting"):
        load(EXAMPLE)
    monkeypatch.setattr("sys.executable", str(tmp_path / "missing-python"))
    with pytest.raises(EvaluatorUnavailable, match="cannot be started"):
        load(EXAMPLE)
    monkeypatch.undo()
    monkeypatch.setattr(evaluator_client, "EXTENSION_SUFFIXES", [".nothing"])
    with pytest.raises(EvaluatorUnavailable, match="py-nickel is not installed"):
        load(EXAMPLE)
