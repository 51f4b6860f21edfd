"""The JSON Schemas take what the loader takes, and refuse what a schema can tell to be wrong."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema_rs
import msgspec
import pytest

from batchwright.app.editor_schemas import taskserv_schema, workflow_schema
from batchwright.loader.evaluator_client import Evaluator, NickelError
from batchwright.loader.limits import LOCAL
from batchwright.loader.sources import schema_folder
from batchwright.taskservs.catalogue import all_folders
from tests.support.command_line import Command
from tests.unit.loader.test_mistakes import EXPECTED, FOLDER

ROOT = Path(__file__).parents[3]
EXAMPLES = sorted((ROOT / "workflows").glob("*.ncl"))
# what a schema cannot tell: it is about several parts of a file, the catalogue, what a text means, or only a warning
BEYOND = {
    *(
        "duplicate-id",
        "duplicate-server",
        "duplicate-entry",
        "duplicate-name",
        "dependency-cycle",
        "unknown-dependency",
    ),
    *("unknown-target", "taskserv-unknown", "taskserv-name", "taskserv-single", "rollback-disabled"),
    *("variable-invalid", "variable-unknown", "variable-missing", "unknown-reference", "bad-name", "plan-normalised"),
    *("ssh-key-invalid", "ssh-key-private", "hidden-field", "address-twice", "reference-misplaced"),
    *("import-cycle", "import-refused", "unsupported-merge"),
}

# likewise: what is no address although it looks like one, and the length of a duration that is written as a text
UNTOLD = {"addresses.ncl", "timeout_long.ncl", "timeout_zero.ncl"}


@pytest.fixture(scope="module")
def evaluator() -> Iterator[Evaluator]:
    with Evaluator(LOCAL, [ROOT, FOLDER, schema_folder()]) as running:
        yield running


@pytest.fixture(scope="module")
def workflows() -> Any:
    return jsonschema_rs.validator_for(workflow_schema())


def read(evaluator: Evaluator, file: Path) -> Any:
    """What a file holds, before any contract; None for one that Nickel cannot read."""
    if file.suffix == ".ncl":
        try:
            return json.loads(evaluator.run(f'import "{file}"'))
        except (NickelError, ValueError):
            return None
    try:
        return (msgspec.json if file.suffix == ".json" else msgspec.yaml).decode(file.read_bytes())
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: file.name)
def test_every_example_fits(file: Path, evaluator: Evaluator, workflows: Any) -> None:
    found = read(evaluator, file)
    assert found is not None
    assert [f"{error.instance_path}: {error.message}" for error in workflows.iter_errors(found)] == []


def test_what_a_schema_can_tell_is_refused(evaluator: Evaluator, workflows: Any) -> None:
    told, missed = 0, list[str]()
    for name, lines in EXPECTED.items():
        codes = {line.split()[-1] for line in lines}
        found = read(evaluator, FOLDER / name)
        if found is None or not codes - BEYOND:
            continue
        told += 1
        if workflows.is_valid(found):
            missed.append(name)
    assert sorted(missed) == sorted(UNTOLD)
    assert told > 50


def test_every_field_of_the_operations_is_described() -> None:
    def undescribed(value: Any, at: str) -> Iterator[str]:
        for name, part in value.get("properties", {}).items() if isinstance(value, dict) else ():
            if "title" in value and "description" not in part and "const" not in part:
                yield f"{at}.{name}"
        parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
        for part in parts:
            yield from undescribed(part, f"{at}/{value.get('title', '')}" if isinstance(value, dict) else at)

    assert sorted(set(undescribed(workflow_schema(), ""))) == []


def test_every_entry_fits_and_a_mistake_does_not() -> None:
    entries = jsonschema_rs.validator_for(taskserv_schema())
    for folder in all_folders():
        found = msgspec.yaml.decode((folder / "taskserv.yaml").read_bytes())
        assert [error.message for error in entries.iter_errors(found)] == [], folder
        for wrong in ({"sumary": "x"}, {"seconds": "soon"}, {"digest": "x"}, {"variables": {"a": {"type": "text"}}}):
            assert not entries.is_valid({**found, **wrong}), wrong


def test_a_file_may_name_its_schema(tmp_path: Path) -> None:
    command = Command(tmp_path)
    printed = command.json("schema")
    assert printed == workflow_schema()
    assert command.json("schema", "taskserv") == json.loads(json.dumps(taskserv_schema()))
    operations = [{"id": "a", "type": "command", "run": ["true"]}]
    flow = {
        "$schema": "./workflow.schema.json",
        "batch_workflow": {"name": "a", "version": "1", "operations": operations},
    }
    assert jsonschema_rs.is_valid(printed, flow)
    (tmp_path / "flow.json").write_text(json.dumps(flow))
    command("validate", "flow.json")
