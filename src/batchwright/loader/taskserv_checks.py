"""Compares what a workflow uses with the catalogue: unknown names and variables, wrong values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from batchwright.loader.contract_report import OPERATIONS, PathDiagnostic, suggestion
from batchwright.loader.nickel_expressions import Path_
from batchwright.model.diagnostic import Diagnostic
from batchwright.model.secret_reference import SecretReference
from batchwright.model.taskserv import Taskserv
from batchwright.model.variable import Variable


def mistaken(operations: Sequence[Any], catalogue: Mapping[str, Taskserv]) -> Iterator[PathDiagnostic]:
    """A diagnostic for each task service of an operation that the catalogue cannot provide as requested."""
    for number, operation in enumerate(operations):
        uses = operation.get("taskservs") if isinstance(operation, dict) else None
        for place, use in enumerate(uses or ()):
            if isinstance(use, dict) and isinstance(use.get("name"), str):
                yield from _use(use, (*OPERATIONS, number, "taskservs", place), catalogue)


def _use(use: Mapping[str, Any], path: Path_, catalogue: Mapping[str, Taskserv]) -> Iterator[PathDiagnostic]:
    name, given = use["name"], use.get("variables") or {}
    entry = catalogue.get(name)
    if entry is None:
        message = f'there is no task service "{name}"'
        yield PathDiagnostic(
            (*path, "name"), Diagnostic("taskserv-unknown", message, suggestion(name, sorted(catalogue)))
        )
        return
    for key, value in given.items():
        where, variable = (*path, "variables", key), entry.variables.get(key)
        if variable is None:
            message, hint = f'"{name}" has no variable "{key}"', suggestion(key, sorted(entry.variables))
            yield PathDiagnostic(where, Diagnostic("variable-unknown", message, hint), at_name=True)
        elif value is not None and (wanted := _wanted(variable, value)):
            message = f'the variable "{key}" of "{name}" must be {wanted}'
            yield PathDiagnostic(where, Diagnostic("variable-invalid", message, f"Write {wanted}."))
    for key, variable in entry.variables.items():
        if variable.default is None and not variable.optional and key not in given:
            message = f'"{name}" needs a value for its variable "{key}": {variable.described()}'
            hint = f'Write {{ name = "{name}", variables = {{ {key} = ... }} }}.'
            yield PathDiagnostic(path, Diagnostic("variable-missing", message, hint))


def _wanted(variable: Variable, value: object) -> str | None:
    """What would be valid; None for a secret reference that is not valid by itself."""
    if not isinstance(value, dict):
        return variable.wanted(tuple(value) if isinstance(value, list) else value)  # type: ignore[arg-type]
    try:
        return variable.wanted(msgspec.convert(value, SecretReference))
    except msgspec.ValidationError:
        return None
