"""A run that this process drives: its updates, and the signals to its driver."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from functools import partial

from batchwright.engine.limits import Limits, calls_of
from batchwright.engine.loop import Driver
from batchwright.model.clock import Clock
from batchwright.model.events import AnyEvent
from batchwright.model.lifecycle import RunState
from batchwright.model.run import Run
from batchwright.model.run_signal import Signal, SignalKind
from batchwright.views.plan_index import PlanIndex, plan_index
from batchwright.views.progress_update import ProgressUpdate
from batchwright.views.run import LIVE, run_view
from batchwright.views.wait_reasons import Circumstances

LIVE_STATES = (RunState.PENDING, RunState.RUNNING, RunState.PAUSED)


class ActiveRun:
    """Iterating over it drives the run, in its own task: a slow reader of the updates does not slow the run down.

    `accepted`: the request was accepted, so an error raised from then on is not a refusal. `left`: `leave` ended it,
    and the run can be resumed. `store` names the store that holds its journal.
    """

    def __init__(
        self, run_id: str, store: str, limits: Limits, clock: Clock, drive: Callable[[ActiveRun], Awaitable[Run]]
    ) -> None:
        self.run_id = run_id
        self.store = store
        self.limits = limits
        self.driver: Driver | None = None
        self.accepted = False
        self.left = False
        self.moved_at = clock.now()
        self.task: asyncio.Task[Run | None] | None = None  # that takes the updates in the background
        self._clock = clock
        self._drive = drive
        self._driving: asyncio.Task[None] | None = None
        self._events: list[AnyEvent] = []
        self._shape: PlanIndex | None = None
        self._draining = False
        self._waits: dict[str, str] = {}
        self._signals: list[Signal] = []
        self._moved = asyncio.Event()
        self._moves: set[asyncio.Event] = {self._moved}

    @property
    def run(self) -> Run | None:
        """The fold that its driver works on, once there is one."""
        return self.driver.run if self.driver else None

    # -- its updates --------------------------------------------------------------------------------------------

    def __aiter__(self) -> AsyncIterator[ProgressUpdate]:
        return self.updates()

    async def updates(self, every: float | None = None) -> AsyncGenerator[ProgressUpdate, None]:
        """Drive the run; yield an update for each durable batch or every `every` seconds, and one at the end.

        If it is cancelled, the run can be resumed. Raises RunHeld, NotAllowed, Forbidden, ProviderUnavailable,
        StoreError, LeaseLost.
        """
        self._driving = task = asyncio.ensure_future(self._to_the_end())
        try:
            while not task.done():
                if every is None:
                    await self._moved.wait()
                else:
                    await asyncio.wait([task], timeout=every)
                self._moved.clear()
                if self.driver is not None and (self._events or every is not None) and not task.done():
                    yield self._update(self.driver, driven=True)
            if not task.cancelled():
                task.result()
            if self.driver is not None:
                yield self._update(self.driver, driven=False)
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _to_the_end(self) -> None:
        try:
            await self._drive(self)
        finally:
            self.tell()

    async def finished(self) -> Run:
        """Drive to the end; gives the run in its final state. Raises as `updates`."""
        async for _ in self:
            pass
        assert self.run is not None
        return self.run

    def _update(self, driver: Driver, *, driven: bool) -> ProgressUpdate:
        run, events, self._events = driver.run, self._events, []
        self._shape = self._shape or plan_index(run.plan)
        view = partial(
            run_view,
            run,
            self._clock.now(),
            around=self.around() if driven else Circumstances(driven=False),
            store=self.store,
            shape=self._shape,
            bounds=LIVE if driven else None,
        )
        return ProgressUpdate(view, events, run.seq)

    def around(self) -> Circumstances:
        """What only the driving process knows: why the lanes' calls wait, and which provider does not answer."""
        words = self.limits.words(calls_of(self.run), self._clock.monotonic()) if self.run is not None else {}
        return Circumstances(True, words, self.unheard())

    def unheard(self) -> dict[str, str]:
        """For each provider that does not answer: for how long, and why."""
        return self.driver.unheard() if self.driver else self._waits

    # -- what Runs tells it -------------------------------------------------------------------------------------

    def waits(self, provider: str, why: str, _patience: float) -> None:
        """Note that a provider does not answer yet, so the driver has not begun."""
        self._waits[provider] = f"cannot be queried: {why}"
        self.tell()

    def begun(self, driver: Driver) -> None:
        """Note that the driver has the lease and is about to drive."""
        self.driver = driver
        self._waits.clear()
        signals, self._signals = self._signals, []
        for signal in signals:
            driver.signal(signal)
        if self._draining:
            driver.drain()

    def appended(self, events: Sequence[AnyEvent]) -> None:
        """Note that events of the run are durable."""
        self.moved_at = self._clock.now()
        self._events.extend(events)
        self.tell()

    def tell(self) -> None:
        """Wake the tasks that wait for something new."""
        for move in self._moves:
            move.set()

    # -- asking it ----------------------------------------------------------------------------------------------

    def signal(self, signal: Signal) -> None:
        """Send a signal to the driver, or keep it for the driver that is about to begin."""
        if self.driver is None:
            self._signals.append(signal)
        else:
            self.driver.signal(signal)

    def cancel(self, by: str) -> bool:
        """End the run once all calls in flight have ended. False if it is rolling back or already cancelling."""
        run = self.run
        if run is None or run.status not in LIVE_STATES or run.cancelling:
            return False
        self.signal(Signal(SignalKind.CANCEL, self._clock.now(), by))
        return True

    def drain(self) -> None:
        """Start nothing more, and end once no call is in flight."""
        self._draining = True
        if self.driver is not None:
            self.driver.drain()

    def leave(self) -> None:
        """Stop driving at once; what is in flight is in doubt and is settled when the run is resumed."""
        self.left = True
        if self._driving is not None:
            self._driving.cancel()

    async def until(self, shows: Callable[[], Awaitable[bool]], seconds: float) -> None:
        """Wait until the journal shows what is `wanted`, checked after each append, or until `task` has ended.

        Raises what ended the drive; returns after `seconds` at the latest.
        """
        assert self.task is not None
        move = asyncio.Event()
        self._moves.add(move)
        try:
            async with asyncio.timeout(seconds):
                while not self.task.done():
                    await move.wait()
                    move.clear()
                    if await shows():
                        return
        except TimeoutError:
            return
        finally:
            self._moves.discard(move)
        if not self.task.cancelled():
            self.task.result()
