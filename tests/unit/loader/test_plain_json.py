"""Plain JSON without a mistake is read without Nickel; whatever else a file is, Nickel judges it."""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from batchwright.loader import LOCAL, PathDiagnostic, load, load_source
from batchwright.model.diagnostic import Diagnostic

Change = Callable[[dict[str, Any]], object]
SERVERS = {
    "id": "servers",
    "type": "server_batch",
    "provider": "upcloud",
    "server_configs": [{"name": "web-1", "plan": "small", "zone": "eu", "labels": {"b-b": "", "a-a": "1"}}],
    "waves": [1, "50%"],
    "hold_after": "first",
    "timeout": "10m",
}
SERVICES = {
    "id": "services",
    "type": "taskserv_batch",
    "provider": "upcloud",
    "dependencies": ["servers"],
    "taskservs": ["nginx", {"name": "redis", "variables": {"port": 1, "names": ["a"]}}],
}
PROBE = {"id": "probe", "type": "command", "run": ["true", "${servers.web-1.address}"], "dependencies": ["servers"]}
ASK = {"id": "ask", "type": "approval", "ask": "Go on?", "of": ["admin"], "when": {"probe": "ok"}}


def workflow() -> dict[str, Any]:
    operations = [SERVERS, SERVICES, {**PROBE, "answers": {"ok": 0}}, ASK]
    found: dict[str, Any] = json.loads(json.dumps({"name": "x", "version": "1", "operations": operations}))
    return found


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """One entry for each evaluator that is started."""
    module, found = import_module("batchwright.loader.load"), list[int]()
    start = module.Evaluator
    monkeypatch.setattr(module, "Evaluator", lambda *args, **kwargs: found.append(1) or start(*args, **kwargs))
    return found


def written(value: object, **options: Any) -> str:
    return json.dumps({"batch_workflow": value}, **options)


def test_a_right_file_needs_no_evaluation(asked: list[int], tmp_path: Path) -> None:
    file = tmp_path / "flow.json"
    file.write_text(json.dumps({"$schema": "./workflow.schema.json", "batch_workflow": workflow()}, indent=2))
    loaded = load(file)
    assert not asked
    assert not loaded.diagnostics
    assert loaded.workflow is not None
    servers, services, probe, _ = loaded.workflow.operations
    assert (servers.timeout, services.timeout, services.retry.max_attempts) == (600, 1800, 3)
    assert list(servers.server_configs[0].labels) == ["a-a", "b-b"]  # type: ignore[attr-defined]
    assert probe.dependencies[0].per == "operation"


CHANGES: dict[str, Change] = {
    "a mistake": lambda one: one.pop("version"),
    "a null": lambda one: one.update(description=None),
    "a fraction": lambda one: one["operations"][0].update(timeout=1.5),
    "a fraction in a text": lambda one: one["operations"][0].update(timeout="1.5m"),
    "a truth as a number": lambda one: one.update(parallel_limit=True),
    "a blank in a plan": lambda one: one["operations"][0]["server_configs"][0].update(plan="a b"),
    "a provider that is a list": lambda one: one["operations"][0].update(provider=[]),
    "servers that are there": lambda one: one["operations"][0].update(provider="static"),
    "a check": lambda one: one["operations"].append({"id": "c", "type": "check", "run": ["true"]}),
    "a secret": lambda one: one["operations"][1]["taskservs"][1]["variables"].update(port={"env": "X"}),
    "a cycle": lambda one: one["operations"][0].update(dependencies=["ask"], when={"ask": "yes"}),
    "a repeated id": lambda one: one["operations"][1].update(id="servers"),
    "a repeated server": lambda one: one["operations"][0]["server_configs"].append({**SERVERS["server_configs"][0]}),
    "an unknown target": lambda one: one["operations"][1].update(targets=["web-9"]),
    "an unknown dependency": lambda one: one["operations"][1].update(dependencies=["servers", "others"]),
    "a repeated service": lambda one: one["operations"][1].update(taskservs=["nginx", "nginx"]),
    "a hold without waves": lambda one: one["operations"][0].pop("waves"),
    "a hold that never asks": lambda one: one["operations"][1].update(hold={"quorum": 2}),
    "waves of a command here": lambda one: one["operations"][2].update(waves=[1]),
    "a rollback that is off": lambda one: one.update(rollback_enabled=False, on_failure="rollback"),
    "a wrong reference": lambda one: one["operations"][2].update(run=["${servers.web-9.address}"]),
    "a warning": lambda one: one["operations"][0]["server_configs"][0].update(user_data="echo"),
    "a NUL": lambda one: one.update(description="a\0b"),
    "half a character": lambda one: one.update(description="e\u0301"),
    "operations in a record": lambda one: one.update(operations={"a": {**SERVERS}}),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_what_is_not_certain_is_evaluated(change: Change, asked: list[int]) -> None:
    value = workflow()
    change(value)
    load_source(written(value), "flow.json", limits=LOCAL)
    assert asked


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('"version": "1"', '"version": "1", "version": "1"'),
        ('"version": "1"', '"version": "1", "versio\\u006e": "1"'),
        ('"version": "1"', '"version": "1", "parallel_limit": -0'),
        ('"version": "1"', '"version": "1", "parallel_limit": 1e0'),
        ('"version": "1"', '"version": "1", "parallel_limit": NaN'),
        ('"version": "1"', '"version": "1", "parallel_limit": ' + "1" * 5000),
        ('"version": "1"', '"version": "1", "description": "\\ud800"'),
        ('"version": "1"', '"version": "1",'),
        ('"run": ["true", "$', '"run": ["true", "${servers.web-9.address}", "\\u0024'),
    ],
)
def test_odd_json_is_evaluated(before: str, after: str, asked: list[int]) -> None:
    text = written(workflow())
    assert before in text
    load_source(text.replace(before, after), "flow.json", limits=LOCAL)
    assert asked


