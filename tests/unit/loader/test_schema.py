"""The contracts by themselves: with Nickel alone, extended by merging, and documented."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from batchwright import loader
from batchwright.loader import LOCAL, load
from batchwright.loader.evaluator_client import Evaluator, NickelError
from batchwright.loader.sources import schema_folder
from batchwright.operations.taskserv_batch import variables

ROOT = Path(__file__).parents[3]
SCHEMA = f'(import "{schema_folder()}/workflows.ncl")'
EXAMPLE = ROOT / "workflows" / "example_batch.ncl"


@pytest.fixture
def evaluator() -> Iterator[Evaluator]:
    with Evaluator(LOCAL, [schema_folder(), ROOT / "workflows"]) as running:
        yield running


def flow(*operations: str, head: str = "") -> str:
    return f'{{ batch_workflow = {{ name = "x", version = "1", {head} operations = [{", ".join(operations)}] }} }}'


def batch(name: str, *dependencies: str, extra: str = "") -> str:
    needs = ", ".join(f'"{other}"' for other in dependencies)
    body = f'id = "{name}", type = "taskserv_batch", provider = "aws", dependencies = [{needs}], taskservs = ["redis"]'
    return f"{{ {body}, {extra} }}"


def judge(evaluator: Evaluator, text: str, schema: str = SCHEMA) -> Any:
    return json.loads(evaluator.run(f"({text}) | {schema}.File"))["batch_workflow"]


def test_nickel_alone_gives_what_the_loader_gives(evaluator: Evaluator) -> None:
    result = judge(evaluator, f'import "{EXAMPLE}"')
    workflow = load(EXAMPLE).workflow
    assert workflow is not None
    assert result["operations"][0]["server_configs"][0]["plan"] == "1xCPU-2GB"
    assert [one["id"] for one in result["operations"]] == [one.id for one in workflow.operations]
    assert result["operations"][1]["dependencies"] == [{"id": "upcloud_servers", "kind": "hard", "per": "operation"}]


@pytest.mark.parametrize("size", [1, 2, 200])
def test_nickel_alone_refuses_a_cycle_of_any_length(size: int, evaluator: Evaluator) -> None:
    ring = [batch(f"o{number}", f"o{(number + 1) % size}") for number in range(size)]
    with pytest.raises(NickelError, match="infinite recursion"):
        judge(evaluator, flow(*ring))
    chain = [batch("o0"), *(batch(f"o{number}", f"o{number - 1}") for number in range(1, size))]
    assert len(judge(evaluator, flow(*chain))["operations"]) == size


def test_nickel_alone_says_what_is_wrong_and_which_code_it_has(evaluator: Evaluator) -> None:
    for text, words in (
        (flow(batch("a"), head="parallel_limit = 0,"), ["expected a whole number from 1 to 1000", "[out-of-range]"]),
        (
            flow(batch("a", extra="colour = 1")),
            ["unknown field `colour`", "known: at, dependencies", "[unknown-field]"],
        ),
        (flow(batch("a"), batch("a")), ["is used more than once", "[duplicate-id]"]),
    ):
        with pytest.raises(NickelError) as caught:
            judge(evaluator, text)
        assert all(word in caught.value.args[0] for word in words)


def test_a_file_may_check_itself_and_is_checked_once_more(tmp_path: Path) -> None:
    file = tmp_path / "flow.ncl"
    file.write_text(f"({flow(batch('a'))}) | {SCHEMA}.File")
    result = load(file)
    assert (result.diagnostics, result.workflow is not None) == ((), True)


def test_a_provider_is_added_by_merging(evaluator: Evaluator) -> None:
    text = flow(batch("a").replace('"aws"', '"mycloud"'))
    with pytest.raises(NickelError, match="known: aws, hetzner, local, simulated, static, upcloud"):
        judge(evaluator, text)
    extended = f"({SCHEMA} & {{ providers.mycloud = {{}} }})"
    assert judge(evaluator, text, extended)["operations"][0]["provider"] == "mycloud"
    with pytest.raises(NickelError, match="known: aws, hetzner, local, mycloud, simulated, static, upcloud"):
        judge(evaluator, text.replace("mycloud", "myclod"), extended)


def test_a_provider_may_bring_the_contract_of_its_servers(evaluator: Evaluator) -> None:
    extended = f"""({SCHEMA} & {{
      kit, Text, HostName, # what is used from here
      providers.rack = {{ server = kit.Fields "slot" {{ name | HostName, slot | Text }} {{}} {{}} }},
    }})"""
    rack = 'id = "r", type = "server_batch", provider = "rack"'
    text = flow(f'{{ {rack}, server_configs = [{{ name = "a", slot = "7" }}] }}')
    assert judge(evaluator, text, extended)["operations"][0]["server_configs"] == [{"name": "a", "slot": "7"}]
    with pytest.raises(NickelError, match="unknown field `plan` in this slot"):
        judge(evaluator, text.replace('slot = "7"', 'slot = "7", plan = "x"'), extended)
    with pytest.raises(NickelError, match="missing field `plan` in this server"):
        judge(evaluator, text.replace('"rack"', '"aws"'), extended)


def test_an_operation_type_is_added_by_merging(evaluator: Evaluator) -> None:
    extended = f"""({SCHEMA} & {{
      kit, OperationRequired, OperationOptional, OperationDefaults, Text,
      operation_types.dns_batch =
        kit.Fields "dns_batch operation" (OperationRequired & {{ zone | Text }}) OperationOptional OperationDefaults,
    }})"""
    text = flow('{ id = "d", type = "dns_batch", provider = "aws", zone = "example.org" }', batch("a", "d"))
    assert judge(evaluator, text, extended)["operations"][0]["zone"] == "example.org"
    with pytest.raises(NickelError, match="missing field `zone` in this dns_batch operation"):
        judge(evaluator, text.replace('zone = "example.org"', ""), extended)


def test_the_loader_takes_providers_of_plug_ins(tmp_path: Path) -> None:
    file = tmp_path / "flow.ncl"
    file.write_text(flow(batch("a").replace('"aws"', '"mycloud"')))
    assert load(file, providers={"mycloud": None}).diagnostics == ()
    assert [found.code for found in load(file).diagnostics] == ["unknown-provider"]


def codes_of_the_schema() -> set[str]:
    texts = "".join(file.read_text() for file in schema_folder().glob("*.ncl"))
    return set(re.findall(r'\bcode = "([a-z0-9-]+)"', texts))


def codes_of_the_loader() -> set[str]:
    """Every constant that looks like a code; the few others that do are named here."""
    found = set()
    for file in (*Path(str(loader.__file__)).parent.glob("*.py"), Path(str(variables.__file__))):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                found |= set(re.findall(r"^[a-z]+(?:-[a-z0-9]+)+$", node.value))
    return found - {"utf-8"}


def test_every_code_is_documented_and_no_other() -> None:
    text = (ROOT / "docs" / "diagnostics.md").read_text()
    section = text.split("## In the file", 1)[1].split("\n## ", 1)[0]
    assert sorted(re.findall(r"^\| `([a-z0-9-]+)` \|", section, re.MULTILINE)) == sorted(
        codes_of_the_schema() | codes_of_the_loader()
    )
