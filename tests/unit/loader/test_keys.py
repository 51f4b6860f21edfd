"""C1: a key given twice is reported with both places, wherever the file comes from."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from batchwright.loader import duplicate_keys, load, load_source
from tests.support.examples import share

RIGHT = {"name": "x", "version": "1", "operations": [{"id": "a", "type": "command", "run": ["true"]}]}


def twice(text: str, form: str) -> list[tuple[str, int, int]]:
    return [
        (one.key, one.offset, one.first) for one in duplicate_keys.found_in(text, form) if one.code == "duplicate-key"
    ]


@pytest.mark.parametrize(
    ("text", "form", "found"),
    [
        ('{"a": 1, "b": 2, "a": 1}', "json", [("a", 17, 1)]),
        ('{"a": 1, "\\u0061": 1}', "json", [("a", 9, 1)]),
        ('{"a": {"b": 1}, "b": {"b": "b:"}, "c": ["a", "a", {"a": 1, "a": {}}]}', "json", [("a", 59, 51)]),
        ('{"{": 1, "}": 2, "{": 3}', "json", [("{", 17, 1)]),
        ('{"a": "\\"a\\": 1", "b": 1}', "json", []),
        ("a: 1\nb: 2\na: 1\n", "yaml", [("a", 10, 0)]),
        ('{a: 1, "a": 2, ? a : 3}', "yaml", [("a", 7, 1), ("a", 17, 1)]),
        ("1: x\n'1': y\n", "yaml", [("1", 5, 0)]),
        ("&k a: 1\n*k : 2\n", "yaml", [("a", 8, 0)]),
        ("- {a: 1}\n- {a: 1}\n", "yaml", []),
        ("x: &x {a: 1}\ny: *x\nz: {a: 1}\n", "yaml", []),
        ("[a]: 1\nb: [b, b]\nb: 2\n", "yaml", [("b", 17, 7)]),
        ("x: |\n  a: 1\n  a: 2\n", "yaml", []),
        ("'<<': 1\n", "yaml", []),
    ],
)
def test_keys_are_compared_as_they_are_meant(text: str, form: str, found: list[tuple[str, int, int]]) -> None:
    assert twice(text, form) == found


KEYS = st.text('ab"\\\n:é{', max_size=2)
VALUES = st.recursive(
    st.none() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=12,
)


@settings(max_examples=share(150), deadline=None)
@given(VALUES)
def test_no_key_of_a_real_value_is_found_twice_and_an_added_one_is(value: object) -> None:
    """C1: what a library writes has no key twice; the same with one more has."""
    for text, form in ((json.dumps(value, indent=1), "json"), (yaml.safe_dump(value), "yaml")):
        assert twice(text, form) == []
    if isinstance(value, dict) and value:
        text = json.dumps(value)
        name = json.dumps(next(iter(value)))
        assert len(twice(f"{text[:-1]}, {name}: 1}}", "json")) == 1


@pytest.mark.parametrize("name", ["part.json", "part.yaml", "part.yml", "part.txt"])
def test_an_imported_file_is_looked_through_as_what_it_is_imported_as(name: str, tmp_path: Path) -> None:
    """C1: imports, too."""
    (tmp_path / name).write_text('{"a": 1,\n "a": 1}')
    form = " as 'Json" if name.endswith(".txt") else ""
    workflow = json.dumps(RIGHT).replace('": ', '" = ')
    (tmp_path / "flow.ncl").write_text(f'let _part = import "{name}"{form} in {{ batch_workflow = {workflow} }}')
    (found,) = load(tmp_path / "flow.ncl").diagnostics
    assert (Path(found.file).name, found.line, found.column, found.code) == (name, 2, 2, "duplicate-key")
    assert found.notes == (f"The first is at {tmp_path}/{name}:1:2.",)


def test_overlays_and_inputs_are_looked_through(tmp_path: Path) -> None:
    """C1: overlays and --set, too."""
    file, overlay = tmp_path / "flow.json", tmp_path / "more.yaml"
    file.write_text(json.dumps({"batch_workflow": RIGHT, "inputs": {"one": {}}}))
    overlay.write_text("batch_workflow: {parallel_limit: 3, parallel_limit: 3}\n")
    (found,) = load(file, overlays=[overlay]).diagnostics
    assert (found.file, found.line, found.column, found.code) == (str(overlay), 1, 37, "duplicate-key")
    (found,) = load(file, inputs={"one": '{"a": 1, "a": 2}'}).diagnostics
    assert (found.code, found.message) == ("duplicate-key", 'input `one`: the key "a" is given twice')


def test_values_that_differ_between_a_file_and_its_overlay_name_both_places(tmp_path: Path) -> None:
    """C1: what is no key given twice, but a value in two files."""
    file, overlay = tmp_path / "flow.ncl", tmp_path / "more.ncl"
    file.write_text('{ batch_workflow = { name = "x", version = "1", operations = [] } }')
    overlay.write_text('{ batch_workflow.version = "2" }')
    found = [one for one in load(file, overlays=[overlay]).diagnostics if one.code == "merge-conflict"]
    assert len(found) == 1
    assert {found[0].file, *found[0].notes} in (
        {str(file), f"The other is at {overlay}:1:28."},
        {str(overlay), f"The other is at {file}:1:44."},
    )


def test_a_definition_that_was_decoded_before_is_looked_through_as_it_was_sent() -> None:
    """C1: a JSON request without the outer record, or with nulls, is written anew: by then the second key has won."""
    sent = '{"name": "x", "name": "y", "version": "1", "description": null}'
    made = json.dumps({"batch_workflow": {**RIGHT, "name": "y"}})
    (found,) = load_source(made, "workflow.json", original=sent).diagnostics
    assert (found.line, found.column, found.code) == (1, 15, "duplicate-key")


@pytest.mark.parametrize("odd", ["%ODD directive\n---\n", "# \x7f\n", "# \x9f\n"])
def test_yaml_that_only_nickel_reads_is_not_taken_for_right(odd: str) -> None:
    """C1: where the keys cannot be compared the file is refused."""
    text = yaml.safe_dump({"batch_workflow": RIGHT})
    assert load_source(text, "flow.yaml").workflow is not None
    loaded = load_source(odd + text, "flow.yaml")
    assert ([one.code for one in loaded.diagnostics], loaded.workflow) == (["syntax-error"], None)
