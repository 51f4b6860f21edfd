"""What is wrong with a workflow file, a server, a command or a catalogue entry, where, and what to do about it."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Self

from msgspec import Struct
from msgspec.structs import replace

from batchwright.errors.base import BatchwrightError

MOST = 50  # diagnostics reported at a time
TEXT_MAX = 2_000  # characters of a message or a hint


class Severity(StrEnum):
    """Whether a diagnostic stops the work.

    >>> Severity("warning") is Severity.WARNING
    True
    """

    ERROR = "error"
    WARNING = "warning"


class Diagnostic(Struct, frozen=True):
    """One problem. Its finder fills in what it knows: a provider only `field`, the loader the place in the file.

    `line` and `column` count from 1 in characters; 0 means no place in a file. `where` names the operation, server or
    provider that the problem is about, and `field` a field of it, such as `plan` or `targets.0`.

    >>> print(Diagnostic("plan-unknown", 'there is no plan "huge"', hint="Known: small.", field="plan"))
    there is no plan "huge" [plan-unknown]
    >>> print(Diagnostic("price-unknown", "the price is not known", severity=Severity.WARNING, where="racks"))
    racks: warning: the price is not known [price-unknown]
    """

    code: str
    message: str
    hint: str = ""
    severity: Severity = Severity.ERROR
    file: str = ""
    line: int = 0
    column: int = 0
    notes: tuple[str, ...] = ()
    where: str = ""
    field: str = ""

    @classmethod
    def of_error(cls, error: BatchwrightError, where: str = "") -> Self:
        """The same problem as the error, about `where`."""
        return cls(error.code, error.message, error.hint, where=where)

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}:{self.column}: " if self.file else (f"{self.where}: " if self.where else "")
        label = "" if self.severity is Severity.ERROR else "warning: "
        return f"{place}{label}{self.message} [{self.code}]"


def bounded(found: Sequence[Diagnostic], most: int = MOST) -> tuple[Diagnostic, ...]:
    """The first `most` of them, and how many more there are; if there are too many, errors come before warnings.

    Long messages are shortened: a name or text of the user's may be as large as the file.
    """
    if len(found) <= most + 1:  # the last one may be such a count already
        return tuple(_short(one) for one in found)
    first = sorted(found, key=lambda one: one.severity is not Severity.ERROR)
    rest = first[most:]
    message = f"and {len(rest)} more; correct these first"
    return (
        *(_short(one) for one in first[:most]),
        Diagnostic("more-mistakes", message, severity=rest[0].severity, file=first[0].file),
    )


def _short(one: Diagnostic) -> Diagnostic:
    if max(len(one.message), len(one.hint), len(one.where), *map(len, one.notes), 0) <= TEXT_MAX:
        return one
    notes = tuple(_cut(note) for note in one.notes)
    return replace(one, message=_cut(one.message), hint=_cut(one.hint), where=_cut(one.where), notes=notes)


def _cut(text: str) -> str:
    return text if len(text) <= TEXT_MAX else f"{text[:TEXT_MAX]}... ({len(text)} characters)"
