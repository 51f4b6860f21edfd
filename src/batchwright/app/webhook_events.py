"""The events of one run that webhooks are told about, read from its journal, and the messages made of them."""

from __future__ import annotations

import asyncio
from collections.abc import Collection

from batchwright.app.webhook_request import OutgoingMessage
from batchwright.errors import EventUnreadable
from batchwright.journal.base import Journal
from batchwright.model.events import AnyEvent, RunCreated
from batchwright.model.run import Run
from batchwright.model.webhook import WebhookEvent
from batchwright.model.webhook_trigger import webhook_event
from batchwright.views.webhook_message import message_id, webhook_message

PIECE = 500  # events that are read at a time


class WebhookEvents:
    """Reads forwards: `read` is the number up to which nothing more was found, so that no event is read twice."""

    def __init__(self, journal: Journal, run: str, read: int = 0) -> None:
        self._journal = journal
        self._id = run
        self.read = read
        self._created: RunCreated | None = None
        self._run: Run | None = None

    async def created(self) -> RunCreated:
        """The run's first event, which has its plan. Raises RunNotFound, EventUnreadable."""
        if self._created is None:
            [(_, event)] = await self._journal.read(self._id, 0, 1)
            if not isinstance(event, RunCreated):
                raise EventUnreadable(f"the journal of run {self._id} does not begin with run_created")
            self._created = event
        return self._created

    async def after(self, cursor: int, wanted: Collection[WebhookEvent]) -> int:
        """The number of the next event that is wanted, 0 if there is none yet."""
        at = max(cursor, self.read)
        while page := await self._journal.read(self._id, at, PIECE):
            for seq, event in page:
                if webhook_event(event) in wanted:
                    self.read = seq - 1
                    return seq
            at = page[-1][0]
        self.read = at
        return 0

    async def all(self, wanted: Collection[WebhookEvent]) -> list[int]:
        """The numbers of all that are wanted."""
        found, at = [], 0
        while page := await self._journal.read(self._id, at, PIECE):
            found += [seq for seq, event in page if webhook_event(event) in wanted]
            at = page[-1][0]
        return found

    async def message(self, seq: int) -> tuple[OutgoingMessage, float]:
        """The message about event `seq`, and when that happened. Raises EventUnreadable if there is nothing to tell."""
        if self._run is None or self._run.seq >= seq:
            self._run = Run(await self.created())
        run = self._run
        event: AnyEvent = run.created
        while run.seq < seq and (page := await self._journal.read(self._id, run.seq, min(PIECE, seq - run.seq))):
            for _, event in page:
                run.apply(event)
            await asyncio.sleep(0)  # the fold of a large run takes a while
        kind = webhook_event(event)
        if run.seq != seq or kind is None:
            raise EventUnreadable(f"webhooks are told nothing about event {seq} of run {self._id}")
        return OutgoingMessage(message_id(self._id, seq), webhook_message(run, event, kind)), event.at
