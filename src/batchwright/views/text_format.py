"""Formats durations, numbers and lists, the same way on every screen."""

from __future__ import annotations

from collections.abc import Sequence

from batchwright.printable import printable, shortened


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
    """`1 step`, `1,200 steps`, `2 retries`."""
    if number == 1:
        return f"1 {noun}"
    plural = f"{noun[:-1]}ies" if noun.endswith("y") and noun[-2] not in "aeiou" else f"{noun}s"
    return f"{number:,} {plural}"


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
