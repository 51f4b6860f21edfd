"""Looks at what webhooks have had, and asks for messages to be sent again."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from batchwright.app.multi_store import Stores
from batchwright.app.settings import Settings
from batchwright.app.webhook_delivery import change_delivery, receiver_of
from batchwright.app.webhook_events import WebhookEvents
from batchwright.errors import UsageError, WebhookNotFound
from batchwright.journal.base import Journal
from batchwright.model.delivery import AGAIN_MOST, Delivery, asked_again
from batchwright.model.run_summary import RunSummary
from batchwright.model.trace_receiver import TRACES

FAILED_HINT = "See what was given up with: batchwright webhooks list"


async def deliveries(stores: Stores, word: str = "") -> list[Delivery]:
    """What webhooks have had of one run, or of all: those of the newest run first. Raises RunNotFound, StoreError."""
    if word:
        journal, run = await stores.find(word)
        return await journal.deliveries(run)
    newest = {row.run: number for number, row in enumerate(await stores.summaries(partial=True))}
    rows = [row for journal in stores.opened for row in await journal.deliveries() if row.run in newest]
    return sorted(rows, key=lambda row: (newest[row.run], row.webhook))


async def send_again(
    settings: Settings, stores: Stores, word: str = "", event: int = 0, *, failed: bool = False
) -> list[tuple[Journal, Delivery]]:
    """Ask for messages to be sent again: one, all of a run, or with `failed` those that were given up.

    Gives the rows that were changed. Raises WebhookNotFound if there are none, UsageError.
    """
    if not word and not failed:
        raise UsageError("name a run, or ask for what was given up", hint="batchwright webhooks resend --failed")
    found: list[tuple[Journal, Delivery]] = []
    for journal, row in await _rows(stores, word):
        if row.webhook == TRACES:  # written again with: batchwright trace
            continue
        seqs = row.failed if failed else await _wanted(settings, journal, row, event)
        if len(seqs) > AGAIN_MOST:
            message = f"{row.webhook} was told {len(seqs)} events of run {row.run}, and {AGAIN_MOST} can wait at most"
            raise UsageError(message, hint="Name one event: batchwright webhooks resend RUN:EVENT")
        if seqs:
            found.append((journal, await change_delivery(journal, row, partial(asked_again, seqs=tuple(seqs)))))
    if not found:
        about = f"event {event} of run {word}" if event else f"run {word}" if word else "any run"
        what = "was given up" if failed else "is told to a webhook"
        raise WebhookNotFound(f"nothing about {about} {what}", hint=FAILED_HINT)
    return found


async def _rows(stores: Stores, word: str) -> list[tuple[Journal, Delivery]]:
    if word:
        journal, run = await stores.find(word)
        return [(journal, row) for row in await journal.deliveries(run)]
    homes: Sequence[RunSummary] = await stores.summaries()
    home = {row.run: row.store for row in homes if not row.archive}
    return [
        (journal, row)
        for journal in stores.opened
        for row in await journal.deliveries()
        if home.get(row.run) == journal.name
    ]


async def _wanted(settings: Settings, journal: Journal, row: Delivery, event: int) -> list[int]:
    events = WebhookEvents(journal, row.run)
    receiver = receiver_of(settings, row, await events.created())
    wanted = await events.all(receiver.events) if receiver is not None else []
    return [seq for seq in wanted if event in (0, seq)]
