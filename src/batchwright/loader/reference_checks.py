"""Checks the references in a workflow's texts: where they may stand, whether they name something, and what comes first.

What a reference stands for must be there before the operation that uses it starts: the way from the one to the other
leads over hard dependencies only.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

from batchwright.loader.contract_report import OPERATIONS, PathDiagnostic, suggestion
from batchwright.loader.nickel_expressions import Path_
from batchwright.loader.taskserv_checks import SECRET_FORMS
from batchwright.loader.value_format_checks import texts
from batchwright.model.diagnostic import Diagnostic, Severity
from batchwright.model.templates import Malformed, Reference, Root, alone, malformed, references

SHELL = ("run", "undo", "unless", "env")  # fields whose texts a shell may read
OTHERS = (("http", "url"), ("http", "contains"), ("tcp", "host"), ("ask",))  # further fields that may hold references
WHOLE = "operation"  # what a dependency waits for, if not only for its own server
LITERAL = "For a literal ${ write $${."
NONE_KNOWN = "There is no {} in this file that it could mean."
PLACES = "They are allowed in variables, run, undo, unless, env, user_data, http, tcp and ask."

OWN_FIELDS = ("address", "name")
SERVER_FIELDS = ("address", "name", "plan", "provider", "zone")
OPERATION_FIELDS = ("addresses", "names")
FIELDS = {Root.RUN: ("id",), Root.WORKFLOW: ("name", "version")}


def mistaken(operations: Sequence[Any]) -> Iterator[PathDiagnostic]:
    """A diagnostic for each reference that is wrong; parts that are broken already are skipped."""
    known = _Names(operations)
    for number, operation in enumerate(operations):
        if isinstance(operation, dict):
            for path, text in texts(operation, ()):
                for found in _judged(known, operation, path, text):
                    yield PathDiagnostic((*OPERATIONS, number, *path), found)


class _Names:
    """What the operations of a file have, by name."""

    def __init__(self, operations: Sequence[Any]) -> None:
        self._operations = [one for one in operations if isinstance(one, dict)]
        self._before: dict[str, frozenset[str]] = {}

    @cached_property
    def operations(self) -> Mapping[str, Mapping[str, Any]]:
        return {one["id"]: one for one in reversed(self._operations) if isinstance(one.get("id"), str)}

    @cached_property
    def makers(self) -> Mapping[str, str]:
        """Server -> the operation that has it."""
        return {name: op for op, one in self.operations.items() for name in servers_of(one)}

    def before(self, operation: str) -> frozenset[str]:
        """The operations that must have succeeded before this one starts. A cycle, told elsewhere, is not followed."""
        if operation not in self._before:
            found: set[str] = set()
            waiting = [operation]
            while waiting:
                fresh = set(_hard(self.operations.get(waiting.pop(), {}))) - found
                found |= fresh
                waiting += fresh
            self._before[operation] = frozenset(found)
        return self._before[operation]

    def works_on(self, operation: Mapping[str, Any]) -> set[str]:
        """The servers that a command with targets runs on."""
        found: set[str] = set()
        for target in operation.get("targets") or ():
            found |= set(servers_of(self.operations[target])) if target in self.operations else {target}
        return found


def servers_of(operation: Mapping[str, Any]) -> list[str]:
    """The names of the servers that an operation ensures."""
    configs = operation.get("server_configs")
    return [
        one["name"]
        for one in (configs if isinstance(configs, list) else ())
        if isinstance(one, dict) and isinstance(one.get("name"), str)
    ]


def _hard(operation: Mapping[str, Any]) -> Iterator[str]:
    for one in operation.get("dependencies") or ():
        if isinstance(one, dict) and one.get("kind", "hard") == "hard" and one.get("per", WHOLE) == WHOLE:
            yield one.get("id") or ""


def _judged(known: _Names, operation: Mapping[str, Any], path: Path_, text: str) -> Iterator[Diagnostic]:
    if "${" not in text:
        return
    script = path[-1] == "user_data" or (path[0] in SHELL and len(path) == 2)
    for wrong in malformed(text, script=script):
        yield Diagnostic("unknown-reference", f"`{wrong.written}` is not a known reference", _hint(wrong))
    for reference in dict.fromkeys(references(text)):
        if not _may_stand(operation, path):
            message = f"`{reference}` must not stand here, where no references are allowed"
            yield Diagnostic("reference-misplaced", message, f"{PLACES} {LITERAL}")
        elif (found := _unknown(known, reference) or _unfit(known, operation, path, reference)) is not None:
            yield found
        else:
            yield from _doubtful(known, path, text, reference)


def _may_stand(operation: Mapping[str, Any], path: Path_) -> bool:
    """Whether references are allowed at this path of an operation: not in what says where a secret is found."""
    if path[0] == "taskservs":
        return len(path) >= 4 and path[2] == "variables" and not _is_secret(operation, path, 4)
    if path[0] in ("server_configs", "otherwise"):
        return path[-1] == "user_data" and len(path) == 3
    if path[0] == "env" or path[:2] == ("http", "headers"):
        return len(path) == (2 if path[0] == "env" else 3)
    return (path[0] in SHELL and len(path) == 2) or path in OTHERS


def _is_secret(operation: Mapping[str, Any], path: Path_, depth: int) -> bool:
    """Whether a record at least so deep on the way to `path` has the form of a secret by reference."""
    value: Any = operation
    for number, step in enumerate(path):
        if number >= depth and isinstance(value, dict) and value.keys() <= SECRET_FORMS:
            return True
        value = value[step]
    return False


def _hint(wrong: Malformed) -> str:
    if wrong.root in list(Root):
        return f"Write it without blanks, as ${{servers.NAME.address}}. {LITERAL}"
    if wrong.root == "inputs":
        return f"Nickel inserts inputs, in *.ncl files only: %{{inputs.NAME}}. {LITERAL}"
    if "." not in wrong.written:
        return f"Shell variables are allowed only in run, undo, unless, env and user_data. {LITERAL}"
    return f"{suggestion(wrong.root, sorted(Root))} {LITERAL}"


def _unknown(known: _Names, reference: Reference) -> Diagnostic | None:
    """What in the reference does not exist."""
    match reference.root, *reference.segments:
        case Root.SERVER, field:
            return _of(reference, field, OWN_FIELDS)
        case Root.SERVERS, name, field:
            return _of(reference, name, sorted(known.makers), "server") or _of(reference, field, SERVER_FIELDS)
        case Root.OPERATIONS, name, field:
            batches = sorted(name for name, one in known.operations.items() if "server_configs" in one)
            return _of(reference, name, batches, "operation with servers") or _of(reference, field, OPERATION_FIELDS)
        case Root.OUTPUTS, name, key:
            commands = {name: one for name, one in known.operations.items() if one.get("outputs")}
            outputs = commands.get(name, {}).get("outputs") or ()
            return _of(reference, name, sorted(commands), "operation with outputs") or _of(reference, key, outputs)
        case ((Root.RUN | Root.WORKFLOW), field):
            return _of(reference, field, FIELDS[reference.root])
    forms = (
        "${servers.NAME.FIELD}, ${operations.ID.FIELD}, ${outputs.ID.KEY}, ${server.FIELD}, ${run.id}, ${workflow.name}"
    )
    return Diagnostic("unknown-reference", f"`{reference}` is not a known reference", f"The forms are: {forms}.")


def _of(reference: Reference, got: str, known: Sequence[str], what: str = "") -> Diagnostic | None:
    if got in known:
        return None
    about = f'there is no {what} "{got}"' if what else f'it has no "{got}"'
    hint = suggestion(got, list(known)) if known else NONE_KNOWN.format(what or "field")
    return Diagnostic("unknown-reference", f"`{reference}`: {about}", hint)


def _unfit(known: _Names, operation: Mapping[str, Any], path: Path_, reference: Reference) -> Diagnostic | None:
    """Why a reference that names something cannot be used in this operation."""
    user = operation.get("id") or ""
    if reference.root is Root.SERVER:
        if path[0] == "taskservs" or (operation.get("targets") and path[0] != "server_configs"):
            return None
        where = "in user_data" if path[-1] == "user_data" else "for what runs on this machine"
        message = f"`{reference}` has no meaning {where}"
        return Diagnostic("reference-misplaced", message, "Name the server: ${servers.NAME.address}.")
    if reference.root in (Root.RUN, Root.WORKFLOW):
        return None
    name = reference.segments[0]
    maker = known.makers[name] if reference.root is Root.SERVERS else name
    if maker != user and maker not in known.before(user):
        message = f'`{reference}`: "{user}" can start before "{maker}" has succeeded'
        return Diagnostic("reference-not-depended-on", message, _way(operation, maker))
    if maker == user:
        message = f'`{reference}` is known only after "{user}", which uses it'
        return Diagnostic("reference-not-depended-on", message, "Move what uses it into an operation of its own.")
    places = known.works_on(known.operations[maker])
    if reference.root is Root.OUTPUTS and len(places) > 1:
        message = f'`{reference}`: "{maker}" runs on {len(places)} servers, and each gives a value of its own'
        return Diagnostic("reference-ambiguous", message, "Give it one server as its target.")
    return None


def _way(operation: Mapping[str, Any], maker: str) -> str:
    """How an operation comes after the one that it refers to."""
    for one in operation.get("dependencies") or ():
        if isinstance(one, dict) and one.get("id") == maker:
            if one.get("per", WHOLE) != WHOLE:
                return f'Its dependency on "{maker}" waits for its own server only: ${{server.address}}.'
            return f'Make its dependency on "{maker}" hard.'
    return f'Add "{maker}" to its dependencies.'


def _doubtful(known: _Names, path: Path_, text: str, reference: Reference) -> Iterator[Diagnostic]:
    if reference.root is Root.SERVERS and known.operations[known.makers[reference.segments[0]]].get("min_success"):
        message = f"`{reference}` may be missing: its operation succeeds without some of its servers"
        hint = "What refers to it is skipped then. All that are there: ${operations.ID.addresses}."
        yield Diagnostic("reference-may-be-missing", message, hint, severity=Severity.WARNING)
    if path[0] != "taskservs":
        return
    if reference.is_list and isinstance(path[-1], int) and alone(text) is not None:
        message = f"`{reference}` stands for a list, and is an element of one here"
        yield Diagnostic("reference-misplaced", message, f'Write it without brackets: "{reference}".')
    if reference.root is Root.RUN:
        message = f"`{reference}` is another one in each run, so each run installs this again"
        yield Diagnostic("reference-changes", message, severity=Severity.WARNING)
