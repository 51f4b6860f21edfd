"""JSON Schema for editors: of the workflow file, from its contracts, and of taskserv.yaml, from what reads it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from batchwright.errors import EvaluatorUnavailable
from batchwright.loader.evaluator_client import EvaluationLimitExceeded, Evaluator, NickelError
from batchwright.loader.limits import LOCAL
from batchwright.loader.nickel_expressions import provided
from batchwright.loader.sources import schema_folder
from batchwright.model.taskserv import Taskserv
from batchwright.providers import registry

DIALECT = "https://json-schema.org/draft/2020-12/schema"
DURATION = {
    "description": 'Seconds, or a text like "30s", "10m".',
    "anyOf": [
        {"type": "number", "exclusiveMinimum": 0},
        {"type": "string", "pattern": "^[0-9]{1,9}([.][0-9]{1,3})?(s|m|h)$"},
    ],
}

_TITLE = re.compile(r'kit\.(?:Open)?Fields\s+"([^"]+)"')
_DEFINITION = re.compile(r"^  ([A-Z]\w*) =", re.MULTILINE)
_DOCUMENTED = re.compile(r'([a-z_]+)\s*\|\s*doc "((?:[^"\\]|\\.)*)"')


def workflow_schema() -> dict[str, Any]:
    """The schema of a workflow file in JSON or YAML, with the providers that are installed here.

    Raises EvaluatorUnavailable, ProviderUnavailable for a broken contract.
    """
    folder, providers = schema_folder(), registry.contracts()
    own = provided(providers, "contracts")
    try:
        with Evaluator(LOCAL, [folder, *filter(None, providers.values())]) as evaluator:
            body = evaluator.run(f'(import "{folder}/json_schema.ncl") (fun contracts => {own})')
    except (EvaluationLimitExceeded, NickelError) as error:
        raise EvaluatorUnavailable(f"the contracts cannot be read: {error}") from error
    found: dict[str, Any] = json.loads(body)
    documentation: dict[str, dict[str, str]] = {}
    for file in (*filter(None, providers.values()), folder / "workflows.ncl"):
        documentation |= _documentation(file)
    return dict(_described(found, documentation))


def _documentation(contracts: Path) -> dict[str, dict[str, str]]:
    """What the contracts say of each field, by the title of its record."""
    before, *rest = _DEFINITION.split(contracts.read_text(encoding="utf-8"))
    parts = {"": before, **dict(zip(rest[::2], rest[1::2], strict=True))}
    own = {
        name: {field: json.loads(f'"{words}"') for field, words in _DOCUMENTED.findall(part)}
        for name, part in parts.items()
    }
    found: dict[str, dict[str, str]] = {}
    for name, part in parts.items():
        fragments = [
            other for other in re.findall(r"\b[A-Z]\w+", part) if own.get(other) and "kit.Fields" not in parts[other]
        ]
        inner = [other for one in fragments for other in re.findall(r"\b[A-Z]\w+", parts[one]) if own.get(other)]
        for title in _TITLE.findall(part):
            found[title] = {key: words for one in (*inner, *fragments, name) for key, words in own[one].items()}
    return found


def _described(value: Any, documentation: Mapping[str, Mapping[str, str]]) -> Any:
    if isinstance(value, list):
        return [_described(one, documentation) for one in value]
    if not isinstance(value, dict):
        return value
    done = {key: _described(one, documentation) for key, one in value.items()}
    about = documentation.get(str(value.get("title")), {})
    for field, schema in done.get("properties", {}).items() if about else ():
        if field in about and isinstance(schema, dict):
            form = schema.get("description")
            schema["description"] = f"{about[field]} Here: {form}." if form else about[field]
    return done


def taskserv_schema() -> dict[str, Any]:
    """The schema of the taskserv.yaml of a catalogue entry."""
    whole = msgspec.json.schema(Taskserv)
    definitions = whole["$defs"]
    for definition in definitions.values():
        for field, schema in definition.get("properties", {}).items():
            if schema.get("type") == "number":  # they are all durations
                definition["properties"][field] = DURATION
    del definitions["Taskserv"]["properties"]["digest"]  # it is computed
    return {"$schema": DIALECT, **whole}
