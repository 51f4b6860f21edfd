"""Output of a call at a place: kept there, bounded; told here line by line, each once, while the call goes on. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence

from msgspec import Struct

from batchwright.printable import shortened

OUTPUT_LINES, LINE_MAX = 400, 2_000  # of a call's output; the last ones, and characters of each
LIVE_CHARACTERS = 48_000  # of what is told at a time while a call goes on


class OutputSoFar(Struct, frozen=True):
    """The last lines of the `told` that a call has given so far."""

    told: int
    lines: tuple[str, ...]


class CallOutput:
    """What a call has said, at the worker."""

    def __init__(self) -> None:
        self.told = 0
        self._lines: deque[str] = deque(maxlen=OUTPUT_LINES)

    def hear(self, line: str) -> None:
        """One more line."""
        self.told += 1
        self._lines.append(shortened(line, LINE_MAX))

    @property
    def lines(self) -> tuple[str, ...]:
        """The last ones."""
        return tuple(self._lines)

    def so_far(self) -> OutputSoFar:
        """As many of the last lines as are told at a time."""
        room, count = LIVE_CHARACTERS, 0
        for line in reversed(self._lines):
            room -= len(line)
            if room < 0:
                break
            count += 1
        return OutputSoFar(self.told, self.lines[len(self._lines) - count :])


class OutputReader:
    """Tells of the output what was not told yet.

    >>> reader = OutputReader(print)
    >>> reader.read(2, ["a", "b"])
    a
    b
    >>> reader.read(6, ["e", "f"])
    (not shown: 2 lines of output)
    e
    f
    >>> reader.read(6, ["e", "f"])
    """

    def __init__(self, tell: Callable[[str], None]) -> None:
        self._tell, self._read = tell, 0

    def read(self, told: int, lines: Sequence[str]) -> None:
        """The last lines of all those that a call has given so far."""
        told = max(told, len(lines))
        fresh = told - self._read
        if fresh <= 0:
            return
        self._read = told
        if (left_out := fresh - len(lines)) > 0:
            self._tell(f"(not shown: {left_out} lines of output)")
        for line in lines[-min(fresh, len(lines)) :] if lines else ():
            self._tell(line)
