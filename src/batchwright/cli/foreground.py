"""Drives a run in the foreground: draws while it goes, and turns Ctrl-C into a cancel, twice into leaving."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable

from batchwright.app.foreground import Foreground
from batchwright.app.settings import Settings
from batchwright.app.stores import Stores
from batchwright.app.system_clock import SystemClock
from batchwright.cli.exit_codes import Exit, exit_of
from batchwright.cli.output import note, print_json
from batchwright.cli.screen import DRAW_SECONDS, NullScreen, Screen, screen_for
from batchwright.cli.text import show_end
from batchwright.model.lifecycle import RunState
from batchwright.model.run import Run
from batchwright.views.run import run_view
from batchwright.views.wait_reasons import Circumstances

Verb = Callable[[Foreground], Awaitable[Run | None]]


class ForegroundRun:
    """One run, driven here while a person watches."""

    def __init__(self, settings: Settings, stores: Stores, by: str, *, json: bool) -> None:
        self.foreground = Foreground(settings, stores, SystemClock())
        self._clock = SystemClock()
        self._by = by
        self._json = json
        self._screen: Screen = screen_for(stderr=json)
        self._interrupts = 0
        self._began = self._clock.now()
        self._task: asyncio.Task[Run | None] | None = None

    async def drive(self, run_id: str, verb: Verb) -> Exit | None:
        """Carry out the verb and show it. None when there was nothing to drive here."""
        loop = asyncio.get_running_loop()
        self._began = self._clock.now()
        self._task = asyncio.ensure_future(verb(self.foreground))
        loop.add_signal_handler(signal.SIGINT, self._interrupted)
        for number in (signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, self._task.cancel)
        drawing = loop.create_task(self._draw())
        try:
            await asyncio.wait([self._task])
        finally:
            drawing.cancel()
            await asyncio.gather(drawing, return_exceptions=True)
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                loop.remove_signal_handler(number)
            self._draw_once()
            self._screen.close()
        if self._task.cancelled():
            return self._left(run_id)
        run = self._task.result()
        return None if run is None else self._ended(run)

    async def _draw(self) -> None:
        while True:
            self._draw_once()
            await asyncio.sleep(DRAW_SECONDS)

    def _draw_once(self) -> None:
        """A screen that fails never takes the run down with it."""
        run = self.foreground.run
        if run is None:
            return
        try:
            self._screen.draw(self.foreground.update(run), self._clock.now())
        except Exception as error:
            self._screen = NullScreen()
            note(f"error: the display failed, the run goes on: {type(error).__name__}: {error} [bug]", "red")

    # -- how it may end -----------------------------------------------------------------------------------------

    def _interrupted(self) -> None:
        assert self._task is not None
        self._interrupts += 1
        if self._interrupts > 1 or self.foreground.run is None:
            self._task.cancel()
        elif self.foreground.cancel(self._by):
            self._screen.tell(
                "cancelling: nothing new is started, what is in flight is waited for; Ctrl-C again leaves"
            )
        elif self.foreground.run.cancelling and self.foreground.run.status is not RunState.ROLLING_BACK:
            self._screen.tell("it is being cancelled already; Ctrl-C again leaves at once")
        else:
            resume = f"batchwright resume {self.foreground.run.id}"
            self._screen.tell(f"a rollback is not cancelled; Ctrl-C again leaves at once, {resume} goes on with it")

    def _left(self, run_id: str) -> Exit:
        run = self.foreground.run
        if run is None:
            note(f"left before anything was started; go on with: batchwright resume {run_id}")
        else:
            flying = len(run.in_flight)
            doubt = f" with {flying} in flight, which resume settles" if flying else ""
            note(f"left: run {run.id} is {run.status}{doubt}; go on with: batchwright resume {run.id}")
            if self._json:
                print_json(run_view(run, self._clock.now(), around=Circumstances(driven=False)))
        return Exit.LEFT

    def _ended(self, run: Run) -> Exit:
        view = run_view(run, self._clock.now(), around=Circumstances(driven=False))
        if self._json:
            print_json(view)
        else:
            show_end(view, self._clock.now() - self._began)
        return exit_of(run)
