"""One look at a run that goes on: what every screen, monitor and service is given while it does."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property

from batchwright.model.events import AnyEvent
from batchwright.views.run import RunView


class Update:
    """How a run is now, and the events that became durable since the update before.

    `seq` is the number of the last of them. The view is computed when it is first asked for, which must be before the
    next update is taken. `lost` says why the connection to who tells it is lost; it is being looked for again.
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
