"""A run that continues after a command: driven by this process, or watched while another process drives it."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Coroutine, Iterator
from types import TracebackType
from typing import Any, Protocol, Self, TypeVar

from batchwright.app.active_run import ActiveRun
from batchwright.model.lifecycle import RunState
from batchwright.views.update import Update

UPDATE_SECONDS = 0.2  # between two updates of a run that is driven here
STOPS = (signal.SIGTERM, signal.SIGHUP)

T = TypeVar("T")


class Progress(Protocol):
    """The updates of a run until it has ended, no process drives it, or this process has left it.

    `driver` is the process that drove the run before the command, empty for none. `left`: this process drove the run
    and stopped before its end.
    """

    @property
    def driver(self) -> str: ...

    @property
    def left(self) -> bool: ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def __iter__(self) -> Iterator[Update]: ...

    def __next__(self) -> Update: ...

    def interrupt(self) -> str:
        """Take note of a Ctrl-C. What it does, in words; empty when it ends the watching, or the run is `left`."""
        ...


class WatchedProgress:
    """Another process drives the run."""

    left = False

    def __init__(self, updates: Iterator[Update], driver: str) -> None:
        self.driver = driver
        self._updates = updates

    def __enter__(self) -> WatchedProgress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing to release: no connection is kept open."""

    def __iter__(self) -> Iterator[Update]:
        return self

    def __next__(self) -> Update:
        return next(self._updates)

    def interrupt(self) -> str:
        return ""


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
        self._coming: asyncio.Task[Update | None] | None = None
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

    def __iter__(self) -> Iterator[Update]:
        return self

    def __next__(self) -> Update:
        coming = self._wait(self._step())
        if coming is None:
            self._interrupted.clear()
            raise KeyboardInterrupt
        self._coming = None
        update = coming.result()
        if update is None:
            raise StopIteration
        return update

    async def _step(self) -> asyncio.Task[Update | None] | None:
        """The next update, when it has come; None for a Ctrl-C."""
        coming = self._coming = self._coming or asyncio.ensure_future(self._next())
        interrupted = asyncio.ensure_future(self._interrupted.wait())
        try:
            await asyncio.wait([coming, interrupted], return_when=asyncio.FIRST_COMPLETED)
        finally:
            interrupted.cancel()
        return None if self._interrupted.is_set() else coming

    async def _next(self) -> Update | None:
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
        if self._run.cancel(self._by):
            return "cancelling: nothing new starts, calls in flight may finish; Ctrl-C again exits at once"
        if run.cancelling and run.status is not RunState.ROLLING_BACK:
            return "already cancelling; Ctrl-C again exits at once"
        resume = f"batchwright resume {run.id}"
        return f"a rollback cannot be cancelled; Ctrl-C again exits at once, {resume} continues it"
