"""The spans of one run that have ended and were not sent yet, read from its journal and cut into exports."""

from __future__ import annotations

import asyncio

import msgspec

from batchwright import __version__
from batchwright.app.webhook_request import OutgoingMessage
from batchwright.journal.base import Journal
from batchwright.views.otlp import export_request
from batchwright.views.trace import Span, TraceProjection

PIECE = 500  # events that are read at a time
SPANS_MOST = 400  # in one export, unless one event ends more than that


class TraceBatches:
    """Folds the journal forwards once, and keeps what is not sent yet.

    `read` is the number up to which nothing more was found.
    """

    def __init__(self, journal: Journal, run: str) -> None:
        self._journal = journal
        self._id = run
        self._projection = TraceProjection()
        self._waiting: list[tuple[int, float, Span]] = []  # the number and the time of the event that ended it
        self._folded = 0

    @property
    def read(self) -> int:
        """Up to which event there is nothing to send."""
        return self._waiting[0][0] - 1 if self._waiting else self._folded

    async def after(self, cursor: int, _wanted: object = ()) -> int:
        """The last event of the next export, whose spans ended after event `cursor`; 0 if there are none yet."""
        self._waiting = [one for one in self._waiting if one[0] > cursor]
        while len(self._waiting) <= SPANS_MOST and (page := await self._journal.read(self._id, self._folded, PIECE)):
            for seq, event in page:
                spans = self._projection.apply(event)
                self._waiting += [(seq, event.at, span) for span in spans if seq > cursor]
            self._folded = page[-1][0]
            await asyncio.sleep(0)  # the fold of a large run takes a while
        if len(self._waiting) <= SPANS_MOST:
            return self._waiting[-1][0] if self._waiting else 0
        first, cut = self._waiting[0][0], self._waiting[SPANS_MOST][0]
        return max(first, cut - 1)

    async def message(self, seq: int) -> tuple[OutgoingMessage, float]:
        """The export of what waits up to this event, and when the last of it ended."""
        batch = [one for one in self._waiting if one[0] <= seq]
        body = msgspec.json.encode(export_request((span for _, _, span in batch), __version__))
        return OutgoingMessage(f"{self._id}:{seq}", body), batch[-1][1]
