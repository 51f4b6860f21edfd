"""Policy files: their contract, their rules called with a plan that is only data, and what a bad one costs."""

from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from batchwright.errors import FileUnreadable
from batchwright.loader.policy_file import LIMITS, PolicyAnswer, read_policy
from tests.support.examples import share

HOSTILE = (
    '" ++ std.fail_with "x" ++ "',
    "%{std.fail_with \"x\"}",
    '"%{1 + 1}"',
    "fun plan => true",
    'import "/etc/passwd"',
    "let x = 1 in x",
    "\\\"}}; { rules = {} }",
    "${server.address}",
    "m%\"text\"%",
    "\u202e\u0000-like \\u0000",
    "é🙂 \n\t",
)  # fmt: skip


def answered(folder: Path, rules: str, plan: object = None, **limits: Any) -> PolicyAnswer:
    file = folder / "policy.ncl"
    file.write_text(rules if rules.lstrip().startswith("{ rules") else f"{{ rules = {{ {rules} }} }}")
    return read_policy(file, "policy.ncl", plan=plan, limits=replace(LIMITS, **limits))


def told(answer: PolicyAnswer) -> list[str]:
    return [f"{one.file}:{one.line}:{one.column} {one.code}" for one in answer.mistakes]


def test_rules_are_data_and_their_functions_are_called(tmp_path: Path) -> None:
    rules = """
      many = { deny = fun plan => plan.number > 2, message = "too many", from = "2027-01-01" },
      named = {
        warn = fun plan => [plan.name, { message = "twice " ++ plan.name, at = plan.name }],
        exceptions = [{ server = "a", reason = "moving", end = "2026-12-31" }],
      },
    """
    found = answered(tmp_path, rules, {"number": 3, "name": "a"})
    assert found.rules == {
        "many": {"deny": True, "message": "too many", "from": "2027-01-01", "exceptions": []},
        "named": {"warn": True, "exceptions": [{"server": "a", "reason": "moving", "end": "2026-12-31"}]},
    }
    assert found.results == {"many": True, "named": ["a", {"message": "twice a", "at": "a"}]}
    assert (found.mistakes, found.failures) == ((), {})


def test_a_file_without_rules_is_valid(tmp_path: Path) -> None:
    assert answered(tmp_path, "", {}) == PolicyAnswer({})


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        ("a = 3", ["wrong-type"]),
        ("a = {}", ["rule-effect"]),
        ("a = { deny = fun p => [], warn = fun p => [] }", ["rule-effect"]),
        ('a = { warn = fun p => [], from = "2026-01-01" }', ["rule-effect"]),
        ("a = { deny = true }", ["wrong-type"]),
        ('a = { deny = fun p => [], from = "1.1.2027" }', ["bad-format"]),
        ('a = { deny = fun p => [], until = "x" }', ["unknown-field"]),
        ('"a b" = { deny = fun p => [] }', ["bad-name"]),
        ('a = { deny = fun p => [], exceptions = [{ reason = "x", end = "2026-01-01" }] }', ["exception-too-wide"]),
        ('a = { deny = fun p => [], exceptions = [{ server = "x" }] }', ["missing-field", "missing-field"]),
        ('a = { deny = fun p => [], exceptions = [{ server = "X", reason = "", end = "x" }] }', ["bad-format"] * 3),
        ("a = { deny = nothing }", ["unbound-name"]),
        ("a = { deny = fun p => [ }", ["syntax-error"]),
        ("{ rules = 3 }", ["wrong-type"]),
        ("{ rules = {}, rule = {} }", ["unknown-field"]),
    ],
)
def test_mistakes_are_told_with_their_place(tmp_path: Path, rules: str, expected: list[str]) -> None:
    found = answered(tmp_path, rules, {})
    assert found.rules is None
    assert [one.rpartition(" ")[2] for one in told(found)] == expected
    assert all(one.startswith("policy.ncl:1:") for one in told(found))


