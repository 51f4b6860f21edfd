"""The variables of task services: defaults filled in, values checked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from msgspec import Struct

from batchwright.errors import VariableInvalid
from batchwright.model.map_variable_paths import ValueName, keys
from batchwright.model.scalar import PlainValue
from batchwright.model.secret_reference import SecretReference
from batchwright.model.taskserv import Taskserv
from batchwright.model.taskserv_variable import Variable, VariableType
from batchwright.model.templates import Values
from batchwright.operations.known_values import KnownValues
from batchwright.operations.suggestions import did_you_mean
from batchwright.operations.taskserv_batch.planner_state import TaskservDraft
from batchwright.operations.taskserv_batch.structs import (
    TaskservBatch,
    TaskservRequest,
    TaskservUse,
    filled_variable,
    named_in,
)
from batchwright.printable import shortened

DEFAULT_VARIANT = "default"
SAMPLE = "192.0.2.1"  # for an address that is not known yet
VALUE_SHOWN = 60  # characters of a value in a message


class ValueProblem(Struct, frozen=True):
    """One mistake; `name` is that of the value it is about, "" for the task service as a whole."""

    code: str
    message: str
    hint: str
    name: str = ""
    at_name: bool = False  # about the name and not the value


def fill_variables(draft: TaskservDraft) -> None:
    """Fill `requests`: one per task service of an operation, with a right value for every variable."""
    for i, op in draft.of(TaskservBatch):
        names = {name: None for install in draft.installs[i] for name in install.order}
        draft.requests[i] = {name: _request(draft, op, name, draft.listed[i].get(name)) for name in names}


def _request(draft: TaskservDraft, op: TaskservBatch, name: str, use: TaskservUse | None) -> TaskservRequest:
    entry = draft.catalogue[name]
    given = use.variables if use else {}
    where = f"{op.id}/{name}"
    for problem in value_problems(entry, given):
        draft.refuse(problem.code, problem.message, where, problem.hint)
    known = filled_values(entry, op.provider, given)
    variant = op.provider if op.provider in entry.variants else DEFAULT_VARIANT
    own = use.entry if use is not None and use.entry != name else ""
    sources = {key: digest for key, digest in draft.observations.sources.get(where, {}).items() if key in known}
    found = {one.path for value in known.values() for one in named_in(value) if not one.is_own}
    return TaskservRequest(
        name,
        entry.version,
        variant,
        known,
        digest=entry.digest,
        entry=own,
        sources=sources,
        at=op.at,
        references=tuple(sorted(found)),
    )


def filled_values(
    entry: Taskserv, provider: str, given: Mapping[str, PlainValue | SecretReference]
) -> dict[str, PlainValue | SecretReference]:
    """The values in their normal form, with the entry's defaults; names that the entry does not have are left out."""
    values = {**entry.defaults(provider), **_element_defaults(entry, given), **given}
    return {
        key: variable.settled(value)
        for key, value in sorted(values.items())
        if (variable := entry.variable(key)) is not None
    }


def value_problems(entry: Taskserv, given: Mapping[str, PlainValue | SecretReference | None]) -> Iterator[ValueProblem]:
    """What is wrong with the values that a workflow gives to the variables of an entry. None: that is known already."""
    for name, value in given.items():
        variable = entry.variable(name)
        if variable is None:
            yield _unknown(entry, name)
        elif value is not None and (wanted := variable.wanted(value)):
            message = f'the variable "{name}" of "{entry.name}" must be {wanted}'
            yield ValueProblem("variable-invalid", message, f"Write {wanted}.", name)
    for name, variable in entry.variables.items():
        elements = keys(given, name)
        if variable.default is None and not variable.optional and name not in given and not elements:
            yield _missing(entry, name, variable, "")
        for key in elements if variable.fields else ():
            inside = {field for field in variable.fields if str(ValueName(name, key, field)) in given}
            for field, part in variable.fields.items():
                if part.default is None and not part.optional and field not in inside:
                    whole = str(ValueName(name, key, field))
                    yield _missing(entry, whole, part, str(ValueName(name, key)))
            if variable.one_of and len(inside.intersection(variable.one_of)) != 1:
                whole, wanted = str(ValueName(name, key)), " or ".join(variable.one_of)
                message = f'the variable "{whole}" of "{entry.name}" must have one of {wanted}'
                yield ValueProblem("variable-invalid", message, f"Write one of {wanted}, and not both.", whole)


