"""Formats durations, numbers and lists, the same way on every screen."""

from __future__ import annotations

import re
from collections.abc import Sequence

from batchwright.printable import printable, shortened

_PHRASE = re.compile(r" (?:of|that|in|to|not|where) ")  # what follows is no plural
_PLURAL = re.compile(r"s\b")


def duration(seconds: float) -> str:
    """`0.4 s`, `12 s`, `3 min 04 s`, `2 h 05 min`, `3 d 04 h`."""
    seconds = max(0.0, seconds)
    if seconds < 9.95:
        return f"{seconds:.1f} s" if seconds >= 0.05 else "0 s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    minutes = whole // 60
    if minutes < 48 * 60:
        return f"{minutes // 60} h {minutes % 60:02d} min"
    hours = minutes // 60
    return f"{hours // 24} d {hours % 24:02d} h"


def counted(number: int, noun: str) -> str:
    """`1 step`, `1,200 steps`, `2 retries`, `3 crashes`."""
    if number == 1:
        return f"1 {noun}"
    if noun.endswith("y") and noun[-2] not in "aeiou":
        return f"{number:,} {noun[:-1]}ies"
    return f"{number:,} {noun}{'es' if noun.endswith('sh') else 's'}"


def counted_of(number: int, things: str) -> str:
    """`2 lines of output`, `1 line of output`: of things that are named in the plural."""
    if number != 1:
        return f"{number:,} {things}"
    phrase = _PHRASE.search(things)
    end = phrase.start() if phrase else len(things)
    return f"1 {_PLURAL.sub('', things[:end])}{things[end:]}"


def some(names: Sequence[str], most: int = 3) -> str:
    """`a`, `a and b`, `a, b, c and 97 more`."""
    if len(names) > most:
        return f"{', '.join(names[:most])} and {len(names) - most:,} more"
    return " and ".join([", ".join(names[:-1]), names[-1]]) if len(names) > 1 else "".join(names)


def one_line(text: str, most: int = 300) -> str:
    """A message on one bounded line. A long one keeps its beginning and its end, where the cause usually is."""
    return shortened(" ".join(printable(text).split()), most)


SPANS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def span(text: str) -> float:
    """Parse `90s`, `30m`, `24h`, `7d` into seconds. Raises ValueError."""
    number, unit = text[:-1], text[-1:].lower()
    if unit not in SPANS or not number.isdecimal():
        raise ValueError(f"{text} is not a time span")
    return int(number) * float(SPANS[unit])
