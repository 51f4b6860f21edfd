"""Finds scripts that are executable but that the system would not start, by their first line."""

from __future__ import annotations

import os
import shlex
import shutil
from pathlib import Path

from batchwright.model.diagnostic import Diagnostic

CODE = "program-not-runnable"
FIRST_LINE = 256  # bytes of the first line that Linux reads
DEPTH = 4  # levels of interpreters that are scripts themselves, as many as Linux follows
OTHER = "Install it, or name another program in the script's first line."


def unrunnable(place: Path, path: str, depth: int = DEPTH) -> Diagnostic | None:
    """Why a file cannot be started as a program; None if nothing is known against it. `path` is its PATH."""
    try:
        with place.open("rb") as file:
            begin = file.read(FIRST_LINE)
    except OSError:
        return None  # it may be executable but not readable
    if not begin:
        return Diagnostic(CODE, f'"{place}" is empty', "Write a program into it.")
    if not begin.startswith(b"#!"):
        if b"\0" in begin or not _is_text(begin):
            return None
        hint = f'Begin it with a line such as #!/bin/sh, or run it with ["sh", "{place}"].'
        return Diagnostic(CODE, f'"{place}" is a script whose first line names no interpreter', hint)
    line = begin[2:].split(b"\n")[0]
    if line.endswith(b"\r"):
        hint = f"It has Windows line endings. Fix it with: sed -i 's/\\r$//' {shlex.quote(str(place))}"
        return Diagnostic(CODE, f'the first line of "{place}" ends with a carriage return', hint)
    words = os.fsdecode(line).split()
    if not words:
        return Diagnostic(
            CODE, f'the first line of "{place}" names no interpreter', "Write #!/bin/sh, or the interpreter it needs."
        )
    return _interpreter(place, words, path, depth)


def _interpreter(place: Path, words: list[str], path: str, depth: int) -> Diagnostic | None:
    """What is wrong with the interpreter that a script names in its first line; None if nothing."""
    interpreter, wants = Path(words[0]), f'"{place}" is to be run by '
    if not interpreter.is_file():
        return Diagnostic(CODE, f"{wants}{interpreter}, which does not exist", OTHER)
    if not os.access(interpreter, os.X_OK):
        return Diagnostic(CODE, f"{wants}{interpreter}, which is not executable", OTHER)
    if interpreter.name == "env" and len(words) > 1:
        program = _of_env(words[1:])
        if program and shutil.which(program, path=path) is None:
            return Diagnostic(CODE, f'{wants}"{program}", which is not installed', OTHER)
    return unrunnable(interpreter, path, depth - 1) if depth else None


def _of_env(words: list[str]) -> str:
    """The program that `env` looks for. Without -S the system passes everything that follows as one word."""
    if not words[0].startswith(("-S", "--split-string", "-")):
        return " ".join(words)
    return next((one for one in words if not one.startswith("-") and "=" not in one), "")


def _is_text(begin: bytes) -> bool:
    """Whether the bytes are text; a character may be cut off at the end."""
    for cut in range(4):
        try:
            begin[: len(begin) - cut].decode("utf-8")
        except UnicodeDecodeError:
            continue
        return True
    return False
