"""Overlays merge over a file and keep their places; inputs are checked by the file's own contracts."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from batchwright.loader import Loaded, load
from batchwright.model.workflow import Workflow
from batchwright.operations.server_batch import ServerBatch

BASE = """{
  inputs = {
    region | String | doc "where" | default = "de-fra1",
    count | std.contract.from_predicate (fun n => std.is_number n && n > 0) | default = 1,
    spare | Bool | default = false,
    owner | String,
  },
  batch_workflow = {
    name = "shop",
    version = "1",
    parallel_limit | default = 5,
    description | default = inputs.owner,
    rollback_enabled = !inputs.spare,
    operations = {
      web = {
        type = "server_batch",
        provider | default = "upcloud",
        server_configs =
          std.array.generate
            (fun n => { name = "web-%{std.to_string n}", plan = "p", zone = inputs.region })
            inputs.count,
      },
    },
  },
}
"""
OWNER = {"owner": "ops"}


@pytest.fixture
def base(tmp_path: Path) -> Path:
    file = tmp_path / "base.ncl"
    file.write_text(BASE)
    return file


def overlay(base: Path, text: str, name: str = "prod.ncl") -> Path:
    file = base.parent / name
    file.write_text(text)
    return file


def valid(result: Loaded) -> Workflow:
    assert result.diagnostics == ()
    assert result.workflow is not None
    return result.workflow


def servers(result: Loaded) -> list[tuple[str, str]]:
    (batch,) = valid(result).operations
    assert isinstance(batch, ServerBatch)
    return [(server.name, server.zone) for server in batch.server_configs]


def problems(result: Loaded) -> list[tuple[str, str, int, int]]:
    assert result.workflow is None
    return [(Path(found.file).name, found.code, found.line, found.column) for found in result.diagnostics]


def test_an_overlay_replaces_defaults_and_adds_operations(base: Path) -> None:
    prod = overlay(base, '{ batch_workflow = { parallel_limit = 50, operations.web.provider = "aws" } }')
    workflow = valid(load(base, overlays=[prod], inputs=OWNER))
    assert workflow.parallel_limit == 50
    assert workflow.operations[0].provider == "aws"
    more = overlay(
        base,
        """{ batch_workflow.operations.cache =
             { type = "taskserv_batch", provider = "aws", dependencies = ["web"], taskservs = ["redis"] } }""",
        "more.ncl",
    )
    both = valid(load(base, overlays=[prod, more], inputs=OWNER))
    assert [operation.id for operation in both.operations] == ["cache", "web"]


def test_an_overlay_needs_force_against_what_is_no_default(base: Path) -> None:
    plain = overlay(base, '{ batch_workflow.name = "stall" }')
    (conflict,) = load(base, overlays=[plain], inputs=OWNER).diagnostics
    assert (conflict.code, "| force" in conflict.hint) == ("merge-conflict", True)
    forced = overlay(base, '{ batch_workflow.name | force = "stall" }')
    assert valid(load(base, overlays=[forced], inputs=OWNER)).name == "stall"


def test_an_overlay_may_be_json_or_yaml(base: Path) -> None:
    for name, text in (
        ("o.json", '{"batch_workflow": {"parallel_limit": 7}}'),
        ("o.yaml", "batch_workflow:\n  parallel_limit: 7\n"),
    ):
        assert valid(load(base, overlays=[overlay(base, text, name)], inputs=OWNER)).parallel_limit == 7


def test_mistakes_are_placed_in_the_file_they_are_in(base: Path) -> None:
    prod = overlay(base, '{ batch_workflow = {\n  parallel_limit = "50",\n  operations.web.provider = "awz",\n} }')
    assert problems(load(base, overlays=[prod], inputs=OWNER)) == [
        ("prod.ncl", "wrong-type", 2, 20),
        ("prod.ncl", "unknown-provider", 3, 29),
    ]


def test_a_mistake_of_a_merged_record_is_placed_in_the_first_file_that_has_it(base: Path) -> None:
    base.write_text(BASE.replace('    name = "shop",\n', ""))
    prod = overlay(base, "{ batch_workflow.parallel_limit = 50 }")
    assert problems(load(base, overlays=[prod], inputs=OWNER)) == [("base.ncl", "missing-field", 8, 20)]


def test_two_files_that_cannot_be_parsed_are_both_told(base: Path) -> None:
    base.write_text(BASE.replace('name = "shop",', 'name = "shop"'))
    prod = overlay(base, "{ batch_workflow.parallel_limit: 50 }")
    assert problems(load(base, overlays=[prod])) == [
        ("base.ncl", "syntax-error", 10, 13),
        ("prod.ncl", "syntax-error", 1, 34),
    ]


def test_inputs_replace_defaults_and_overlays(base: Path) -> None:
    prod = overlay(base, '{ inputs.region = "us-nyc1" }')
    assert servers(load(base, inputs=OWNER)) == [("web-0", "de-fra1")]
    assert servers(load(base, overlays=[prod], inputs=OWNER)) == [("web-0", "us-nyc1")]
    given = {**OWNER, "region": "fi-hel1", "count": "2", "spare": "true"}
    assert servers(load(base, overlays=[prod], inputs=given)) == [("web-0", "fi-hel1"), ("web-1", "fi-hel1")]


@pytest.mark.parametrize("value", ['a"b', "a\\b", "%{1 + 1}", "%%{x}", "tab\tand\nline", "{} & {", "é€", "7", "true"])
def test_a_text_input_arrives_as_it_was_given(value: str, base: Path) -> None:
    workflow = valid(load(base, inputs={"owner": value}))
    assert workflow.description == value


def test_an_input_without_value_is_told_with_what_to_do(base: Path) -> None:
    (found,) = load(base).diagnostics
    assert (found.code, found.message, found.line) == ("missing-definition", "`owner` has no value", 6)
    assert "--set owner=VALUE" in found.hint


def test_an_unknown_input_is_refused_with_what_there_is(base: Path) -> None:
    result = load(base, inputs={**OWNER, "regoin": "x", "colour": "red"})
    assert [(found.code, found.message) for found in result.diagnostics] == [
        ("unknown-input", "unknown input `regoin`"),
        ("unknown-input", "unknown input `colour`"),
    ]
    assert result.diagnostics[0].hint == 'Did you mean "region"?'
    assert result.diagnostics[1].hint == "Known: count, owner, region, spare."


def test_a_file_without_inputs_says_so(base: Path) -> None:
    base.write_text('{ batch_workflow = { name = "x" } }')
    (found,) = load(base, inputs={"region": "x"}).diagnostics
    assert (found.code, "no inputs" in found.hint) == ("unknown-input", True)


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"count": "many"}, "expected a number"),
        ({"count": "0"}, "contract broken"),
        ({"count": '"7"'}, "contract broken"),
        ({"spare": "yes"}, "expected true or false"),
        ({"spare": "1"}, "contract broken by the value of `spare`: expected Bool"),
    ],
)
def test_the_files_own_contract_holds_for_inputs(given: Mapping[str, str], reason: str, base: Path) -> None:
    (found,) = load(base, inputs={**OWNER, **given}).diagnostics
    ((name, value),) = given.items()
    assert found.code == "input-refused"
    assert found.message.startswith(f'input `{name}` does not accept "{value}": {reason}')


def test_all_refused_inputs_are_told(base: Path) -> None:
    result = load(base, inputs={"count": "many", "spare": "yes", "colour": "red"})
    assert sorted(found.code for found in result.diagnostics) == ["input-refused", "input-refused", "unknown-input"]


def test_a_broken_file_is_told_before_its_inputs(base: Path) -> None:
    base.write_text("{ inputs = { a = 1 }, batch_workflow: }")
    assert [found.code for found in load(base, inputs={"a": "2"}).diagnostics] == ["syntax-error"]
