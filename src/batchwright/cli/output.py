"""Writes to stdout and stderr: results and JSON to stdout, messages and errors to stderr.

All text for people passes through here and is escaped for the terminal here; tests/tidy checks that.
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

SIZE_LEAST = 5  # smallest COLUMNS or LINES that is believed
_SIZES = ("COLUMNS", "LINES")
_ALONE = re.compile("[\ud800-\udfff]")


class TerminalConsole(Console):
    """A Rich console that escapes control characters and ignores markup."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Render to segments: styles and cursor moves are Rich's own, the text is escaped."""
        for text, style, control in super().render(renderable, options):
            yield Segment(text if control else printable(text), style, control)


def out() -> Console:
    """The console for results, on stdout."""
    return _console(stderr=False)


def err() -> Console:
    """The console for messages and errors, on stderr."""
    return _console(stderr=True)


def _console(*, stderr: bool) -> Console:
    environ = {name: value for name, value in os.environ.items() if name not in _SIZES or _is_size(value)}
    return TerminalConsole(stderr=stderr, highlight=False, soft_wrap=True, markup=False, emoji=False, _environ=environ)


def _is_size(value: str) -> bool:
    """Whether COLUMNS or LINES holds a usable size. Else the terminal is asked; without one it is 80 by 25."""
    return value.isascii() and value.isdigit() and int(value[:5]) >= SIZE_LEAST and len(value) < 5


class Lines:
    """Plain lines on stdout or stderr, each flushed at once. Line breaks in a text do not start a new line."""

    def __init__(self, *, stderr: bool) -> None:
        self._stream = sys.stderr if stderr else sys.stdout

    def write(self, line: str) -> None:
        """Write and flush one line."""
        self._stream.write(flat(line) + "\n")
        self._stream.flush()


@contextmanager
def unechoed() -> Iterator[None]:
    """Stop the terminal from echoing `^C` into a picture that is redrawn. The setting is restored afterwards."""
    try:
        before = termios.tcgetattr(0)
        ours = os.tcgetpgrp(0) == os.getpgrp()  # tcsetattr would stop a background process
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
    """Whether the stream is a terminal that a picture can be drawn on."""
    stream = sys.stderr if stderr else sys.stdout
    return stream.isatty() and os.environ.get("TERM", "dumb") != "dumb"


def say(line: str | Text) -> None:
    """Print a result on stdout. Brackets in it are not markup."""
    out().print(line if isinstance(line, Text) else Text(line))


def note(line: str, style: str = "") -> None:
    """Print a message on stderr."""
    err().print(Text(line, style=style))


def prompt(words: str) -> None:
    """Print on stderr what the next typed line answers, without a line break."""
    console = err()
    console.print(Text(words), end="")
    console.file.flush()


def confirm(question: str) -> bool:
    """Ask a question on stderr and read the answer from the terminal."""
    return typer.confirm(printable(question), err=True)


def print_json(value: Any) -> None:
    """Print one JSON document, or one JSON line, in UTF-8 whatever the locale is."""
    _write(escaped_json(encoded(value).decode()) + "\n")


def say_exactly(text: str) -> None:
    """Print a text as it is, tabs and all, for the program that reads it; on a terminal as `say` does."""
    if sys.stdout.isatty():
        for line in text.splitlines():
            say(line)
    else:
        _write(text)


def _write(text: str) -> None:
    sys.stdout.flush()
    binary = getattr(sys.stdout, "buffer", None)
    if binary is None:
        sys.stdout.write(text)
    else:
        binary.write(text.encode())
    sys.stdout.flush()


def encoded(value: Any) -> bytes:
    """Encode as JSON. Bytes of file names that are not text are replaced, since JSON cannot hold them."""
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
    """Print each diagnostic on its own line with its notes and hint, on stderr."""
    console = err()
    for one in diagnostics:
        style = "red" if one.severity is Severity.ERROR else "yellow"
        console.print(Text(flat(str(one)), style=style))
        for line in (*one.notes, *([f"hint: {one.hint}"] if one.hint else ())):
            console.print(Text(f"    {line}"))


def show_error(error: BatchwrightError, *, json: bool, diagnostics: Sequence[Diagnostic] = ()) -> None:
    """Print an error: as text on stderr, or as JSON on stdout."""
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
    """Fill the actual RUN or FILE into the hint of an error that is raised inside."""
    try:
        yield
    except BatchwrightError as error:
        for name, word in words.items():
            error.hint = re.sub(rf"\b{name}\b", word.replace("\\", r"\\"), error.hint)
        raise


def unasked(verb: str, what: str) -> UsageError:
    """The error when a command needs a confirmation and nobody can be asked, such as `rollback` of a `RUN`."""
    return UsageError(
        f"a {verb} needs confirmation, and there is no terminal to ask on",
        hint=f"Review it first: batchwright {verb} {what} --plan. Then add --yes.",
    )


def tally(diagnostics: Sequence[Diagnostic]) -> str:
    """How many errors and warnings there are, in words."""
    return counted(sum(one.severity is Severity.ERROR for one in diagnostics), "problem")
