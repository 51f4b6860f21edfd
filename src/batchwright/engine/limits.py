"""How many calls each lane may begin: concurrency first, then the bucket of the call's class (bucket.py).

A lane is a provider account (or the task service runner). One Limits serves all runs of a process. The machine asks for
permits before it gives a step one of the run's own places, so a throttled lane never holds those up.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from enum import StrEnum

from batchwright.engine.bucket import Bucket
from batchwright.model.lifecycle import RunState
from batchwright.model.run import Run
from batchwright.operations.registry import TYPES


class CallClass(StrEnum):
    """Clouds limit creates and destroys separately, so a lane does too. Reads have no class: one listing per tick."""

    CREATE = "create"  # and what else a run does on its way forward
    DESTROY = "destroy"  # and what else undoes something


def calls_of(run: Run) -> CallClass:
    """The class of the calls that a run needs permits for: a rollback only undoes, anything else only creates."""
    return CallClass.DESTROY if run.status is RunState.ROLLING_BACK else CallClass.CREATE


class Lane:
    """The limits of one account: its places are shared by all calls, each class has a bucket that learns by itself.

    Rates are calls per second, 0 when none is known. Destroys have the rate of the creates unless they have their own.
    `account` identifies the account for other processes that use it; empty for a lane that is this process's own.
    """

    def __init__(
        self,
        concurrency: int,
        rate: float = 0.0,
        burst: int = 1,
        destroy_rate: float | None = None,
        destroy_burst: int | None = None,
        *,
        account: str = "",
    ) -> None:
        self.concurrency = self.allowed = concurrency
        self.account = account
        self.held = False  # nothing begins for a moment
        self.buckets = {
            CallClass.CREATE: Bucket(concurrency, rate, burst),
            CallClass.DESTROY: Bucket(
                concurrency,
                rate if destroy_rate is None else destroy_rate,
                burst if destroy_burst is None else destroy_burst,
            ),
        }

    @property
    def in_flight(self) -> int:
        """How many calls, of all classes, have begun and not ended."""
        return sum(bucket.in_flight for bucket in self.buckets.values())

    def available(self, calls: CallClass, now: float) -> int:
        """How many calls of this class may begin now."""
        free = 0 if self.held else self.allowed - self.in_flight
        return max(0, min(free, self.buckets[calls].available(now)))

    def allow(self, calls: int) -> None:
        """Let this process have so many calls in flight, and the same part of the rates: others use the account."""
        self.allowed = calls
        for bucket in self.buckets.values():
            bucket.share = calls / self.concurrency

    def describe(self, calls: CallClass, now: float) -> str:
        """Why a call of this class would wait, in words; empty if it would not."""
        words = self.buckets[calls].describe(now)
        if not words and self.in_flight >= self.allowed:
            return (
                f"{self.in_flight} call{'' if self.in_flight == 1 else 's'} in flight"
                if self.allowed
                else "other services use the account"
            )
        return words


class Limits:
    """The lanes of this process. With `shared`, a lane of an account allows nothing until it has got a share of it."""

    def __init__(self, *, shared: bool = False) -> None:
        self.lanes: dict[str, Lane] = {}
        self._shared = shared
        self.on_short: Callable[[], None] = lambda: None  # called when a lane has no permit to give
        self._listeners: set[Callable[[], None]] = set()
        self._short: set[str] = set()  # lanes that were reported as full

    def share(self) -> None:
        """From now on lanes of accounts allow nothing until they have got a share."""
        self._shared = True
        for lane in self.lanes.values():
            if lane.account:
                lane.allow(0)

    def add(self, name: str, lane: Lane) -> None:
        """Set a lane's limits; the first setting stays, since its buckets are shared."""
        if name not in self.lanes and self._shared and lane.account:
            lane.allow(0)
        self.lanes.setdefault(name, lane)

    def add_lanes_of_types(self) -> None:
        """Set the limits of the lanes that operation types have of their own."""
        for kind in TYPES:
            if kind.lane:
                self.add(kind.lane, Lane(kind.at_once))

    def permits(self, names: Iterable[str], calls: CallClass, now: float) -> dict[str, int]:
        """Calls of this class that may begin now, per lane."""
        permits = {name: self.lanes[name].available(calls, now) for name in names}
        short = {name for name, count in permits.items() if count <= 0}
        self._short |= short
        if any(not self.lanes[name].allowed and not self.lanes[name].held for name in short):
            self.on_short()
        return permits

    def wants(self, name: str) -> bool:
        """Whether calls of a lane are in flight or wait for a permit."""
        return name in self._short or self.lanes[name].in_flight > 0

    def allow(self, name: str, calls: int) -> None:
        """Set how many calls of a lane this process may have in flight, and wake who waits for more."""
        lane = self.lanes[name]
        lane.held = False
        lane.allow(calls)
        self._wake(name)  # who still waits asks again, and is known to want some

    def take(self, name: str, calls: CallClass) -> None:
        """Count a call in this lane as in flight."""
        self.lanes[name].buckets[calls].take()

    def release(self, name: str, calls: CallClass) -> None:
        """Count a call as ended, and wake a waiter for this lane."""
        self.lanes[name].buckets[calls].release()
        if name in self._short:
            self._wake(name)

    def _wake(self, name: str) -> None:
        self._short.discard(name)
        for listener in tuple(self._listeners):
            listener()

    def listen(self, listener: Callable[[], None]) -> Callable[[], None]:
        """Call `listener` when a call has ended in a lane that was full; gives the function that unsubscribes."""
        self._listeners.add(listener)
        return lambda: self._listeners.discard(listener)

    def wake_at(self, names: Iterable[str], calls: CallClass, now: float) -> float | None:
        """The earliest time at which time alone makes a call possible in one of these lanes."""
        times = (self.lanes[name].buckets[calls].wake_at(now) for name in names)
        return min((at for at in times if at is not None), default=None)

    def words(self, calls: CallClass, now: float) -> dict[str, str]:
        """For each lane in which calls of this class would wait: why."""
        words = {name: lane.describe(calls, now) for name, lane in self.lanes.items()}
        return {name: why for name, why in words.items() if why}
