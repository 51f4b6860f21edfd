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
DOUBLED = 120.0  # seconds after a refusal at which the ceiling has doubled


class Pace:
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
        counted = sum(at >= now - SPAN for at in self._accepted)
        measured = counted / min(SPAN, max(1.0, now - self._since))
        present = self.limit(now) or measured
        if counted >= LEAST:
            self._ceiling = min(max(BACK * measured, present / 2), BACK * present)
        elif self._ceiling:
            self._ceiling = present / 2
        self._refused_at = self._lowered_at = now

    def limit(self, now: float) -> float:
        """Calls per second that are likely let through; 0 where nothing is known."""
        return self._ceiling * (1.0 + (max(0.0, now - self._refused_at) / DOUBLED) ** 3)
