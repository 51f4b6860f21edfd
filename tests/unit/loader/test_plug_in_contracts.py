"""The contract that a plug-in brings: it holds for the servers of its provider, and opens no other file to anybody."""

from __future__ import annotations

from pathlib import Path

import pytest

from batchwright.app.program_and_secret_allowlist import NOTHING
from batchwright.errors import ProviderUnavailable
from batchwright.loader import Loaded, SourceLocation, load, load_source, locate_source
from batchwright.providers import registry
from batchwright.service.evaluator_worker import EvaluationJob, evaluated

CONTRACT = """
fun workflows =>
  let { kit, HostName, Text, .. } = workflows in
  kit.Fields "rack server" { name | HostName, slot | kit.Integer 1 40 } { note | Text | optional } { note = "none" }
"""
SERVER = '{ name = "a", slot = 7 }'


def flow(server: str = SERVER, provider: str = "rack") -> str:
    operation = f'{{ id = "r", type = "server_batch", provider = "{provider}", server_configs = [\n{server}] }}'
    return f'{{ batch_workflow = {{ name = "x", version = "1", operations = [{operation}] }} }}'


@pytest.fixture
def contract(tmp_path: Path) -> Path:
    file = tmp_path / "package" / "rack.ncl"
    file.parent.mkdir()
    file.write_text(CONTRACT)
    return file


def codes(loaded: Loaded) -> list[tuple[str, int, int]]:
    return [(one.code, one.line, one.column) for one in loaded.diagnostics]


def test_it_holds_for_the_servers_of_its_provider_and_for_no_others(contract: Path) -> None:
    loaded = load_source(flow(), "flow.ncl", providers={"rack": contract, "other": None})
    assert loaded.workflow is not None
    (server,) = loaded.workflow.operations[0].server_configs  # type: ignore[union-attr]
    assert (server.name, server.options) == ("a", {"slot": 7, "note": "none"})
    for provider in ("other", "aws"):
        found = load_source(flow(provider=provider), "flow.ncl", providers={"rack": contract, "other": None})
        assert {code for code, _, _ in codes(found)} == {"missing-field", "unknown-field"}


def test_mistakes_are_told_with_their_places(contract: Path) -> None:
    wrong = '{ name = "a", slot = 41, rows = 1 }'
    found = load_source(flow(wrong), "flow.ncl", providers={"rack": contract})
    assert codes(found) == [("out-of-range", 2, 22), ("unknown-field", 2, 26)]
    path = ("batch_workflow", "operations", 0, "server_configs", 0, "slot")
    assert locate_source(flow(), "flow.ncl", [path], providers={"rack": contract}) == [
        SourceLocation("flow.ncl", 2, 22)
    ]


@pytest.mark.parametrize("text", ["fun workflows => {", "{ a = 1 }", "fun workflows => workflows.kit.Feilds 1 2 3 4"])
def test_one_that_is_broken_is_told_as_the_plug_ins_fault(contract: Path, text: str) -> None:
    contract.write_text(text)
    with pytest.raises(ProviderUnavailable, match="plug-in for the provider rack has a contract") as raised:
        load_source(flow(), "flow.ncl", providers={"rack": contract})
    assert str(contract) in raised.value.hint


def test_it_may_not_open_other_files(contract: Path) -> None:
    (contract.parent / "secret.txt").write_text("TOP-SECRET-CONTENT")
    contract.write_text('fun workflows => let text = import "secret.txt" as \'Text in std.fail_with text')
    with pytest.raises(ProviderUnavailable) as raised:
        load_source(flow(), "flow.ncl", providers={"rack": contract})
    assert "TOP-SECRET" not in f"{raised.value.message} {raised.value.hint}"


def test_a_workflow_may_not_import_it(contract: Path, tmp_path: Path) -> None:
    (tmp_path / "flows").mkdir()
    file = tmp_path / "flows" / "flow.ncl"
    for target in (str(contract), "../package/rack.ncl"):
        file.write_text(flow(f'let contract = import "{target}" in {SERVER}'))
        assert [code for code, _, _ in codes(load(file, providers={"rack": contract}))] == ["import-refused"]


def test_the_service_knows_the_plug_ins_of_its_machine(contract: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "contracts", lambda: {"rack": contract})
    answer = evaluated(EvaluationJob(flow(), "flow.ncl", False, (), NOTHING))
    assert answer.loaded is not None
    assert answer.loaded.diagnostics == ()


def test_a_provider_whose_plug_in_is_missing_says_where_it_is_named_and_what_to_install() -> None:
    (found,) = load_source(flow('{ name = "a", plan = "p", zone = "z" }'), "flow.ncl").diagnostics
    assert str(found) == 'flow.ncl:1:109: unknown provider "rack" [unknown-provider]'
    assert found.hint.endswith("If a plug-in adds rack, install it: usually the package batchwright-rack.")
