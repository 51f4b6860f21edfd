"""The lanes of a process: how many of each account's calls are in flight, how fast more may begin, and what waits."""

from __future__ import annotations

from msgspec import Struct


class CallRate(Struct, frozen=True):
    """The calls of one class in a lane, `create` or `destroy`.

    `rate` is how many calls may begin per second now, 0 if no rate is known, and `base_rate` the published one, 0 if
    there is none; a lower `rate` was learned from refused calls. `free` is how many calls may begin at once, and `wait`
    says why none may, "" if one may. `throttled_seconds` is how long the account still has to be left alone.
    """

    calls: str
    in_flight: int
    free: int
    rate: float
    base_rate: float
    burst: int
    throttled_seconds: float = 0.0
    wait: str = ""


class LaneLine(Struct, frozen=True):
    """One lane. `in_flight` of `places` calls are under way; `waiting` steps could begin if it let them.

    `runs` are the runs driven now that use it, at most RUNS_MOST; `runs_more` says how many more there are. A simulated
    run has lanes of its own.
    """

    lane: str
    simulated: bool
    in_flight: int
    places: int
    waiting: int
    rates: tuple[CallRate, ...]
    runs: tuple[str, ...]
    runs_more: int = 0
