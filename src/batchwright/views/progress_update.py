"""One update of a run in progress, as every screen, monitor and service gets it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property

from batchwright.model.events import AnyEvent
from batchwright.views.run import RunView


class ProgressUpdate:
    """The state of a run now, and the events that became durable since the previous update.

    `seq` is the number of the last event. The view is computed on first use, which must be before the next update is
    taken. `lost` says why the connection to the service was lost while it is being restored.
    """

    def __init__(
        self, view: Callable[[], RunView], events: Sequence[AnyEvent] = (), seq: int = 0, *, lost: str = ""
    ) -> None:
        self.events = events
        self.seq = seq
        self.lost = lost
        self._view = view

    @cached_property
    def view(self) -> RunView:
        """The run as people see it."""
        return self._view()

    @property
    def numbered(self) -> Iterator[tuple[int, AnyEvent]]:
        """The events with their numbers."""
        return enumerate(self.events, self.seq - len(self.events) + 1)
