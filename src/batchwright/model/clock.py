"""The source of time. Pure code takes `now` as a number; only effects hold a Clock."""

from __future__ import annotations

from typing import Protocol


class Clock(Protocol):
    """The time of one process. A step of the machine's wall clock does not change it.

    Anything that has these three methods will do, so a test can use a clock that does not wait:

    >>> class Stopped:
    ...     def now(self) -> float:
    ...         return 1_700_000_000.0
    ...     def monotonic(self) -> float:
    ...         return 0.0
    ...     async def sleep(self, seconds: float) -> None:
    ...         pass
    >>> clock: Clock = Stopped()
    >>> clock.now()
    1700000000.0
    """

    def now(self) -> float:
        """Seconds since the epoch (UTC): the wall time when the process began, plus what has passed since."""
        ...

    def monotonic(self) -> float:
        """Seconds since an arbitrary moment. For rates, leases and timeouts within this process only."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Return after so many seconds of this clock."""
        ...
