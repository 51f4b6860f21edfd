"""Compares what a workflow uses with the catalogue: unknown names and variables, wrong values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from batchwright.loader.contract_report import OPERATIONS, PathDiagnostic, suggestion
from batchwright.loader.nickel_expressions import Path_
from batchwright.model.diagnostic import Diagnostic
from batchwright.model.map_variable_paths import ValueName
from batchwright.model.secret_reference import SecretReference
from batchwright.model.taskserv import Taskserv
from batchwright.operations.taskserv_batch.variables import value_problems

SECRET_FORMS = frozenset(SecretReference.__struct_fields__)
NAME_HINT = 'A name of your own goes with the name of a catalogue entry: { name = "shop", entry = "unit" }.'


def mistaken(operations: Sequence[Any], catalogue: Mapping[str, Taskserv]) -> Iterator[PathDiagnostic]:
    """A diagnostic for each task service of an operation that the catalogue cannot provide as requested."""
    for number, operation in enumerate(operations):
        uses = operation.get("taskservs") if isinstance(operation, dict) else None
        for place, use in enumerate(uses or ()):
            if isinstance(use, dict) and isinstance(use.get("name"), str):
                yield from _use(use, (*OPERATIONS, number, "taskservs", place), catalogue)


def flattened_use(use: dict[str, Any], catalogue: Mapping[str, Taskserv] | None) -> dict[str, Any]:
    """A task service of a valid workflow with a value for each element of its maps."""
    variables = use.get("variables") or {}
    if catalogue is None or not any(isinstance(value, dict) for value in variables.values()):
        return use
    return {**use, "variables": catalogue[use.get("entry") or use["name"]].flattened(variables)}


def _use(use: Mapping[str, Any], path: Path_, catalogue: Mapping[str, Taskserv]) -> Iterator[PathDiagnostic]:
    named = "entry" if isinstance(use.get("entry"), str) else "name"
    entry = catalogue.get(use[named])
    if entry is None:
        message = f'there is no task service "{use[named]}"'
        hint = suggestion(use[named], sorted(catalogue))
        if named == "name":
            hint = hint or NAME_HINT
        yield PathDiagnostic((*path, named), Diagnostic("taskserv-unknown", message, hint))
        return
    if named == "entry" and use["name"] != use["entry"]:
        if not entry.multiple:
            message = f'"{entry.name}" is on a server only once, so it has no name of its own'
            hint = f'Write {{ name = "{entry.name}", ... }} without `entry`.'
            yield PathDiagnostic((*path, "entry"), Diagnostic("taskserv-single", message, hint))
        if use["name"] in catalogue:
            message = f'"{use["name"]}" is the name of another task service'
            yield PathDiagnostic((*path, "name"), Diagnostic("taskserv-name", message, "Choose another name."))
    given = {name: _settled(value) for name, value in entry.flattened(use.get("variables") or {}).items()}
    for problem in value_problems(entry, given):
        where = (*path, "variables", *ValueName.parse(problem.name).path) if problem.name else path
        found = Diagnostic(problem.code, problem.message, problem.hint)
        yield PathDiagnostic(where, found, at_name=problem.at_name)


def _settled(value: Any) -> Any:
    """A value as a workflow has it. None: a contract has refused it."""
    if isinstance(value, list):
        return tuple(value)
    if not isinstance(value, dict):
        return value
    try:
        return msgspec.convert(value, SecretReference)
    except msgspec.ValidationError:
        return None if value and value.keys() <= SECRET_FORMS else value
