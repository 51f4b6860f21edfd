"""What an account lets through, learned from what it lets through until it refuses: the rate no document states. Pure.

A refusal says that the calls accepted lately were all there was room for: their rate, less a tenth, is the new ceiling.
It rises again slowly at first, then faster, as CUBIC does (RFC 9438): close to a limit that stays, refusals are rare; a
limit that was raised is found within minutes.
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
    """Whether refusals are more than chance. Clouds refuse single calls for reasons that have nothing to do with ours.

    A limit that is reached refuses many of the next calls, so only several among the last ones count.
    """

    def __init__(self) -> None:
        self._calls: deque[tuple[float, bool]] = deque(maxlen=CALLS)

    def accepted(self, now: float) -> None:
        """A call was let through."""
        self._calls.append((now, False))

    def refused(self, now: float) -> bool:
        """A call was refused; True when that says something about our pace. What has said so is not counted again."""
        while self._calls and self._calls[0][0] < now - MEMORY:
            self._calls.popleft()
        self._calls.append((now, True))
        if sum(refused for _, refused in self._calls) < max(2.0, SHARE * len(self._calls)):
            return False
        self._calls = deque([(at, False) for at, _ in self._calls], CALLS)
        self._calls[-1] = (now, True)
        return True


class LearnedRate:
    """Calls per second of one account; all times come from outside."""

    def __init__(self) -> None:
        self._accepted: deque[float] = deque()
        self._since = 0.0
        self._ceiling = 0.0
        self._refused_at = self._lowered_at = 0.0

    def accepted(self, now: float) -> None:
        """A call was let through."""
        gap = max(GAP, LEAST / self._ceiling if self._ceiling else 0.0)
        if not self._accepted or now - self._accepted[-1] > gap:
            self._accepted.clear()
            self._since = now
        self._accepted.append(now)
        while self._accepted[0] < now - SPAN:
            self._accepted.popleft()

    def refused(self, now: float) -> None:
        """A call was refused because there were too many."""
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
        """One call was refused, which may be chance. It counts only where the pace has risen past all that was ever
        let through: then it goes back to its ceiling, which does not sink by it. Gives whether it did."""
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
        """Calls per second that are likely let through; 0 where nothing is known."""
        return self._ceiling * (1.0 + (max(0.0, now - self._refused_at) / DOUBLED) ** 3)
