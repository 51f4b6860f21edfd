"""Delivers messages to webhooks, and spans to a collector of traces: from a cursor in the run's store.

Each at least once, in order for each run and receiver.

A run never waits for it. Any process may deliver; the row of a webhook says who is sending now. The process that drives
a run sends what happens to it, and what a dead process left is sent by the next one that has the store open.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from types import TracebackType

from batchwright.app.multi_store import Stores
from batchwright.app.program_and_secret_allowlist import ProgramAndSecretAllowlist
from batchwright.app.settings import Settings
from batchwright.app.unsent_spans import TraceBatches
from batchwright.app.webhook_events import WebhookEvents
from batchwright.app.webhook_request import OutgoingMessage, Receiver, WebhookSender
from batchwright.errors import BatchwrightError, DeliveryMoved, RunArchived, RunNotFound, StoreError
from batchwright.journal.base import PENDING_MOST, Journal
from batchwright.journal.lease_holder import LeaseObserver, is_dead, is_gone, own_holder
from batchwright.model.clock import Clock
from batchwright.model.delivery import DAY, Answer, Delivery, attempted, passed_over
from batchwright.model.environment import SIMULATED, EnvironmentKey
from batchwright.model.events import AnyEvent, RunCreated
from batchwright.model.lifecycle import RUN_ENDED, RunState
from batchwright.model.run import Run
from batchwright.model.trace_receiver import TRACES, TraceReceiver
from batchwright.model.webhook import Webhook, public_url
from batchwright.model.webhook_trigger import webhook_event

POLL_SECONDS = 5.0  # between two looks for what other processes left
TRACE_SECONDS = 1.0  # between two looks for spans of runs that go on
LOOK_SECONDS = 0.5  # between two looks for what other processes have sent, while a command waits for it
CLAIM_SECONDS = 60.0  # a sender that cannot be seen and has written nothing for so long may be replaced
BROKEN_SECONDS = 60.0  # between two looks at a row that cannot be sent from here
MOST_AT_ONCE = 32  # webhooks that are being sent to
MOST_PER_RECEIVER = 2  # of which so many have the same receiver, so that one that hangs delays only its own
WRITES = 5  # attempts to change a row that others change too

Send = Callable[[Receiver, OutgoingMessage], Awaitable[Answer]]
Key = tuple[str, str, str]  # store, run, webhook

log = logging.getLogger("batchwright.webhooks")


class WebhookDeliverer:
    """Delivers what happens to the runs in the stores that are open. It works while it is entered."""

    def __init__(
        self,
        settings: Settings,
        stores: Stores,
        clock: Clock,
        send: Send,
        allowed: ProgramAndSecretAllowlist | None = None,
    ) -> None:
        self._settings = settings
        self._stores = stores
        self._clock = clock
        self._send = send
        self._allowed = allowed
        self._own = own_holder()
        self._driven: set[str] = set()  # runs that this process drives
        self._leases = LeaseObserver(clock.monotonic)
        self._hints: Counter[str] = Counter()  # run -> how often something happened that may be wanted
        self._met: dict[Key, int] = {}  # the hint that a webhook was last looked at for
        self._read: dict[Key, int] = {}  # up to which event nothing more is wanted
        self._silent: dict[Key, tuple[int, float]] = {}  # the revision of another's row, and since when it is that
        self._traced: dict[Key, TraceBatches] = {}
        self._done: dict[Key, int] = {}  # the revision at which nothing was left to send
        self._broken: dict[Key, float] = {}  # when to look again at a row that cannot be sent from here
        self._busy: dict[Key, asyncio.Task[None]] = {}
        self._traced_at = 0.0  # when spans were last looked for, on the monotonic clock
        self._wake = asyncio.Event()
        self._progress = asyncio.Event()
        self._working: asyncio.Task[None] | None = None

    async def __aenter__(self) -> WebhookDeliverer:
        self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    def start(self) -> None:
        """Begin to deliver; does nothing if it has begun."""
        if self._working is None:
            self._working = asyncio.create_task(self._work())

    async def aclose(self) -> None:
        """Stop at once. What is being sent is sent again by the next process."""
        tasks = [*self._busy.values(), *([self._working] if self._working is not None else [])]
        self._working = None
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # -- what a driver says -----------------------------------------------------------------------------------------

    async def enlist(self, journal: Journal, run: Run) -> None:
        """Note, durably, who is to be told about a run that this process is about to drive. Raises StoreError.

        Webhooks of the file are told from the run's beginning. One of config.toml is too, unless it came later.
        """
        self.start()
        self._driven.add(run.id)
        key = EnvironmentKey.of(run.plan)
        begins = 0 if run.status is RunState.PENDING else run.seq
        traces = self._settings.traces
        wanted: list[tuple[str, Webhook | TraceReceiver, int]] = [
            (f"workflow/{one.name}", one, 0) for one in run.plan.notify if one.simulated or key.space != SIMULATED
        ]
        wanted += [(f"config/{one.name}", one, begins) for one in self._settings.notify if one.tells(key)]
        wanted += [(TRACES, traces, 0)] if traces and (traces.simulated or key.space != SIMULATED) else []
        for name, webhook, cursor in wanted:
            fresh = Delivery(run.id, name, public_url(webhook.url), cursor=cursor)
            await change_delivery(journal, fresh, partial(Delivery.changed, open=True, receiver=fresh.receiver))
        self.hint(run.id)

    def appended(self, run: str, events: Sequence[AnyEvent]) -> None:
        """Note that events of a run that this process drives are durable."""
        now = self._clock.monotonic()
        late = self._settings.traces is not None and now - self._traced_at >= TRACE_SECONDS
        if late or any(webhook_event(event) is not None for event in events):
            self._traced_at = now
            self.hint(run)

    def left(self, run: str) -> None:
        """Note that this process drives the run no more."""
        self._driven.discard(run)
        self.hint(run)

    def hint(self, run: str) -> None:
        """Look soon whether there is something to send about a run."""
        self._hints[run] += 1
        self._wake.set()

    async def flush(self, journal: Journal, run: str, seconds: float) -> list[Delivery]:
        """Deliver for `seconds` at most; gives the rows of the run that have something left to send."""
        until = self._clock.monotonic() + seconds
        while True:
            self._progress.clear()
            rows = [row for row in await journal.deliveries(run) if self._is_left(journal, row)]
            rest = until - self._clock.monotonic()
            if not rows or rest <= 0 or self._working is None:
                return rows
            sleeping = asyncio.ensure_future(self._clock.sleep(min(rest, LOOK_SECONDS)))
            moved = asyncio.ensure_future(self._progress.wait())
            await asyncio.wait([sleeping, moved], return_when=asyncio.FIRST_COMPLETED)
            sleeping.cancel()
            moved.cancel()

    def _is_left(self, journal: Journal, row: Delivery) -> bool:
        key = (journal.name, row.run, row.webhook)
        return row.open and (key in self._busy or self._is_news(key, row))

    # -- finding what is due ----------------------------------------------------------------------------------------

    async def _work(self) -> None:
        while True:
            self._wake.clear()
            try:
                wait = await self._begin_what_is_due()
            except Exception:
                log.exception("webhooks are not delivered for now")
                wait = POLL_SECONDS
            sleeping = asyncio.ensure_future(self._clock.sleep(wait))
            woken = asyncio.ensure_future(self._wake.wait())
            try:
                await asyncio.wait([sleeping, woken], return_when=asyncio.FIRST_COMPLETED)
            finally:
                sleeping.cancel()
                woken.cancel()

    async def _begin_what_is_due(self) -> float:
        """Begin to send what is due, as far as there is room; gives the seconds until the next look."""
        now, wait = self._clock.now(), POLL_SECONDS
        pending: set[Key] = set()
        receivers = Counter(task.get_name() for task in self._busy.values())
        for journal in self._stores.opened:
            try:
                for row in await self._pending(journal):
                    key = (journal.name, row.run, row.webhook)
                    pending.add(key)
                    host = row.receiver.partition("://")[2].partition("/")[0]
                    if key in self._busy or len(self._busy) >= MOST_AT_ONCE or receivers[host] >= MOST_PER_RECEIVER:
                        continue  # looked at again when one that is busy has ended
                    if row.due > now and not row.again:
                        wait = min(wait, row.due - now)
                    elif self._is_news(key, row) and self._is_free(key, row) and await self._is_mine(journal, row):
                        if row.run in self._hints:
                            self._met[key] = self._hints[row.run]
                        receivers[host] += 1
                        self._busy[key] = asyncio.create_task(self._deliver(journal, key, row), name=host)
            except StoreError as error:
                log.warning("webhooks cannot be read from the store %s: %s", journal.name, error.message)
        self._forget(pending)
        return max(wait, 0.01)

    async def _pending(self, journal: Journal) -> list[Delivery]:
        """The rows to look at. What many rows of a receiver that hangs would hide is read for each run that is new."""
        rows = await journal.pending_deliveries()
        if len(rows) < PENDING_MOST:
            return rows
        own = [row for run in list(self._hints) for row in await journal.deliveries(run) if row.open]
        return [*own, *rows]

    def _forget(self, pending: set[Key]) -> None:
        """Drop what is remembered of rows that are settled."""
        for memory in (self._traced, self._met, self._read, self._silent, self._done, self._broken):
            for key in [key for key in memory if key not in pending and key not in self._busy]:
                del memory[key]
        runs = {run for _, run, _ in (*pending, *self._busy)} | self._driven
        for run in [run for run in self._hints if run not in runs]:
            del self._hints[run]

    def _is_news(self, key: Key, row: Delivery) -> bool:
        """Whether there may be something to send: it failed before, was asked for, or has not been looked at."""
        if self._broken.get(key, 0.0) > self._clock.monotonic():
            return False
        if row.attempts or row.again or self._met.get(key) != self._hints.get(row.run):
            return True
        return row.run not in self._driven and self._done.get(key) != row.revision

    def _is_free(self, key: Key, row: Delivery) -> bool:
        """Whether no other process is sending to it: one that lives, or one that wrote lately."""
        if row.sender in ("", self._own) or is_dead(row.sender):
            return True
        now = self._clock.monotonic()
        revision, since = self._silent.get(key, (0, now))
        if revision != row.revision:
            self._silent[key] = (row.revision, now)
            return False
        return now - since >= CLAIM_SECONDS

    async def _is_mine(self, journal: Journal, row: Delivery) -> bool:
        """Whether this process drives the run, or no process does."""
        return row.run in self._driven or not await self._is_driven(journal, row.run)

    async def _is_driven(self, journal: Journal, run: str) -> bool:
        """Whether a process drives the run, and so sends what happens to it. False for a run that was moved away."""
        lease = await journal.held(run)
        return lease is not None and not is_gone(lease) and not self._leases.is_free(run, lease)

    # -- sending ----------------------------------------------------------------------------------------------------

    async def _deliver(self, journal: Journal, key: Key, row: Delivery) -> None:
        try:
            await self._send_all(journal, key, row)
        except DeliveryMoved:
            pass  # another process is at it, or something more was asked for
        except BatchwrightError as error:
            log.warning("the webhook %s of run %s was not told: %s", row.webhook, row.run, error.message)
            self._broken[key] = self._clock.monotonic() + BROKEN_SECONDS
        except Exception:
            log.exception("the webhook %s of run %s was not told", row.webhook, row.run)
            self._broken[key] = self._clock.monotonic() + BROKEN_SECONDS
        finally:
            self._busy.pop(key, None)
            self._progress.set()
            self._wake.set()

    async def _send_all(self, journal: Journal, key: Key, row: Delivery) -> None:
        """Send one message after the other until one fails or none is left."""
        events = WebhookEvents(journal, row.run, self._read.get(key, 0))
        try:
            created = await events.created()
        except (RunNotFound, RunArchived):
            created = None
        if created is None or await _moved(journal, row.run):  # there is nothing to tell, or the row went with the run
            await _written(journal, row, row.changed(open=False, again=(), sender=""))
            return
        receiver = receiver_of(self._settings, row, created)
        if receiver is None:
            await self._expire(journal, key, row)
            return
        source: WebhookEvents | TraceBatches = events
        if row.webhook == TRACES:
            source = self._traced.setdefault(key, TraceBatches(journal, row.run))
        while True:
            seq = row.again[0] if row.again else await source.after(row.cursor, receiver.events)
            self._read[key] = source.read
            if not seq:
                if await self._settle(journal, key, row, source.read):
                    return
                continue
            if row.gone and seq not in row.again:
                row = await _written(journal, row, passed_over(row, seq))
                continue
            if row.due > self._clock.now() and seq not in row.again:
                await self._release(journal, row)
                return
            if row.sender != self._own:
                row = await _written(journal, row, row.changed(sender=self._own))
            message, happened_at = await source.message(seq)
            answer = self._refusal(receiver, created) or await self._send(receiver, message)
            told = attempted(row, seq, happened_at, answer, self._clock.now())
            if not answer.delivered:  # no warning: it is tried again, and `webhooks list` says it
                log.info("%s was not delivered to %s: %s", message.id, row.receiver, answer.words)
            row = await _written(journal, row, told)
            self._progress.set()

    def _refusal(self, receiver: Receiver, created: RunCreated) -> Answer | None:
        """The answer instead of a message that would use a secret which clients may not use, or may no more."""
        if receiver.trusted or isinstance(receiver.webhook, TraceReceiver):
            return None
        secret = receiver.webhook.secret
        if created.client is False or self._allowed is None or self._allowed.instead(secret):
            return None
        return Answer(False, f"not sent: this service does not allow its clients to use {secret}")

    async def _expire(self, journal: Journal, key: Key, row: Delivery) -> None:
        """Leave it to a process whose config.toml has the webhook, but not for ever."""
        self._broken[key] = self._clock.monotonic() + BROKEN_SECONDS
        summary = await journal.summary(row.run)
        if self._clock.now() - summary.updated_at > DAY and not await self._is_driven(journal, row.run):
            words = f"{row.webhook} is in no config.toml that this process knows"
            await _written(journal, row, row.changed(open=False, again=(), sender="", answer=words))

    async def _settle(self, journal: Journal, key: Key, row: Delivery, read: int) -> bool:
        """Nothing is left to send after event `read`; close the row if the run has ended and nobody drives it.

        False if there is more after all. A driver that begins meanwhile changes the row, so that it is not closed.
        """
        if not await self._is_driven(journal, row.run):
            if await journal.read(row.run, read, 1):
                return False
            summary = await journal.summary(row.run)
            if summary.status in RUN_ENDED and not summary.rollback_due:
                await _written(journal, row, row.changed(open=False, sender="", cursor=max(row.cursor, read)))
                return True
        row = await self._release(journal, row)
        self._done[key] = row.revision
        return True

    async def _release(self, journal: Journal, row: Delivery) -> Delivery:
        return await _written(journal, row, row.changed(sender="")) if row.sender == self._own else row


def webhook_deliverer(
    settings: Settings, stores: Stores, clock: Clock, allowed: ProgramAndSecretAllowlist | None = None
) -> WebhookDeliverer:
    """One that sends over the network. `allowed`: which secrets the runs of clients may use, in a service."""
    sender = WebhookSender(settings.webhooks.private_hosts, clock)
    return WebhookDeliverer(settings, stores, clock, sender.send, allowed)


def receiver_of(settings: Settings, row: Delivery, created: RunCreated) -> Receiver | None:
    """The receiver of a row as it is declared now; None if it is in another machine's config.toml, or in none."""
    if row.webhook == TRACES:
        return Receiver(settings.traces, trusted=True) if settings.traces else None
    for one in settings.notify:
        if f"config/{one.name}" == row.webhook:
            return Receiver(one, trusted=True)
    own = (one for one in created.plan.notify if f"workflow/{one.name}" == row.webhook)
    return next((Receiver(one, trusted=False) for one in own), None)


async def change_delivery(journal: Journal, fresh: Delivery, change: Callable[[Delivery], Delivery]) -> Delivery:
    """Change the row of a webhook although others change it too, or write a fresh one. Raises StoreError."""
    for attempt in range(WRITES):
        row = await _row(journal, fresh.run, fresh.webhook)
        new = fresh if row is None else change(row)
        try:
            await journal.write_delivery(row, new)
        except DeliveryMoved:
            if attempt == WRITES - 1:
                raise
        else:
            break
    return new


async def _row(journal: Journal, run: str, webhook: str) -> Delivery | None:
    return next((row for row in await journal.deliveries(run) if row.webhook == webhook), None)


async def _written(journal: Journal, seen: Delivery, row: Delivery) -> Delivery:
    await journal.write_delivery(seen, row)
    return row


async def _moved(journal: Journal, run: str) -> bool:
    lease = await journal.held(run)
    return lease is not None and is_gone(lease)
