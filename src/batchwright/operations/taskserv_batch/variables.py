"""The variables of task services: defaults filled in, values checked."""

from __future__ import annotations

from batchwright.model.scalar import PlainValue
from batchwright.model.secret_reference import SecretReference
from batchwright.model.taskserv import Taskserv
from batchwright.operations.suggestions import did_you_mean
from batchwright.operations.taskserv_batch.planner_state import TaskservDraft
from batchwright.operations.taskserv_batch.structs import TaskservBatch, TaskservRequest, TaskservUse

DEFAULT_VARIANT = "default"


def fill_variables(draft: TaskservDraft) -> None:
    """Fill `requests`: one per task service of an operation, with a right value for every variable."""
    for i, op in draft.of(TaskservBatch):
        names = {name: None for install in draft.installs[i] for name in install.order}
        draft.requests[i] = {name: _request(draft, op, name, draft.listed[i].get(name)) for name in names}


def _request(draft: TaskservDraft, op: TaskservBatch, name: str, use: TaskservUse | None) -> TaskservRequest:
    entry = draft.catalogue[name]
    given = use.variables if use else {}
    _check_given(draft, f"{op.id}/{name}", entry, given)
    values = {**entry.defaults(op.provider), **given}
    optional = {name for name, variable in entry.variables.items() if variable.optional}
    for missing in sorted(entry.variables.keys() - values.keys() - optional):
        wanted = entry.variables[missing].described()
        message = f'"{name}" needs a value for its variable "{missing}": {wanted}'
        draft.refuse("variable-missing", message, f"{op.id}/{name}", "Set it in the variables of the task service.")
    known = {
        key: entry.variables[key].settled(value) for key, value in sorted(values.items()) if key in entry.variables
    }
    variant = op.provider if op.provider in entry.variants else DEFAULT_VARIANT
    return TaskservRequest(name, entry.version, variant, known, digest=entry.digest)


def _check_given(
    draft: TaskservDraft, where: str, entry: Taskserv, given: dict[str, PlainValue | SecretReference]
) -> None:
    for name, value in given.items():
        variable = entry.variables.get(name)
        if variable is None:
            message = f'"{entry.name}" has no variable "{name}"'
            draft.refuse("variable-unknown", message, where, did_you_mean(name, entry.variables))
        elif wanted := variable.wanted(value):
            message = f'the variable "{name}" of "{entry.name}" must be {wanted}'
            draft.refuse("variable-invalid", message, where, f"Write {wanted}.")
