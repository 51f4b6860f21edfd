"""A workflow as it may be written in a JSON file: evaluated, with its defaults, without what was left out."""

from __future__ import annotations

from typing import Any

import msgspec

from batchwright.model.workflow import Workflow


def definition(workflow: Workflow) -> dict[str, Any]:
    """The value of `batch_workflow` in a file that means the same."""
    given = _given(msgspec.to_builtins(workflow))
    assert isinstance(given, dict)
    return given


def _given(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _given(one) for key, one in value.items() if one is not None}
    if isinstance(value, list | tuple):
        return [_given(one) for one in value]
    return value
