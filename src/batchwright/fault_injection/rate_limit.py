"""A rate limit like that of clouds: calls per second with a burst, and a refusal that says how long to wait."""

from __future__ import annotations


class RateLimit:
    """One account's limit, counted in this process. A rate of 0 is no limit.

    It is a token bucket of `burst` calls, kept as the time at which the calls so far would be over if they were evenly
    spaced (GCRA).
    """

    def __init__(self, rate: float, burst: int) -> None:
        self._interval = 1 / rate if rate else 0.0
        self._slack = (burst - 1) * self._interval
        self._due = 0.0

    def wait(self, now: float) -> float:
        """0 when the call may pass, else the seconds until one may."""
        if not self._interval:
            return 0.0
        early = self._due - now - self._slack
        if early > 1e-6:  # finer than a clock that counts from the epoch can tell
            return early
        self._due = max(self._due, now) + self._interval
        return 0.0
