"""Linux's limits on the arguments and environment of a program: their length, and the characters they may hold."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

from batchwright.model.diagnostic import Diagnostic

WORD_MAX = 128 * 1024 - 1  # bytes of one argument or one NAME=value: MAX_ARG_STRLEN without the NUL at its end
ALL_LEAST = 2 * 1024 * 1024  # bytes of all of them, with a stack of 8 MiB as usual
ROOM = 8 * 1024  # for what the system adds, and for the variables of a step
POINTER = 8


def all_max() -> int:
    """How many bytes all arguments and variables of a program may have together on this machine."""
    try:
        return os.sysconf("SC_ARG_MAX")
    except (OSError, ValueError):
        return ALL_LEAST


def unfit(words: Sequence[str], env: Mapping[str, str]) -> Diagnostic | None:
    """Why no program can be started with these words and variables; None if it can. Values are not shown."""
    total = ROOM
    texts = [(f"argument {number}" if number else "the program's name", word) for number, word in enumerate(words)]
    for what, text in (*texts, *((f'the variable "{name}"', f"{name}={value}") for name, value in env.items())):
        if "\0" in text:
            hint = "Leave it out. Pass binary data in a file or as base64."
            return Diagnostic("command-invalid", f"{what} contains a NUL byte, which no program can receive", hint)
        try:
            size = len(os.fsencode(text))
        except UnicodeEncodeError:
            hint = "Set LC_ALL=C.UTF-8, or PYTHONUTF8=1, where Batchwright runs."
            return Diagnostic("command-invalid", f"{what} has characters that this locale cannot encode", hint)
        if size > WORD_MAX:
            hint = "Put it into a file and pass the file's name."
            return Diagnostic(
                "command-too-long", f"{what} has {size:,} bytes; the system allows {WORD_MAX:,} at most", hint
            )
        total += size + 1 + POINTER
    if total > all_max():
        message = f"its arguments and variables have {total:,} bytes together; the system allows {all_max():,} at most"
        return Diagnostic("command-too-long", message, "Put long values into files.")
    return None
