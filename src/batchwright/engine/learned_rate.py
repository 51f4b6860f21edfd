"""The rate that an account accepts, learned from accepted and refused calls, because no document states it. Pure.

A refusal means that the calls accepted lately were the maximum: their rate, less a tenth, is the new ceiling. It rises
again slowly at first, then faster, as in CUBIC (RFC 9438): near a constant limit, refusals are rare; a raised limit is
found within minutes.
"""

from __future__ import annotations

from collections import deque

SPAN = 10.0  # seconds over which accepted calls are counted
GAP = 2.0  # seconds without a call after which counting begins anew
LEAST = 3  # accepted calls that say anything
BURST = 0.5  # seconds in which refusals count once
BACK = 0.9  # of what was accepted, after a refusal
CALLS, MEMORY = 50, 60.0  # the last calls, no older than so many seconds, in which refusals are compared
SHARE = 0.08  # of them that are refused, from which on it is no chance
DOUBLED = 120.0  # seconds after a refusal at which the ceiling has doubled


class Refusals:
    """Whether refusals are more than chance. Clouds also refuse single calls for reasons unrelated to the rate.

    A limit that is reached refuses many of the next calls, so only several among the last ones count.
    """

    def __init__(self) -> None:
        self._calls: deque[tuple[float, bool]] = deque(maxlen=CALLS)

    def accepted(self, now: float) -> None:
        """Note an accepted call."""
        self._calls.append((now, False))

    def refused(self, now: float) -> bool:
        """Note a refused call; True if the refusals show that the rate is too high. Those are not counted again."""
        while self._calls and self._calls[0][0] < now - MEMORY:
            self._calls.popleft()
        self._calls.append((now, True))
        if sum(refused for _, refused in self._calls) < max(2.0, SHARE * len(self._calls)):
            return False
        self._calls = deque([(at, False) for at, _ in self._calls], CALLS)
        self._calls[-1] = (now, True)
        return True


class LearnedRate:
    """Calls per second of one account; every time is passed in."""

    def __init__(self) -> None:
        self._accepted: deque[float] = deque()
        self._since = 0.0
        self._ceiling = 0.0
        self._refused_at = self._lowered_at = 0.0

    def accepted(self, now: float) -> None:
        """Note an accepted call."""
        gap = max(GAP, LEAST / self._ceiling if self._ceiling else 0.0)
        if not self._accepted or now - self._accepted[-1] > gap:
            self._accepted.clear()
            self._since = now
        self._accepted.append(now)
        while self._accepted[0] < now - SPAN:
            self._accepted.popleft()

    def refused(self, now: float) -> None:
        """Note a call that was refused because of too many calls."""
        if self._ceiling and now - self._lowered_at < max(BURST, 1.0 / self._ceiling):
            self._refused_at = now
            return
        counted, measured = self._measured(now)
        present = self.limit(now) or measured
        if counted >= LEAST:
            self._ceiling = min(max(BACK * measured, present / 2), BACK * present)
        elif self._ceiling:
            self._ceiling = present / 2
        self._refused_at = self._lowered_at = now

    def brushed(self, now: float) -> bool:
        """Note a single refused call, which may be chance; gives whether it lowered the rate.

        It counts only above the highest rate that was ever accepted: then the rate returns to its ceiling, which stays.
        """
        if not self._ceiling or self.limit(now) * BACK < self._ceiling:
            return False
        counted, measured = self._measured(now)
        if counted >= LEAST:
            self._ceiling = max(self._ceiling, BACK * measured)
        self._refused_at = self._lowered_at = now
        return True

    def _measured(self, now: float) -> tuple[int, float]:
        """How many calls were let through lately, and how many that is per second."""
        counted = sum(at >= now - SPAN for at in self._accepted)
        return counted, counted / min(SPAN, max(1.0, now - self._since))

    def limit(self, now: float) -> float:
        """The calls per second that are probably accepted; 0 if unknown."""
        return self._ceiling * (1.0 + (max(0.0, now - self._refused_at) / DOUBLED) ** 3)