def test_a_reference_written_with_escapes_is_seen(asked: list[int]) -> None:
    text = written(workflow()).replace("${servers.web-1", "\\u0024\\u007bservers.web-9")
    found = load_source(text, "flow.json", limits=LOCAL).diagnostics
    assert [one.code for one in found] == ["unknown-reference"]


def test_inputs_overlays_and_yaml_are_evaluated(asked: list[int], tmp_path: Path) -> None:
    file, overlay = tmp_path / "flow.json", tmp_path / "more.json"
    file.write_text(json.dumps({"batch_workflow": workflow(), "inputs": {"a": "1"}}))
    overlay.write_text("{}")
    assert load(file, inputs={"a": "2"}).workflow is not None
    file.write_text(written(workflow()))
    assert load(file, overlays=[overlay]).workflow is not None
    assert load_source(written(workflow()), "flow.yaml", limits=LOCAL).workflow is not None
    assert len(asked) == 3


def test_bounds_are_the_evaluations(asked: list[int]) -> None:
    few = replace(LOCAL, operations=3)
    assert [one.code for one in load_source(written(workflow()), "flow.json", limits=few).diagnostics] == [
        "too-many-operations"
    ]
    load_source(written(workflow()), "flow.json", limits=replace(LOCAL, nodes=100))
    assert len(asked) == 2
    deep = written(workflow()).replace('"1"', "[" * 101 + "]" * 101)
    assert [one.code for one in load_source(deep, "flow.json", limits=LOCAL).diagnostics] == ["too-deep"]
    assert len(asked) == 2


def test_keys_given_twice_in_what_the_text_was_made_from_are_found(asked: list[int]) -> None:
    text = written(workflow())
    twice = text.replace('"version": "1"', '"version": "2", "version": "1"')
    found = load_source(text, "flow.json", limits=LOCAL, original=twice).diagnostics
    assert [one.code for one in found] == ["duplicate-key"]
    assert load_source(text, "flow.json", limits=LOCAL, original=text + " ").workflow is not None
    assert len(asked) == 1


def test_what_a_judge_finds_has_its_position(asked: list[int]) -> None:
    wrong = PathDiagnostic(("batch_workflow", "version"), Diagnostic("odd", "this is odd"))
    loaded = load_source(written(workflow(), indent=1), "flow.json", limits=LOCAL, judge=lambda _: [wrong])
    assert asked
    assert [(one.code, one.line) for one in loaded.diagnostics] == [("odd", 4)]


def test_servers_of_a_plug_in_with_a_contract_are_evaluated(asked: list[int], tmp_path: Path) -> None:
    contract = tmp_path / "rack.ncl"
    contract.write_text("fun workflows => workflows.Server")
    value = workflow()
    value["operations"][0]["provider"] = "rack"
    assert load_source(written(value), "flow.json", limits=LOCAL, providers={"rack": None}).workflow is not None
    assert not asked
    assert load_source(written(value), "flow.json", limits=LOCAL, providers={"rack": contract}).workflow is not None
    assert len(asked) == 1
