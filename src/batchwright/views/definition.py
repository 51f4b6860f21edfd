"""A workflow as it may be written in a JSON file: evaluated, with its defaults, without what was left out."""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec

from batchwright.model.workflow import Workflow
from batchwright.operations.registry import type_of


def definition(workflow: Workflow) -> dict[str, Any]:
    """The value of `batch_workflow` in a file that means the same."""
    given = _given(msgspec.to_builtins(workflow))
    assert isinstance(given, dict)
    operations = zip(workflow.operations, given["operations"], strict=True)
    return {**given, "operations": [type_of(op).written(fields) for op, fields in operations]}


def digest(workflow: Workflow) -> str:
    """Tells one workflow from another, however its file is written."""
    return hashlib.sha256(msgspec.json.encode(definition(workflow), order="sorted")).hexdigest()[:16]


def _given(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _given(one) for key, one in value.items() if one is not None}
    if isinstance(value, list | tuple):
        return [_given(one) for one in value]
    return value
