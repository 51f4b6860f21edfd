"""A run driven by this very process, for a door that shows it while it goes."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from batchwright.app.runs import Runs
from batchwright.app.settings import Settings
from batchwright.app.stores import Stores
from batchwright.engine.limits import Limits, calls_of
from batchwright.engine.loop import Driver
from batchwright.model.clock import Clock
from batchwright.model.events import AnyEvent
from batchwright.model.lifecycle import RunState
from batchwright.model.run import Run
from batchwright.model.summary import Signal, SignalKind
from batchwright.views.run import LIVE, run_view
from batchwright.views.shape import Shape, shape_of
from batchwright.views.update import Update
from batchwright.views.wait_reasons import Circumstances


class Foreground:
    """`drives` carries out the use cases; the rest is what a screen needs. The events heard wait in `fresh`."""

    def __init__(self, settings: Settings, stores: Stores, clock: Clock) -> None:
        self._clock = clock
        self._limits = Limits()
        self._driver: Driver | None = None
        self._fresh: list[AnyEvent] = []
        self._shape: Shape | None = None
        self.drives = Runs(settings, stores, clock, self._limits, self._heard, self._begun)

    def _heard(self, _run: Run, events: Sequence[AnyEvent]) -> None:
        self._fresh.extend(events)

    def _begun(self, driver: Driver) -> None:
        self._driver = driver

    @property
    def run(self) -> Run | None:
        """The run, as soon as it is driven."""
        return self._driver.run if self._driver else None

    def update(self, run: Run) -> Update:
        """The run now, with the events since the last time this was asked."""
        fresh, self._fresh = self._fresh, []
        self._shape = self._shape or shape_of(run.plan)
        draw = partial(run_view, run, self._clock.now(), around=self.circumstances(), shape=self._shape, bounds=LIVE)
        return Update(draw, fresh, run.seq)

    def circumstances(self) -> Circumstances:
        """What only the driving process knows: why the lanes' calls wait, and which provider does not answer."""
        if self._driver is None:
            return Circumstances(True)
        words = self._limits.words(calls_of(self._driver.run), self._clock.monotonic())
        return Circumstances(True, words, self._driver.unheard())

    def cancel(self, by: str) -> bool:
        """Ask the run to end once what is in flight has ended. False when that is not possible: a rollback."""
        run = self.run
        if self._driver is None or run is None:
            return False
        if run.status not in (RunState.PENDING, RunState.RUNNING, RunState.PAUSED) or run.cancelling:
            return False
        self._driver.signal(Signal(SignalKind.CANCEL, self._clock.now(), by))
        return True
