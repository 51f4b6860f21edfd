"""The durable events of a run for many readers at once: read from the journal once, encoded once.

A driver in this process only signals that there is something new. Readers get what the journal holds, so they never see
an event that a crash could take back.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Container, Sequence
from typing import Protocol

from batchwright.app.run_reader import HOLDER_SECONDS
from batchwright.engine.limits import Limits, calls_of
from batchwright.errors import BatchwrightError
from batchwright.journal.base import Journal, Watchable
from batchwright.journal.lease_holder import LeaseObserver
from batchwright.model.clock import Clock
from batchwright.model.events import AnyEvent
from batchwright.model.lifecycle import RUN_ENDED
from batchwright.model.run import Run
from batchwright.views.plan_index import plan_index
from batchwright.views.run import RunView, ViewBounds, run_view
from batchwright.views.wait_reasons import Circumstances

PAGE = 1_000  # events read in one go
PAST = 200  # for one reader, of which many may be stuck
CHUNK_BYTES = 256 * 1024  # that one reader is given at a time, and one event
RING_EVENTS = 20_000  # that are kept for readers; a reader further behind is dropped
RING_BYTES = 8 * 1024 * 1024
POLL_SECONDS = 0.25  # between two looks at a run that another process drives
HEARTBEAT_SECONDS = 1.5  # readers get something at least this often
LIGHT_SECONDS = 1.0  # between two views that are sent with the events
SHARE = 0.05  # of the loop's time that readers may take, as long as that keeps the heartbeat
PACE_SECONDS = 0.05  # events that come closer together than this are sent together
SLICE = 25  # readers woken before others get their turn
LIGHT = ViewBounds(running=10, failed=5, doubts=5, servers=0)


class EventEncoder(Protocol):
    """How events and views are encoded for readers."""

    def event(self, run: str, seq: int, event: AnyEvent) -> bytes:
        """One event as bytes for the stream."""
        ...

    def view(self, name: str, view: RunView, seq: int | None) -> bytes:
        """A view of the run; with `seq` it can be resumed from."""
        ...


class Driven(Protocol):
    """What the driver knows about a run that this process drives."""

    @property
    def limits(self) -> Limits:
        """The lanes its calls use."""
        ...

    def unheard(self) -> dict[str, str]:
        """For each provider that does not answer: for how long, and why."""
        ...


class Subscription:
    """One reader of everything after `after`. `next` waits; `b""` means that nothing happened."""

    def __init__(self, feed: RunFeed, after: int | None) -> None:
        self._feed = feed
        self._after = after
        self._live = False
        self._more = False  # there are events that it has not been given, for they were too many
        self._viewed = feed.seq
        self._woken = asyncio.Event()

    def wake(self) -> None:
        """Note that there may be something to send."""
        self._woken.set()

    async def next(self) -> bytes | None:
        """The bytes to send now; None if the reader has fallen too far behind. Raises StoreError."""
        feed = self._feed
        if self._after is None:
            self._after = feed.seq
            return feed.snapshot_frame()
        if not self._live and self._after < feed.ring_start:
            page, self._after = await feed.past(self._after)
            return page
        if self._live and not self._more and not feed.closed:
            await self._woken.wait()
            self._woken.clear()
        self._live = True
        if feed.trouble is not None:
            raise feed.trouble
        found = feed.since(self._after)
        if found is None:
            return None
        chunk, self._after = found
        self._more = self._after < feed.seq
        if feed.light_seq > self._viewed:
            self._viewed = feed.light_seq
            chunk += feed.light
        return chunk

    @property
    def at_end(self) -> bool:
        """Whether the reader has everything of a run that is over, or the service is stopping."""
        return self._feed.closed or (self._feed.over and self._live and self._after == self._feed.seq)


class RunFeed:
    """The fold of the durable events of one run, and a ring of its newest events while there are readers."""

    def __init__(
        self,
        journal: Journal,
        run: Run,
        clock: Clock,
        frames: EventEncoder,
        driven: Callable[[str], Driven | None],
        sightings: LeaseObserver,
        resting: Container[str] = (),
    ) -> None:
        self.journal = journal
        self.run = run
        self.closed = False
        self.trouble: BatchwrightError | None = None
        self.light, self.light_seq = b"", 0
        self.holder: str | None = None
        self._clock = clock
        self._frames = frames
        self._driven = driven
        self._sightings = sightings
        self._resting = resting
        self._shape = plan_index(run.plan)
        self._lock = asyncio.Lock()
        self._hinted = True
        self._hint = asyncio.Event()
        self._holder_asked = 0.0
        self._readers: dict[Subscription, None] = {}
        self._ring: list[bytes] = []
        self._ring_bytes = 0
        self._joined: tuple[int, int, tuple[bytes, int]] = (0, 0, (b"", 0))
        self._snapshot: tuple[int, float, bytes] = (0, 0.0, b"")
        self._past_lock = asyncio.Lock()
        self._past: tuple[int, tuple[bytes, int]] = (-1, (b"", 0))
        self._pump: asyncio.Task[None] | None = None
        self._unwatch: Callable[[], None] | None = None
        self._light_at = 0.0

    # -- what is known ------------------------------------------------------------------------------------------

    @property
    def seq(self) -> int:
        """The number of the last event known here."""
        return self.run.seq

    @property
    def ring_start(self) -> int:
        """The number before that of the oldest event in the ring."""
        return self.run.seq - len(self._ring)

    @property
    def over(self) -> bool:
        """Whether the run has ended, nothing more is due, and no process drives it."""
        return self.run.status in RUN_ENDED and not self.run.rollback_due and not self.is_driven

    @property
    def is_driven(self) -> bool:
        """Whether a process drives the run, or does so again as soon as somebody answers its question."""
        own = self.run.id
        return self._driven(own) is not None or self.holder is not None or own in self._resting

    def around(self) -> Circumstances:
        """The circumstances that the journal does not record."""
        driven = self._driven(self.run.id)
        if driven is None:
            return Circumstances(self.is_driven)
        words = driven.limits.words(calls_of(self.run), self._clock.monotonic())
        return Circumstances(True, words, driven.unheard())

    def view(self, bounds: ViewBounds | None = None) -> RunView:
        """The run as people see it."""
        now, store = self._clock.now(), self.journal.name
        return run_view(self.run, now, around=self.around(), store=store, shape=self._shape, bounds=bounds)

    def snapshot_frame(self) -> bytes:
        """The whole view, ready to be sent; many readers who come at once share one."""
        seq, at, frame = self._snapshot
        if seq != self.run.seq or time.monotonic() - at > LIGHT_SECONDS:
            frame = self._frames.view("snapshot", self.view(), self.run.seq)
            self._snapshot = (self.run.seq, time.monotonic(), frame)
        return frame

    # -- the journal --------------------------------------------------------------------------------------------

    def hint(self) -> None:
        """Note that a driver has written something, or has ended."""
        self._hinted = True
        self._hint.set()

    async def refresh(self) -> None:
        """Read the events that became durable since. Raises StoreError."""
        async with self._lock:
            here = self._driven(self.run.id) is not None
            if here:
                self.holder = None
                if not self._hinted:
                    return
            else:
                await self._ask_holder()  # before the journal, so that what the driver wrote last is not missed
            self._hinted = False
            try:
                while page := await self.journal.read(self.run.id, self.run.seq, PAGE):
                    self._take(page)
            except BaseException:
                self._hinted = True
                raise

    async def _ask_holder(self) -> None:
        now = self._clock.now()
        if self._hinted or now - self._holder_asked >= HOLDER_SECONDS:
            self._holder_asked = now
            lease = await self.journal.held(self.run.id)
            self.holder = None if lease is None or self._sightings.is_free(self.run.id, lease) else lease.holder

    def _take(self, page: Sequence[tuple[int, AnyEvent]]) -> None:
        for seq, event in page:
            self.run.apply(event)
            if self._readers:
                frame = self._frames.event(self.run.id, seq, event)
                self._ring.append(frame)
                self._ring_bytes += len(frame)
        if len(self._ring) > RING_EVENTS or self._ring_bytes > RING_BYTES:
            self._trim()

    def _trim(self) -> None:
        """Cut down to three quarters of the bounds, so that it is not done for every event."""
        cut, left = 0, self._ring_bytes
        while cut < len(self._ring) and (len(self._ring) - cut > RING_EVENTS * 3 // 4 or left > RING_BYTES * 3 // 4):
            left -= len(self._ring[cut])
            cut += 1
        del self._ring[:cut]
        self._ring_bytes = left

    # -- readers ------------------------------------------------------------------------------------------------

    def attach(self, after: int | None) -> Subscription:
        """Begin to read after this event, or with a snapshot."""
        reader = Subscription(self, after)
        self._readers[reader] = None
        if self._unwatch is None and isinstance(self.journal, Watchable):
            self._unwatch = self.journal.watch(self.run.id, self.hint)
        if self._pump is None or self._pump.done():
            self._pump = asyncio.get_running_loop().create_task(self._keep_pumping())
        return reader

    def detach(self, reader: Subscription) -> None:
        """Stop sending to a reader that has gone."""
        self._readers.pop(reader, None)
        if not self._readers:
            self._ring.clear()
            self._ring_bytes = 0
            self._past = (-1, (b"", 0))
            if self._unwatch is not None:
                self._unwatch()
                self._unwatch = None
            if self._pump is not None:
                self._pump.cancel()
                self._pump = None

    @property
    def readers(self) -> int:
        """How many readers the run has now."""
        return len(self._readers)

    async def past(self, after: int) -> tuple[bytes, int]:
        """Events after this one from the journal, and the number of the last of them.

        One reader at a time, and readers at the same place share the encoded bytes: thousands may come at once.
        """
        async with self._past_lock:
            if self._past[0] != after:
                self._past = (after, await self._read_past(after))
            return self._past[1]

    async def _read_past(self, after: int) -> tuple[bytes, int]:
        page = await self.journal.read(self.run.id, after, min(PAST, self.run.seq - after))
        frames: list[bytes] = []
        size = 0
        for seq, event in page:
            frames.append(self._frames.event(self.run.id, seq, event))
            size += len(frames[-1])
            if size >= CHUNK_BYTES:
                return b"".join(frames), seq
        return b"".join(frames), page[-1][0]

    def since(self, after: int) -> tuple[bytes, int] | None:
        """The next events after this one, and the number of the last of them; CHUNK_BYTES of them or little more.

        None when the ring no longer holds them. Readers in step share one answer.
        """
        start = end = after - self.ring_start
        if start < 0:
            return None
        if self._joined[:2] != (after, self.run.seq):
            size = 0
            while end < len(self._ring) and size < CHUNK_BYTES:
                size += len(self._ring[end])
                end += 1
            self._joined = (after, self.run.seq, (b"".join(self._ring[start:end]), after + end - start))
        return self._joined[2]

    def close(self) -> None:
        """End the streams of all readers."""
        self.closed = True
        self._hint.set()
        for reader in self._readers:
            reader.wake()

    async def _keep_pumping(self) -> None:
        try:
            while not self.closed:
                told = self.run.seq
                await self._something_new(told)
                began = time.perf_counter()
                await self._wake_readers()
                took = time.perf_counter() - began
                await asyncio.sleep(min(HEARTBEAT_SECONDS, max(PACE_SECONDS, took / SHARE)))
        except BatchwrightError as error:  # the readers tell it; they can come back
            self.trouble = error
            for reader in self._readers:
                reader.wake()

    async def _something_new(self, told: int) -> None:
        """Returns when there are events or the end, or when it is time for a sign of life."""
        until = time.monotonic() + HEARTBEAT_SECONDS
        was_over = self.over
        while not self.closed and (left := until - time.monotonic()) > 0:
            await self.refresh()
            if self.run.seq != told or self.over != was_over:
                break
            self._hint.clear()
            here = self._driven(self.run.id) is not None
            try:
                async with asyncio.timeout(left if here else min(left, POLL_SECONDS)):
                    await self._hint.wait()
            except TimeoutError:
                continue
        if self.run.seq > self.light_seq and time.monotonic() - self._light_at >= LIGHT_SECONDS:
            self._light_at, self.light_seq = time.monotonic(), self.run.seq
            self.light = self._frames.view("progress", self.view(LIGHT), None)

    async def _wake_readers(self) -> None:
        for count, reader in enumerate(tuple(self._readers), 1):
            reader.wake()
            if count % SLICE == 0:
                await asyncio.sleep(0)
                await asyncio.sleep(0)
