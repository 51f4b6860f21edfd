"""Where time comes from. Pure code takes `now` as a number; only effects hold a Clock."""

from __future__ import annotations

from typing import Protocol


class Clock(Protocol):
    """The time of one process. No step of the machine's wall clock ever moves it."""

    def now(self) -> float:
        """Seconds since the epoch (UTC): the wall time at which the process began, and what has passed since."""
        ...

    def monotonic(self) -> float:
        """Seconds that have passed since some moment. For rates, leases and looks; means nothing elsewhere."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Return after so many seconds of this clock."""
        ...
