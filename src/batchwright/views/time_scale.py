"""Which pixel column a moment stands in, with long pauses in which nothing happens folded to a few columns."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable

from msgspec import Struct

IDLE_SECONDS, IDLE_SHARE = 45.0, 0.04  # a pause that is folded is longer than both, the share being of what is shown


class AxisPart(Struct, frozen=True):
    """From `begin` to `end`, in seconds since the epoch, at the columns from `x` up to `until`. `idle`: folded."""

    begin: float
    end: float
    x: float
    until: float
    idle: bool = False


class TimeAxis:
    """Maps times to columns from 0 to `width`. Each part of it is linear."""

    def __init__(self, begin: float, end: float, width: int, pauses: Iterable[tuple[float, float]], fold: int) -> None:
        """`fold` is how many columns a folded pause takes; 0 folds none."""
        self.begin, self.end, self.width = begin, max(end, begin + 1e-6), width
        whole = self.end - self.begin
        least = max(IDLE_SECONDS, IDLE_SHARE * whole)
        idle = [one for one in _joined(pauses, self.begin, self.end) if one[1] - one[0] > least] if fold else []
        idle = idle[: max(0, width // (2 * fold))] if fold else []  # at least half is left for what happened
        taken = sum(b - a for a, b in idle)
        if taken >= whole:
            idle, taken = [], 0.0
        scale = (width - fold * len(idle)) / (whole - taken)
        self.parts: list[AxisPart] = []
        at, x = self.begin, 0.0
        for a, b in idle:
            if a > at:
                self.parts.append(AxisPart(at, a, x, x + (a - at) * scale))
                x += (a - at) * scale
            self.parts.append(AxisPart(a, b, x, x + fold, idle=True))
            at, x = b, x + fold
        if at < self.end:
            self.parts.append(AxisPart(at, self.end, x, float(width)))
        self._begins = [part.begin for part in self.parts]
        self._scales = [(part.until - part.x) / (part.end - part.begin) for part in self.parts]

    def x(self, at: float) -> float:
        """The place of a moment, also of one before or after what is shown."""
        if len(self.parts) == 1:
            return (at - self.begin) * self._scales[0]
        part = max(0, bisect_right(self._begins, at) - 1)
        return self.parts[part].x + (at - self._begins[part]) * self._scales[part]

    def column(self, at: float) -> int:
        """The column of a moment; the end of what is shown belongs to the last one."""
        return min(max(int(self.x(at)), 0), self.width - 1)

    def columns(self, begin: float, end: float) -> tuple[int, int] | None:
        """The columns that a span touches, at least one, as a half-open range; None if it is not in what is shown."""
        if end < self.begin or begin > self.end:
            return None
        first, x = int(self.x(begin)), self.x(end)  # compared by hand: this is done for every span of a run
        if first < 0:
            first = 0
        elif first >= self.width:
            first = self.width - 1
        last = int(x)
        if x > last:
            last += 1
        if last <= first:
            last = first + 1
        return first, last if last < self.width else self.width


def _joined(pauses: Iterable[tuple[float, float]], begin: float, end: float) -> list[tuple[float, float]]:
    """The pauses within what is shown, in order and without overlaps."""
    found: list[tuple[float, float]] = []
    for a, b in sorted((max(a, begin), min(b, end)) for a, b in pauses if b > begin and a < end):
        if found and a < found[-1][1]:  # what happened at once between two pauses stays visible
            found[-1] = (found[-1][0], max(b, found[-1][1]))
        else:
            found.append((a, b))
    return found
