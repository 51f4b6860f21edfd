"""How many calls of one class an account lets begin: a rate that adapts to throttling (learned_rate.py), or a window.

Pure.
"""

from __future__ import annotations

import math

from batchwright.engine.learned_rate import LearnedRate, Refusals
from batchwright.engine.policy import asked_pause

RATE_FLOOR = 1 / 64  # of the base rate: how far throttling may slow a bucket
RECOVERY = 0.05  # of the base rate, regained per second without a throttle
PAUSE_FIRST, PAUSE_MAX = 0.5, 30.0  # seconds a bucket without a known rate pauses after a throttle, doubled each time


class Bucket:
    """The calls of one class. `rate` is calls per second, 0 if unknown; every time is passed in."""

    def __init__(self, concurrency: int, rate: float = 0.0, burst: int = 1) -> None:
        self.concurrency = concurrency
        self.base_rate = self.rate = rate
        self.pace = LearnedRate()  # the rate that the account accepted, known once it has refused something
        self.refusals = Refusals()
        self.share = 1.0  # of the rate: what this process may use while others use the account, too
        self.burst = max(1, burst)
        self.tokens = float(self.burst)
        self.in_flight = 0
        self.blocked_until = 0.0
        self._learned_until = 0.0  # the end of the pause after the last refusal that was learned from
        self.throttled_last = -math.inf
        self.throttles_in_a_row = 0
        self.window = float(concurrency)  # calls at a time where no rate is known; a throttle halves it
        self._refilled = 0.0

    def available(self, now: float) -> int:
        """How many calls may begin now."""
        if now < self.blocked_until:
            return 0
        free = self.concurrency - self.in_flight
        if not self.base_rate:
            free = min(free, int(self.window) - self.in_flight)
        if not self.top(now):
            return free
        self._refill(now)
        return min(free, int(self.tokens))

    def top(self, now: float) -> float:
        """The rate to return to: our share of the stated one, or the learned one if lower. 0 if neither is known."""
        learned, stated = self.pace.limit(now), self.base_rate * self.share
        return min(stated, learned) if stated and learned else stated or learned

    def _refill(self, now: float) -> None:
        elapsed = max(0.0, now - self._refilled) if self._refilled else 0.0
        self._refilled = now
        top = self.top(now)
        self.rate = min(top, self.rate + top * RECOVERY * elapsed)
        self.tokens = min(max(1.0, self.burst * self.share), self.tokens + self.rate * elapsed)

    def take(self) -> None:
        """Count a call as in flight and spend one token."""
        self.in_flight += 1
        self.spend()

    def spend(self) -> None:
        """Count a call that does not wait for its turn; the next calls wait longer for it."""
        self.tokens -= 1.0

    def put_off(self, seconds: float) -> None:
        """Calls that were let begin are sent only now, so the account has not regained what was regained here."""
        self.tokens -= self.rate * seconds

    def release(self) -> None:
        """Count a call in flight as ended."""
        self.in_flight -= 1

    def answered(self, now: float) -> None:
        """A call was accepted; the window grows by one per window of accepted calls (AIMD, as in TCP)."""
        self.pace.accepted(now)
        self.refusals.accepted(now)
        self.throttles_in_a_row = 0
        self.window = min(float(self.concurrency), self.window + 1.0 / self.window)

    def throttled(self, now: float, retry_after: float | None) -> None:
        """The account refused a call: pause for as long as it says.

        If it refuses repeatedly, slow down to the rate it accepts, or halve the rate, or pause longer each time.
        """
        pause = asked_pause(retry_after)
        if self.refusals.refused(now):
            pause = max(pause, self._learn(now, pause))
        else:
            if self.pace.brushed(now):
                self.rate = min(self.rate, self.top(now))
            if not self.base_rate:
                pause = pause or PAUSE_FIRST
        self.tokens = 0.0
        self.blocked_until = max(self.blocked_until, now + pause)

    def _learn(self, now: float, asked: float) -> float:
        """Be slower from now on; gives the pause that comes first. Refusals of one burst count once."""
        self.pace.refused(now)
        if self.base_rate:
            if now - self.throttled_last > 1 / self.base_rate:
                self.rate = self.pace.limit(now) or max(self.rate / 2, self.base_rate * RATE_FLOOR)
            self.throttled_last = now
            return asked
        if now < self._learned_until:
            return asked
        self.rate = self.pace.limit(now)
        self.window = max(1.0, self.window / 2)
        pause = asked or min(PAUSE_MAX, PAUSE_FIRST * 2.0**self.throttles_in_a_row)
        self.throttles_in_a_row = min(self.throttles_in_a_row + 1, 16)
        self._learned_until = now + pause
        return pause

    def wake_at(self, now: float) -> float | None:
        """When a call becomes possible by time alone; None if only the end of another call makes it possible."""
        if now < self.blocked_until:
            return self.blocked_until
        if self.top(now) and self.tokens < 1.0:
            return now + max(0.001, (1.0 - self.tokens) / max(self.rate, self.top(now) * RATE_FLOOR))
        return None

    def describe(self, now: float) -> str:
        """Why a call would wait, in words; empty if it would not."""
        if now < self.blocked_until:
            return f"throttled, again in {max(1.0, self.blocked_until - now):.0f} s"
        if min(self.concurrency, int(self.window)) <= self.in_flight:
            return f"{self.in_flight} call{'' if self.in_flight == 1 else 's'} in flight"
        if self.top(now) and self.tokens < 1.0:
            return f"rate {self.rate:.3g}/s"
        return ""
