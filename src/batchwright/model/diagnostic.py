"""A mistake found in a workflow file or a problem found by the pre-flight, placed and explained."""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct


class Severity(StrEnum):
    """Whether a diagnostic stops the work."""

    ERROR = "error"
    WARNING = "warning"


class Diagnostic(Struct, frozen=True):
    """One finding. `line` and `column` count from 1 in characters; 0 where there is no place in a file.

    `where` names the operation or server a finding of the pre-flight is about.
    """

    code: str
    message: str
    severity: Severity = Severity.ERROR
    file: str = ""
    line: int = 0
    column: int = 0
    hint: str = ""
    notes: tuple[str, ...] = ()
    where: str = ""

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}:{self.column}: " if self.file else (f"{self.where}: " if self.where else "")
        label = "" if self.severity is Severity.ERROR else "warning: "
        return f"{place}{label}{self.message} [{self.code}]"
