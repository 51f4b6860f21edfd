"""The port for following a run that continues, and a run that another process drives."""

from __future__ import annotations

from collections.abc import Iterator
from types import TracebackType
from typing import Protocol, Self

from batchwright.views.progress_update import ProgressUpdate


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

    def __iter__(self) -> Iterator[ProgressUpdate]: ...

    def __next__(self) -> ProgressUpdate: ...

    def interrupt(self) -> str:
        """Handle a Ctrl-C. Gives its effect in words; empty if it ends the watching, or the run is `left`."""
        ...


class WatchedProgress:
    """Another process drives the run."""

    left = False

    def __init__(self, updates: Iterator[ProgressUpdate], driver: str) -> None:
        self.driver = driver
        self._updates = updates

    def __enter__(self) -> WatchedProgress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing to release: no connection is kept open."""

    def __iter__(self) -> Iterator[ProgressUpdate]:
        return self

    def __next__(self) -> ProgressUpdate:
        return next(self._updates)

    def interrupt(self) -> str:
        return ""
