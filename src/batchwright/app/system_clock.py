"""Real time, for processes that drive real runs. Tests and rehearsals use testing/virtual_clock.py instead."""

from __future__ import annotations

import time

from batchwright.engine.monotonic_clocks import SteadyClock


def _passed() -> float:
    """Seconds since the machine was started; where the system can tell, with those in which it slept."""
    boot = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if boot is None else time.clock_gettime(boot)


_STEADY = SteadyClock(time.time, _passed)  # one for the whole process, so that all of it agrees


class SystemClock:
    """A Clock on the machine's own time. The wall clock is read once, when the process begins."""

    now = staticmethod(_STEADY.now)
    monotonic = staticmethod(_STEADY.monotonic)
    sleep = staticmethod(_STEADY.sleep)
