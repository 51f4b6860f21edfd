"""A run that this process drives, followed while it goes; signals cancel it or leave it."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Coroutine, Iterator
from types import TracebackType
from typing import Any, TypeVar

from batchwright.app.active_run import ActiveRun
from batchwright.model.lifecycle import RunState
from batchwright.views.progress_update import ProgressUpdate

UPDATE_SECONDS = 0.2  # between two updates of a run that is driven here


STOPS = (signal.SIGTERM, signal.SIGHUP)


T = TypeVar("T")


class DrivenProgress:
    """This process drives the run while it waits for updates. SIGTERM and SIGHUP make it leave the run at once.

    A Ctrl-C raises KeyboardInterrupt from `next`, which may be called again: the run continues until `interrupt`.
    """

    driver = ""

    def __init__(self, runner: asyncio.Runner, run: ActiveRun, by: str) -> None:
        self._runner = runner
        self._run = run
        self._by = by
        self._updates = run.updates(UPDATE_SECONDS)
        self._coming: asyncio.Task[ProgressUpdate | None] | None = None
        self._interrupted = asyncio.Event()
        self._interrupts = 0

    @property
    def left(self) -> bool:
        return self._run.left

    def __enter__(self) -> DrivenProgress:
        loop = self._runner.get_loop()
        loop.add_signal_handler(signal.SIGINT, self._interrupted.set)
        for number in STOPS:
            loop.add_signal_handler(number, self._run.leave)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        loop = self._runner.get_loop()
        if self._coming is not None:
            self._coming.cancel()
            self._wait(asyncio.wait([self._coming]))
        self._wait(self._updates.aclose())
        for number in (signal.SIGINT, *STOPS):
            loop.remove_signal_handler(number)

    def _wait(self, work: Coroutine[Any, Any, T]) -> T:
        return self._runner.run(work)

    def __iter__(self) -> Iterator[ProgressUpdate]:
        return self

    def __next__(self) -> ProgressUpdate:
        coming = self._wait(self._step())
        if coming is None:
            self._interrupted.clear()
            raise KeyboardInterrupt
        self._coming = None
        update = coming.result()
        if update is None:
            raise StopIteration
        return update

    async def _step(self) -> asyncio.Task[ProgressUpdate | None] | None:
        """The next update, when it has come; None for a Ctrl-C."""
        coming = self._coming = self._coming or asyncio.ensure_future(self._next())
        interrupted = asyncio.ensure_future(self._interrupted.wait())
        try:
            await asyncio.wait([coming, interrupted], return_when=asyncio.FIRST_COMPLETED)
        finally:
            interrupted.cancel()
        return None if self._interrupted.is_set() else coming

    async def _next(self) -> ProgressUpdate | None:
        async for update in self._updates:
            return update
        return None

    def interrupt(self) -> str:
        """See Progress. The first cancels the run where that can be done, the second leaves it."""
        run = self._run.run
        self._interrupts += 1
        if self._interrupts > 1 or run is None:
            self._run.leave()
            return ""
        if run.asking and run.status is RunState.RUNNING and not run.cancelling:
            self._run.drain()
            return "leaving: calls in flight may finish, and the question stays open; Ctrl-C again exits at once"
        if self._run.cancel(self._by):
            return "cancelling: nothing new starts, calls in flight may finish; Ctrl-C again exits at once"
        if run.cancelling and run.status is not RunState.ROLLING_BACK:
            return "already cancelling; Ctrl-C again exits at once"
        resume = f"batchwright resume {run.id}"
        return f"a rollback cannot be cancelled; Ctrl-C again exits at once, {resume} continues it"
