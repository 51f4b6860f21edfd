"""Separates the report of the contracts into problems and the plain workflow."""

from __future__ import annotations

import re
from typing import Any

import msgspec
from msgspec import Struct

from batchwright.loader.nickel_expressions import INPUTS, Path_, Step
from batchwright.model.diagnostic import Diagnostic, Severity
from batchwright.model.did_you_mean import close_matches
from batchwright.providers.registry import plug_in_hint

VALUE, FIELDS, KEYS, NAMES = "$value", "$fields", "$keys", "$names"
SHOWN_NAMES = 12
_GOT = re.compile(r"(got the number )\S+$")
_NUMBER = re.compile(r"[-+]?[0-9.](?:[eE][-+]|[0-9A-Za-z_.])*")
WHOLE: Path_ = ("batch_workflow",)
OPERATIONS: Path_ = (*WHOLE, "operations")


class ReportProblem(Struct, frozen=True):
    """The record that the contracts in schemas/ write. `at` is relative to the value it was found at."""

    code: str
    message: str
    severity: Severity = Severity.ERROR
    hint: str = ""
    got: str = ""
    field: str = ""  # of a missing field: its name
    known: list[str] | str = []
    at: list[Step] = []


class PathDiagnostic(Struct, frozen=True):
    """A diagnostic with its path in the user's file; its line is still to be found.

    `at_name`: its position is the field's name, not the field's value.
    """

    path: Path_
    diagnostic: Diagnostic
    at_name: bool = False


class Report:
    """The report of one evaluation. `tree` is the plain workflow file, `findings` what is wrong with it."""

    def __init__(self, body: bytes, mark: str, depth: int = 100) -> None:
        self._depth = depth
        self.has_references = b"${" in body
        self.findings: list[PathDiagnostic] = []
        self._mark = mark
        self._found: list[tuple[Path_, ReportProblem]] = []
        self._keys: dict[Path_, list[str]] = {}
        self._names: dict[str, list[str]] = {}
        self.tree = self._walk(msgspec.json.decode(body), ())
        workflow = (self.tree or {}).get("batch_workflow") or {}
        self.operations: list[Any] = workflow.get("operations") or []
        for path, problem in self._found:
            self.findings.append(self._finding(path, problem))

    def written(self, path: Path_) -> Path_:
        """The path in the user's file: indices become field names where an array was written as a record."""
        for depth in range(len(path)):
            if (keys := self._keys.get(path[:depth])) and isinstance(step := path[depth], int):
                path = (*path[:depth], keys[step], *path[depth + 1 :])
        return path

    def operation(self, path: Path_) -> str:
        """The id of the operation that `path` leads into, empty when there is none."""
        if len(path) < len(OPERATIONS) + 1 or path[: len(OPERATIONS)] != OPERATIONS:
            return ""
        operation = self.operations[int(path[len(OPERATIONS)])]
        return operation.get("id") or "" if isinstance(operation, dict) else ""

    def _walk(self, value: Any, path: Path_) -> Any:
        if len(path) > self._depth:
            self._found.append((path, ReportProblem("too-deep", f"this is nested more than {self._depth} levels deep")))
            return None
        if isinstance(value, str) and "\0" in value:
            hint = "Programs, files and clouds do not accept NUL characters: remove it."
            self._found.append((path, ReportProblem("nul-in-text", "this text contains a NUL character", hint=hint)))
        if isinstance(value, list):
            return [self._walk(element, (*path, number)) for number, element in enumerate(value)]
        if not isinstance(value, dict):
            return value
        if problems := value.get(self._mark):
            self._found += [(path, problem) for problem in _merged(msgspec.convert(problems, list[ReportProblem]))]
        if KEYS in value:
            self._keys[path] = value[KEYS]
        self._names.update(value.get(NAMES, {}))
        if VALUE in value:
            return self._walk(value[VALUE], path)
        if FIELDS not in value:
            return None if self._mark in value else {}
        for name in value[FIELDS]:
            if name not in value and (name != INPUTS or path):
                self._found.append((path, _hidden(name)))
        return {name: self._walk(value[name], (*path, name)) for name in value[FIELDS] if name in value}

    def _finding(self, path: Path_, problem: ReportProblem) -> PathDiagnostic:
        known = self._names.get(problem.known, []) if isinstance(problem.known, str) else problem.known
        hint = problem.hint or suggestion(problem.got, known)
        if problem.code == "unknown-provider":
            hint = " ".join(filter(None, (hint, plug_in_hint(problem.got, known))))
        return PathDiagnostic(
            (*path, *problem.at),
            Diagnostic(problem.code, visible(problem.message), hint, problem.severity),
            problem.code in ("unknown-field", "bad-name"),
        )


def as_written(message: str, rest: str) -> str:
    """A message with a number as the file has it, of which Nickel tells 17 digits; `rest` is the line from there."""
    found = _NUMBER.match(rest)
    return _GOT.sub(lambda told: told[1] + found[0], message) if found else message


def visible(text: str) -> str:
    """The text with its control characters as escapes, so that they do not look like blanks or like nothing."""
    return "".join(one if one.isprintable() else f"\\u{{{ord(one):x}}}" for one in text)


def suggestion(got: str, known: list[str]) -> str:
    """The name that was probably meant, else the names to choose from."""
    if close := close_matches(got, known, 1):
        return f'Did you mean "{close[0]}"?'
    if not known:
        return ""
    more = f" and {len(known) - SHOWN_NAMES} more" if len(known) > SHOWN_NAMES else ""
    return f"Known: {', '.join(known[:SHOWN_NAMES])}{more}."


def _merged(problems: list[ReportProblem]) -> list[ReportProblem]:
    """Without the missing fields that are there under a misspelt name."""
    meant = {
        close
        for problem in problems
        if problem.code == "unknown-field" and isinstance(problem.known, list)
        for close in close_matches(problem.got, problem.known, 1)
    }
    return [problem for problem in problems if not (problem.field and problem.field in meant)]


def _hidden(name: str) -> ReportProblem:
    message = f"field `{name}` is hidden from the result"
    return ReportProblem("hidden-field", message, hint="Remove `| not_exported` from it.", at=[name])
