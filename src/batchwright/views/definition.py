"""A workflow as it may be written in a JSON file: evaluated, with its defaults, without what was left out."""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec

from batchwright.model.workflow import Workflow


def definition(workflow: Workflow) -> dict[str, Any]:
    """The value of `batch_workflow` in a file that means the same."""
    given = _given(msgspec.to_builtins(workflow))
    assert isinstance(given, dict)
    for operation in given["operations"]:
        if "server_configs" in operation:
            operation["server_configs"] = [_server(config) for config in operation["server_configs"]]
    return given


def digest(workflow: Workflow) -> str:
    """Tells one workflow from another, however its file is written."""
    return hashlib.sha256(msgspec.json.encode(definition(workflow), order="sorted")).hexdigest()[:16]


def _server(config: dict[str, Any]) -> dict[str, Any]:
    """With the provider's own options where they were written, and nothing that its contract may not know."""
    options: dict[str, Any] = config.pop("options")
    return {name: value for name, value in config.items() if value} | options


def _given(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _given(one) for key, one in value.items() if one is not None}
    if isinstance(value, list | tuple):
        return [_given(one) for one in value]
    return value
