"""What goes to stdout and stderr: results and JSON to the one, messages and errors to the other.

Everything that a person is shown passes through here, and is made fit for a terminal here: see tests/tidy.
"""

from __future__ import annotations

import os
import re
import sys
import termios
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import msgspec
import typer
from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text

from batchwright.errors import BatchwrightError, UsageError
from batchwright.model.diagnostic import Diagnostic, Severity
from batchwright.printable import REPLACEMENT, escaped_json, flat, printable
from batchwright.views.text_format import counted

SIZE_LEAST = 5  # columns or lines
_SIZES = ("COLUMNS", "LINES")
_ALONE = re.compile("[\ud800-\udfff]")


class TerminalConsole(Console):
    """A Rich console that shows text as it is, made fit for a terminal."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """The pieces that are written: styles and moves of the cursor are Rich's own, texts are made fit."""
        for text, style, control in super().render(renderable, options):
            yield Segment(text if control else printable(text), style, control)


def out() -> Console:
    """For results."""
    return _console(stderr=False)


def err() -> Console:
    """For messages and errors."""
    return _console(stderr=True)


def _console(*, stderr: bool) -> Console:
    environ = {name: value for name, value in os.environ.items() if name not in _SIZES or _is_size(value)}
    return TerminalConsole(stderr=stderr, highlight=False, soft_wrap=True, markup=False, emoji=False, _environ=environ)


def _is_size(value: str) -> bool:
    """Whether COLUMNS or LINES says something. Else the terminal is asked; where there is none it is 80 by 25."""
    return value.isascii() and value.isdigit() and int(value[:5]) >= SIZE_LEAST and len(value) < 5


class Lines:
    """Plain lines on stdout or stderr, each written at once; no text begins a line of its own."""

    def __init__(self, *, stderr: bool) -> None:
        self._stream = sys.stderr if stderr else sys.stdout

    def write(self, line: str) -> None:
        """One line."""
        self._stream.write(flat(line) + "\n")
        self._stream.flush()


@contextmanager
def unechoed() -> Iterator[None]:
    """The terminal does not write `^C` into a picture that is redrawn; as it was again afterwards."""
    try:
        before = termios.tcgetattr(0)
        ours = os.tcgetpgrp(0) == os.getpgrp()  # one in the background would be stopped
    except (termios.error, OSError):
        ours = False
    if not ours:
        yield
        return
    quiet = [*before]
    quiet[3] &= ~termios.ECHOCTL
    termios.tcsetattr(0, termios.TCSADRAIN, quiet)
    try:
        yield
    finally:
        if os.tcgetpgrp(0) == os.getpgrp():
            termios.tcsetattr(0, termios.TCSADRAIN, before)


def drawable(*, stderr: bool) -> bool:
    """Whether there is a terminal to draw on."""
    stream = sys.stderr if stderr else sys.stdout
    return stream.isatty() and os.environ.get("TERM", "dumb") != "dumb"


def say(line: str | Text) -> None:
    """A result on stdout; brackets in it mean nothing."""
    out().print(line if isinstance(line, Text) else Text(line))


def note(line: str, style: str = "") -> None:
    """A message on stderr."""
    err().print(Text(line, style=style))


def confirm(question: str) -> bool:
    """A question on stderr, to be answered on the terminal."""
    return typer.confirm(printable(question), err=True)


def print_json(value: Any) -> None:
    """One JSON document, or one line of JSON lines, in UTF-8 whatever the locale is."""
    text = escaped_json(encoded(value).decode()) + "\n"
    sys.stdout.flush()
    binary = getattr(sys.stdout, "buffer", None)
    if binary is None:
        sys.stdout.write(text)
    else:
        binary.write(text.encode())
    sys.stdout.flush()


def encoded(value: Any) -> bytes:
    """JSON. Names of files may have bytes that are no text, for which JSON has no form: they are replaced."""
    try:
        return msgspec.json.encode(value)
    except UnicodeEncodeError:
        return msgspec.json.encode(_mended(msgspec.to_builtins(value)))


def _mended(value: Any) -> Any:
    if isinstance(value, str):
        return _ALONE.sub(REPLACEMENT, value)
    if isinstance(value, dict):
        return {_mended(key): _mended(one) for key, one in value.items()}
    return [_mended(one) for one in value] if isinstance(value, list | tuple) else value


def show_diagnostics(diagnostics: Iterable[Diagnostic]) -> None:
    """Each on its own line with its notes and hint, on stderr."""
    console = err()
    for one in diagnostics:
        style = "red" if one.severity is Severity.ERROR else "yellow"
        console.print(Text(flat(str(one)), style=style))
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
        "a rollback needs confirmation, and there is no terminal to ask on",
        hint="Review it first: batchwright rollback RUN --plan. Then add --yes.",
    )


def tally(diagnostics: Sequence[Diagnostic]) -> str:
    """How many problems there are."""
    return counted(sum(one.severity is Severity.ERROR for one in diagnostics), "problem")
