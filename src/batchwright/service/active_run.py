"""One run that this process drives in the background, and what is known of it while it goes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from batchwright.engine.limits import Limits
from batchwright.engine.loop import Driver
from batchwright.model.clock import Clock
from batchwright.model.events import AnyEvent
from batchwright.model.run import Run
from batchwright.model.summary import Signal


class ActiveRun:
    """Keeps the driver, its task, and when the run last moved. `heard` is told after each append."""

    def __init__(self, run_id: str, limits: Limits, clock: Clock, heard: Callable[[ActiveRun], None]) -> None:
        self.run_id = run_id
        self.limits = limits
        self.driver: Driver | None = None
        self.task: asyncio.Task[Run | None] | None = None
        self.moved_at = clock.now()
        self._clock = clock
        self._heard = heard
        self._draining = False
        self._waits: dict[str, str] = {}
        self._signals: list[Signal] = []
        self._moves: set[asyncio.Event] = set()

    @property
    def run(self) -> Run | None:
        """The fold its driver works on, as soon as there is one."""
        return self.driver.run if self.driver else None

    def unheard(self) -> dict[str, str]:
        """Per provider that does not answer when it is looked at, for how long and why."""
        return self.driver.unheard() if self.driver else self._waits

    def waits(self, provider: str, why: str, _patience: float) -> None:
        """A provider cannot be asked yet, so the driver has not begun."""
        self._waits[provider] = f"cannot be asked: {why}"
        self._tell()

    def begun(self, driver: Driver) -> None:
        """The driver has the lease and is about to drive."""
        self.driver = driver
        self._waits.clear()
        signals, self._signals = self._signals, []
        for signal in signals:
            driver.signal(signal)
        if self._draining:
            driver.drain()

    def listen(self, _run: Run, _events: Sequence[AnyEvent]) -> None:
        """Events of the run are durable."""
        self.moved_at = self._clock.now()
        self._heard(self)
        self._tell()

    def _tell(self) -> None:
        for move in self._moves:
            move.set()

    def ended(self) -> None:
        """The drive is over, whatever its end."""
        self._tell()

    def signal(self, signal: Signal) -> None:
        """Ask the driver, or leave it for the one that is about to begin."""
        if self.driver is None:
            self._signals.append(signal)
        else:
            self.driver.signal(signal)

    def drain(self) -> None:
        """Begin nothing more and end as soon as no call is in flight."""
        self._draining = True
        if self.driver is not None:
            self.driver.drain()

    async def until(self, shows: Callable[[Run], bool], seconds: float) -> None:
        """Wait until an event is durable and the run shows what was asked for, or its drive has ended.

        Raises what ended the drive; returns when it takes longer than `seconds`.
        """
        assert self.task is not None
        move = asyncio.Event()
        self._moves.add(move)
        try:
            async with asyncio.timeout(seconds):
                while not self.task.done():
                    await move.wait()
                    move.clear()
                    if self.run is not None and shows(self.run):
                        return
        except TimeoutError:
            return
        finally:
            self._moves.discard(move)
        if self.task.cancelled():
            return
        self.task.result()