def read_value(entry: Taskserv, name: str, given: PlainValue, value: PlainValue) -> PlainValue:
    """What a variable gets once all is known that its text `given` refers to. Raises VariableInvalid."""
    variable = entry.variable(name)
    if variable is None:
        return value
    known = variable.read(value)
    if wanted := variable.lacks(known):
        message = f'the variable "{name}" of "{entry.name}" must be {wanted}'
        raise VariableInvalid(f"{message}, and {given} is {shortened(str(value), VALUE_SHOWN)!r}")
    return known


def check_known_values(draft: TaskservDraft) -> None:
    """Refuse values that are wrong once what they refer to is put in, as far as that is known before the run.

    Of servers that do not exist yet it is known how many there will be.
    """
    known = KnownValues(draft)
    for i, op in draft.of(TaskservBatch):
        for name, request in draft.requests[i].items():
            values = {one: value for one in request.references if (value := known.get(one)) is not None}
            several = {one: (SAMPLE,) * count for one in request.references if (count := known.servers(one)) > 1}
            for key, given in request.variables.items():
                if isinstance(given, SecretReference):
                    continue
                named = {one.path for one in named_in(given)}
                if not named or not named <= values.keys() | several.keys():
                    continue
                found = _wrong_value(draft.catalogue[name], key, given, values, several)
                if found:
                    hint = "Let it refer to something else, or write the value."
                    draft.refuse("variable-invalid", found, f"{op.id}/{name}", hint)


def _wrong_value(entry: Taskserv, key: str, given: PlainValue, values: Values, several: Values) -> str:
    try:
        read_value(entry, key, given, filled_variable(given, {**several, **values}))
    except VariableInvalid as error:
        variable = entry.variable(key)
        unknown = [one.path for one in named_in(given) if one.path not in values]
        if not unknown or variable is None:
            return error.message
        wanted = f'the variable "{key}" of "{entry.name}" must be {variable.described()}'
        return f"{wanted}, and ${{{unknown[0]}}} stands for {len(several[unknown[0]])} servers"
    return ""


def _missing(entry: Taskserv, name: str, variable: Variable, at: str) -> ValueProblem:
    message = f'"{entry.name}" needs a value for its variable "{name}": {variable.described()}'
    hint = f'Write {{ name = "{entry.name}", variables = {{ {name} = ... }} }}.'
    return ValueProblem("variable-missing", message, hint if not at else "", at)


def _unknown(entry: Taskserv, name: str) -> ValueProblem:
    """A name that the entry does not have: of a variable, of an element of a map, or of a field of that."""
    parts = ValueName.parse(name)
    own = entry.variables.get(parts.variable)
    if own is None or parts.key is None or own.part(parts.key, next(iter(own.fields), "")) is not None:
        known = own.fields if own is not None and parts.key is not None else entry.variables
        hint = did_you_mean(parts.field if own is not None else parts.variable, known)
        return ValueProblem("variable-unknown", f'"{entry.name}" has no variable "{name}"', hint, name, at_name=True)
    if own.type is not VariableType.MAP:
        message = f'the variable "{parts.variable}" of "{entry.name}" must be {own.described()}'
        return ValueProblem("variable-invalid", message, f"Write {own.described()}.", parts.variable)
    message = f'"{parts.key}" in the variable "{parts.variable}" of "{entry.name}" must be {own.keys_mean}'
    return ValueProblem("variable-invalid", message, f"Write {own.keys_mean}.", str(ValueName(*parts.path[:2])), True)


def _element_defaults(entry: Taskserv, given: Mapping[str, object]) -> dict[str, PlainValue]:
    """What fields of a map's elements are if they are not given."""
    return {
        str(ValueName(name, key, field)): part.default
        for name, variable in entry.variables.items()
        for key in (keys(given, name) if variable.fields else ())
        for field, part in variable.fields.items()
        if part.default is not None
    }
