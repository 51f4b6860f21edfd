"""What goes to stdout and stderr: results and JSON to the one, messages and errors to the other."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import msgspec
from rich.console import Console
from rich.text import Text

from batchwright.errors import BatchwrightError, UsageError
from batchwright.model.diagnostic import Diagnostic, Severity


class Paper(Console):
    """A Rich console that leaves a broken pipe to the caller."""

    def on_broken_pipe(self) -> None:
        raise  # it is called while the BrokenPipeError is handled


def out() -> Console:
    """For results."""
    return Paper(highlight=False, soft_wrap=True)


def err() -> Console:
    """For messages and errors."""
    return Paper(stderr=True, highlight=False, soft_wrap=True)


def reader_left() -> None:
    """Whoever read the pipe has seen enough: what is still written goes nowhere."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


def say(line: str | Text) -> None:
    """A result on stdout; brackets in it mean nothing."""
    out().print(line if isinstance(line, Text) else Text(line))


def note(line: str, style: str = "") -> None:
    """A message on stderr."""
    err().print(Text(line, style=style))


def print_json(value: Any) -> None:
    """One JSON document, or one line of JSON lines."""
    sys.stdout.write(msgspec.json.encode(value).decode() + "\n")
    sys.stdout.flush()


def show_diagnostics(diagnostics: Iterable[Diagnostic]) -> None:
    """Each on its own line with its notes and hint, on stderr."""
    console = err()
    for one in diagnostics:
        style = "red" if one.severity is Severity.ERROR else "yellow"
        console.print(Text(str(one), style=style))
        for line in (*one.notes, *([f"hint: {one.hint}"] if one.hint else ())):
            console.print(Text(f"    {line}"))


def show_error(error: BatchwrightError, *, json: bool, diagnostics: Sequence[Diagnostic] = ()) -> None:
    """An error for people on stderr, or for programs on stdout."""
    if json:
        told: dict[str, Any] = {"code": error.code, "message": error.message, "hint": error.hint}
        if diagnostics:
            told["diagnostics"] = list(diagnostics)
        print_json({"error": told})
        return
    console = err()
    console.print(Text.assemble(("error: ", "bold red"), f"{error.message} [{error.code}]"))
    if error.hint:
        console.print(Text.assemble(("hint: ", "bold"), error.hint))


@contextmanager
def about(**words: str) -> Iterator[None]:
    """Put the actual RUN or FILE into the hint of an error that passes."""
    try:
        yield
    except BatchwrightError as error:
        for name, word in words.items():
            error.hint = re.sub(rf"\b{name}\b", word.replace("\\", r"\\"), error.hint)
        raise


def unasked() -> UsageError:
    """Nobody is there to be asked before something is destroyed."""
    return UsageError(
        "a rollback destroys things, and there is no terminal to ask on",
        hint="Look first: batchwright rollback RUN --plan. Then add --yes.",
    )
