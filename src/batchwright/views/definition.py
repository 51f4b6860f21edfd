"""A workflow as JSON: evaluated, with its defaults, without the fields that were left out."""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec

from batchwright.model.workflow import Workflow
from batchwright.operations.registry import type_of


def definition(workflow: Workflow) -> dict[str, Any]:
    """The value of `batch_workflow` in a JSON file that means the same."""
    given = _given(msgspec.to_builtins(workflow))
    assert isinstance(given, dict)
    operations = zip(workflow.operations, given["operations"], strict=True)
    for name in ("notify", "limits"):  # a file without them has the digest that it had before there were any
        if not given[name]:
            del given[name]
    for name in ("adopt", "other_account"):  # no fields of a file: only a command says so
        if not given["changes"][name]:
            del given["changes"][name]
    return {**given, "operations": [type_of(op).written(fields) for op, fields in operations]}


def digest(workflow: Workflow) -> str:
    """A hash (16 hex digits) of what a workflow means, independent of the language and layout of its file."""
    return hashlib.sha256(msgspec.json.encode(definition(workflow), order="sorted")).hexdigest()[:16]


def _given(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _given(one) for key, one in value.items() if one is not None}
    if isinstance(value, list | tuple):
        return [_given(one) for one in value]
    return value