def test_all_mistakes_are_told_at_once_each_where_it_stands(tmp_path: Path) -> None:
    rules = """{ rules = {
      a = { deny = 3 },
      b = { warn = fun p => [], messag = "x" },
    } }"""
    assert told(answered(tmp_path, rules)) == ["policy.ncl:2:20 wrong-type", "policy.ncl:3:33 unknown-field"]


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ("plan.nothing", "no-such-field"),
        ('std.fail_with "own words"', "contract-broken"),
        ("fun x => x", "evaluation-error"),
        ("1 / 0", "evaluation-error"),
    ],
)
def test_a_rule_that_fails_is_named_with_its_place_and_the_others_are_called(
    tmp_path: Path, body: str, code: str
) -> None:
    found = answered(tmp_path, f"bad = {{ deny = fun plan => {body} }}, good = {{ deny = fun plan => [] }}", {})
    assert found.results == {"good": []}
    assert [(name, one.code, one.file, one.line) for name, one in found.failures.items()] == [
        ("bad", code, "policy.ncl", 1)
    ]


SUM = "std.array.fold_left (fun a b => a + b) 0 (std.array.range 0 3000)"
LONG = f"std.array.fold_left (fun a b => a + b + {SUM}) 0 (std.array.range 0 30000)"  # and needs little memory


@pytest.mark.parametrize(
    ("body", "limits", "codes"),
    [
        ("let rec f = fun n => f (n + 1) in f 0", {"memory_mib": 512}, {"too-much-memory", "too-deep"}),
        (LONG, {"cpu_seconds": 1}, {"too-slow"}),
        ('std.array.replicate 400000 "0123456789"', {"output_bytes": 1 << 20}, {"too-large"}),
    ],
)
def test_a_rule_without_bounds_is_ended_and_named(
    tmp_path: Path, body: str, limits: dict[str, Any], codes: set[str]
) -> None:
    rules = f"bad = {{ deny = fun plan => {body} }}, good = {{ deny = fun plan => [] }}"
    found = answered(tmp_path, rules, {}, **limits)
    assert found.rules is not None
    assert list(found.failures) == ["bad"]
    assert found.failures["bad"].code in codes


@pytest.mark.parametrize("text", HOSTILE)
def test_what_looks_like_nickel_in_a_plan_stays_text(tmp_path: Path, text: str) -> None:
    plan = {"name": text, "labels": {text: text}, "list": [text]}
    rules = """a = { deny = fun plan =>
      [plan.name] @ plan.list @ std.record.fields plan.labels @ std.record.values plan.labels }"""
    found = answered(tmp_path, rules, plan)
    assert found.failures == {}
    assert found.results == {"a": [text] * 4}


@settings(max_examples=share(40))
@given(texts=st.lists(st.text(), min_size=1, max_size=30))
def test_any_text_of_a_plan_comes_back_unchanged(texts: list[str]) -> None:
    with TemporaryDirectory() as folder:
        found = answered(Path(folder), "a = { deny = fun plan => plan.texts }", {"texts": texts})
    assert found.results == {"a": texts}


def test_a_file_may_import_from_its_folder_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "zones.ncl").write_text('["de-fra1"]')
    ours = 'a = { deny = fun plan => (import "zones.ncl") }'
    assert answered(tmp_path, ours, {}).results == {"a": ["de-fra1"]}
    other = tmp_path / "elsewhere"
    other.mkdir()
    theirs = 'a = { deny = fun plan => (import "../zones.ncl") }'
    assert told(answered(other, theirs, {})) == ["policy.ncl:1:46 import-refused"]


def test_a_file_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileUnreadable):
        read_policy(tmp_path / "policy.ncl", "policy.ncl")


def test_a_large_plan_is_judged(tmp_path: Path) -> None:
    servers = [{"name": f"web-{i}", "labels": {"owner": "ada"}} for i in range(2_000)]
    rules = 'a = { deny = fun plan => std.array.any (fun one => one.labels.owner != "ada") plan.servers }'
    found = answered(tmp_path, rules, json.loads(json.dumps({"servers": servers})))
    assert found.results == {"a": False}
