"""What Linux lets a program be given: how long its arguments and its environment may be, and what may stand in them."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

from batchwright.model.diagnostic import Diagnostic

WORD_MAX = 128 * 1024 - 1  # bytes of one argument or one NAME=value: MAX_ARG_STRLEN without the NUL at its end
ALL_LEAST = 2 * 1024 * 1024  # bytes of all of them, with a stack of 8 MiB as usual
ROOM = 8 * 1024  # for what the system adds, and for the variables of a step
POINTER = 8


def all_max() -> int:
    """The bytes that all arguments and variables of a program may have on this machine."""
    try:
        return os.sysconf("SC_ARG_MAX")
    except (OSError, ValueError):
        return ALL_LEAST


def unfit(words: Sequence[str], env: Mapping[str, str]) -> Diagnostic | None:
    """Why no program can be started with these, None if it can; values are not shown."""
    total = ROOM
    texts = [(f"argument {number}" if number else "the program's name", word) for number, word in enumerate(words)]
    for what, text in (*texts, *((f'the variable "{name}"', f"{name}={value}") for name, value in env.items())):
        if "\0" in text:
            hint = "Leave it out; what is binary goes into a file or as base64."
            return Diagnostic("command-invalid", f"{what} has a NUL byte in it, which no program can be given", hint)
        try:
            size = len(os.fsencode(text))
        except UnicodeEncodeError:
            hint = "Set LC_ALL=C.UTF-8, or PYTHONUTF8=1, where this runs."
            return Diagnostic("command-invalid", f"{what} has characters that this locale's encoding lacks", hint)
        if size > WORD_MAX:
            hint = "Put it into a file, and give the program the file's name."
            return Diagnostic(
                "command-too-long", f"{what} has {size:,} bytes; the system takes {WORD_MAX:,} at most", hint
            )
        total += size + 1 + POINTER
    if total > all_max():
        message = f"its arguments and variables have {total:,} bytes together; the system takes {all_max():,} at most"
        return Diagnostic("command-too-long", message, "Put what is long into files.")
    return None
