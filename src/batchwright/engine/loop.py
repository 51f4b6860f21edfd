"""The embedded engine: make events durable in order, then carry out their commands. It decides nothing."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TypeVar

from batchwright import resource_exhaustion
from batchwright.commands.base import Launcher
from batchwright.engine import effects, reports
from batchwright.engine.environment_turn import EnvironmentTurn
from batchwright.engine.handler_context import CreateCheck, KeyFile, no_key_file
from batchwright.engine.limits import Limits, calls_of
from batchwright.engine.machine import Machine
from batchwright.engine.monotonic_clocks import RunClock
from batchwright.engine.performer import Performer
from batchwright.errors import StoreFull
from batchwright.journal.base import ChangeHints, Journal, Lease, Snapshot
from batchwright.journal.lease_holder import seconds_of
from batchwright.model import events as ev
from batchwright.model.clock import Clock
from batchwright.model.run import Run
from batchwright.model.run_signal import Signal, SignalKind
from batchwright.model.run_snapshot import encode_snapshot
from batchwright.probes.base import Prober
from batchwright.providers.base import Provider
from batchwright.taskservs.base import Runner

SNAPSHOT_EVENTS = 50_000
SUMMARY_SECONDS = 0.5
SIGNAL_SECONDS = 0.25
DRAIN_SECONDS = 0.05  # between two looks whether the last call in flight has ended
LEASE_MARGIN = 2.0  # seconds before its end at which a lease is too old to begin something under it
BATCH_EVENTS = 4_000  # decided in one go, about; the rest follows in the next batch
ROOM_SECONDS = 3600.0  # seconds to wait for space on a full disk
PAUSE_SECONDS = 2.0  # between two attempts
CALLS_PER_LOOK = 16  # calls begun in one go for which one look at the free descriptors counts
CLOCK_SECONDS = 3600.0  # that a clock may be ahead of a run that asks people before it is told

T = TypeVar("T")
Listener = Callable[[Sequence[ev.AnyEvent]], None]  # is given each batch as soon as it is durable

log = logging.getLogger("batchwright.store")
clock_log = logging.getLogger("batchwright.clock")


class StoreWriteRetry:
    """Writes of one driver to its store, made again while the disk is full: what is known is kept in memory meanwhile.

    `full` says what is waited for, empty while there is room.
    """

    def __init__(self, run: str, clock: Clock) -> None:
        self.full = ""
        self._run = run
        self._clock = clock

    async def write(self, call: Callable[[], Awaitable[T]]) -> T:
        """The result of `call`, repeated while the disk is full. Raises StoreFull if that does not end."""
        since = self._clock.monotonic()
        while True:
            try:
                done = await call()
            except StoreFull as error:
                if self._clock.monotonic() - since >= ROOM_SECONDS:
                    raise
                if not self.full:
                    log.warning(
                        "run %s waits for disk space and starts nothing new until then: %s",
                        self._run,
                        error.message,
                    )
                self.full = f"waits for disk space: {error.message}"
                await self._clock.sleep(PAUSE_SECONDS)
            else:
                if self.full:
                    log.warning("run %s has disk space again and continues", self._run)
                self.full = ""
                return done


class Driver:
    """Drives one run under a lease until it has ended. If `drive` is cancelled, the run can be resumed.

    With `rest_seconds`, it rests when it has waited so long for nothing but people: `drive` returns, and the run is to
    be driven again when there is a signal after `signals_read`, or when a question expires. `rested`: this process has
    driven the run before, and let it rest.
    """

    def __init__(
        self,
        journal: Journal,
        lease: Lease,
        run: Run,
        providers: Mapping[str, Provider],
        runners: Mapping[str, Runner],
        limits: Limits,
        clock: Clock,
        listener: Listener | None = None,
        signal_seconds: float = SIGNAL_SECONDS,
        launchers: Mapping[str, Launcher] = {},
        turn: EnvironmentTurn | None = None,
        check_create: CreateCheck = lambda _: None,
        key_file: KeyFile = no_key_file,
        prober: Prober | None = None,
        rest_seconds: float | None = None,
        *,
        rested: bool = False,
        machine_room: Callable[[Clock], Awaitable[object]] = resource_exhaustion.room,
    ) -> None:
        self.run = run
        self._machine_room = machine_room  # waits until this machine can start programs
        self.resting = False
        self.signals_read = 0  # the number of the last one
        self.providers = providers
        self.append_seconds = 0.0  # how long the last append took
        self._journal = journal
        self._lease, self._lease_seconds = lease, seconds_of(lease.holder)
        self._turn = turn
        self._room = StoreWriteRetry(run.id, clock)
        self._has_begun = False
        self._renewed_at = clock.monotonic()
        self._limits = limits
        self._clock_ahead = 0.0 if rested or not run.asking else _ahead(run, clock)
        self._clock = clock = RunClock(clock, run.updated_at)
        self._rest_seconds, self._rested = rest_seconds, rested
        self._idle_since: float | None = None  # that nothing but people has been waited for
        self._listener = listener
        self._signal_seconds = signal_seconds
        self._machine = Machine(run)
        self._lanes = run.plan.lanes
        self._reports: list[reports.Report] = []
        self._signals: list[tuple[int, Signal]] = []
        self._signals_read_at = 0.0  # by the run's clock: all that were left before are heard
        self._failure: BaseException | None = None
        self._wake = asyncio.Event()
        reply = self._report, self._broke, self._hold
        self._performer = Performer(
            run, providers, runners, limits, clock, *reply, launchers, check_create, key_file, prober
        )
        self._summary_at = 0.0
        self._summary_status, self._summary_seq, self._summary_asks = run.status, run.seq, len(run.asking)
        self._draining = False
        self._snapshot_seq = run.seq
        self._calls_with_room = 0  # calls of this cycle that need not look again for free descriptors

    def _report(self, report: reports.Report) -> None:
        self._reports.append(report)
        self._wake.set()

    def _broke(self, error: BaseException) -> None:
        """Something that should never raise did: stop, loudly, rather than wait for a report that will not come."""
        self._failure = self._failure or error
        self._wake.set()

    def signal(self, signal: Signal) -> None:
        """Send a signal from within this process, as another process does through the store."""
        self._signals.append((0, signal))
        self._wake.set()

    def unheard(self) -> dict[str, str]:
        """For each provider that does not answer: for how long, and why."""
        if self._room.full:
            return {facts.name: self._room.full for facts in self.run.plan.providers}
        return self._performer.looks.unheard()

    def ready(self, lane: str) -> int:
        """How many steps could begin if this lane, and the run's own limits, let them."""
        return self._machine.ready(lane)

    def drain(self) -> None:
        """Start nothing more; `drive` returns once no call is in flight and every report is journaled."""
        self._draining = True
        self._wake.set()

    @property
    def _drained(self) -> bool:
        return self._draining and not self._performer.calls and not self._reports

    async def drive(
        self, wishes: Callable[[Machine, float], Sequence[ev.AnyEvent]] | None = None, signals_seen: int | None = None
    ) -> Run:
        """Drive to the end; `wishes` gives the first events (of a rollback, say). Raises StoreError, LeaseLost.

        `signals_seen` is how many signals the run had before its lease was taken; later ones are for this driver.
        """
        if signals_seen is None:
            signals_seen = len(await self._journal.signals(self.run.id))
        stop_listening = self._limits.listen(self._wake.set)
        helpers = [asyncio.create_task(self._keep_lease()), asyncio.create_task(self._read_signals(signals_seen))]
        for task in helpers:
            task.add_done_callback(lambda _: self._wake.set())
        try:
            now = self._clock.now()
            begin = list(wishes(self._machine, now)) if wishes else []
            begin = self._turn.numbered(begin) if self._turn is not None else begin
            own = self._lease.holder, self._lease.fence
            started = ev.DriverStarted(now, *own, clock_ahead=self._clock_ahead, rested=self._rested)
            await self._cycle([started, *begin])
            while not self._machine.ended and not self._drained and not self.resting:
                if await self._cycle([]):
                    self._idle_since = None
                else:
                    await self._rest_or_idle()
                if self._failure is not None:
                    raise self._failure
                for task in helpers:
                    if task.done():
                        await task  # raises what ended it
            await self._save_snapshot()
        finally:
            stop_listening()
            for task in helpers:
                task.cancel()
            await self._performer.aclose()  # first of all: nothing more is sent
            await asyncio.gather(*helpers, return_exceptions=True)
        return self.run

    async def _cycle(self, begin: Sequence[ev.AnyEvent]) -> bool:
        """Take what came in, decide, make it durable, act. False when there was nothing to do."""
        machine, now, passed = self._machine, self._clock.now(), self._clock.monotonic()
        batch: list[ev.AnyEvent] = []
        commands: list[effects.Command] = []
        reports, self._reports = self._reports, []
        signals, self._signals = self._signals, []

        def take(events: Sequence[ev.AnyEvent]) -> None:
            for event in events:
                for command in machine.apply(event):
                    self._performer.admit(command)
                    commands.append(command)
            batch.extend(events)

        after = self.run.seq
        take(begin)
        for report in reports:
            take(machine.accept(report, now))
        for number, signal in signals:
            take(machine.request(signal, now, number))
        while (
            not self._draining
            and len(batch) < BATCH_EVENTS
            and (events := machine.decide(now, self._permits(passed), self._signals_read_at))
        ):
            take(events)
        if not batch:
            return False
        await self._append(after, batch)
        # what a forced cancel left open is not sent any more; what a drain does not begin, the next driver does
        if not machine.ended and not self._draining:
            self._calls_with_room = 0
            for command in commands:
                self._performer.perform(command)
        return True

    def _permits(self, passed: float) -> Mapping[str, int]:
        return self._limits.permits(self._lanes, calls_of(self.run), passed)

    async def _append(self, after: int, batch: Sequence[ev.AnyEvent]) -> None:
        now = self._clock.monotonic()
        summary = None
        asks = len(self.run.asking)
        changed = self.run.status is not self._summary_status or asks != self._summary_asks
        if changed or now - self._summary_at >= SUMMARY_SECONDS or self._machine.ended:
            summary = self.run.summary(self._journal.name)
            self._summary_at, self._summary_status, self._summary_seq = now, self.run.status, self.run.seq
            self._summary_asks = asks
        turn = self._turn.of_append() if self._turn is not None else None
        if turn is not None:
            summary = self.run.summary(self._journal.name)  # a store tells by it whether the turn was written whole

        async def append() -> None:
            await self._journal.append(self._lease, after, batch, summary, turn=turn)

        if self._has_begun:
            await self._room.write(append)
        else:  # nothing is in flight yet that could be lost
            await append()
        self._has_begun = True
        self.append_seconds = self._clock.monotonic() - now
        if self._listener is not None:
            self._listener(batch)
        if self.run.seq - self._snapshot_seq >= SNAPSHOT_EVENTS:
            await self._save_snapshot()

    async def _save_snapshot(self) -> None:
        if self.run.seq - self._snapshot_seq >= SNAPSHOT_EVENTS // 10:
            self._snapshot_seq = self.run.seq
            snapshot = Snapshot(self.run.seq, encode_snapshot(self.run))
            with contextlib.suppress(StoreFull):  # losing one costs time, never facts
                await self._journal.save_snapshot(self._lease, snapshot)

    async def _rest_or_idle(self) -> None:
        """Nothing is due: wait, but for people only so long that others get this run's place."""
        now = self._clock.monotonic()
        heard = self._signals_read_at and not self._signals
        if not (self._machine.waits_for_people and heard and self._summary_seq == self.run.seq):
            self._idle_since = None
        elif self._idle_since is None:
            self._idle_since = now
        self.resting = (
            self._rest_seconds is not None
            and self._idle_since is not None
            and now - self._idle_since >= self._rest_seconds
        )
        if not self.resting:
            await self._idle()

    async def _idle(self) -> None:
        """Wait for a report, a signal, or the time at which something becomes due."""
        now, summary_at = self._clock.monotonic(), self._summary_at + SUMMARY_SECONDS
        permits_at = self._limits.wake_at(self._lanes, calls_of(self.run), now)
        retry_at = self._machine.wake_at()  # by the run's own clock
        pauses = [] if permits_at is None else [permits_at - now]
        if retry_at is not None:
            left = retry_at - self._clock.now()
            pauses.append(
                left if left > 0 else DRAIN_SECONDS
            )  # a question that is due waits for the signals to be read
        if self._summary_seq != self.run.seq:
            if now >= summary_at:
                await self._append(self.run.seq, [])  # what a list of runs shows is not older than this
                return
            pauses.append(summary_at - now)
        pause = max(0.0, min(pauses)) if pauses else None
        if self._draining:
            pause = DRAIN_SECONDS
        if not self._reports and not self._signals:
            self._wake.clear()
            try:
                async with asyncio.timeout(pause):
                    await self._wake.wait()
            except TimeoutError:
                pass

    async def _hold(self) -> None:
        """Just before something is changed: wait until this machine can do it, and until the run is surely ours.

        A process that was frozen, or waited long, may have lost the run. Raises LeaseLost.
        """
        if self._calls_with_room <= 0:  # if there is none, the call itself reports that nothing was started
            self._calls_with_room = CALLS_PER_LOOK if await self._machine_room(self._clock) else 1
        self._calls_with_room -= 1
        if self._clock.monotonic() - self._renewed_at >= self._lease_seconds - LEASE_MARGIN:
            await self._renew()

    async def _keep_lease(self) -> None:
        while True:
            await self._clock.sleep(self._lease_seconds / 3)
            await self._renew()

    async def _renew(self) -> None:
        async def renew() -> None:
            began = self._clock.monotonic()
            self._lease = await self._journal.renew(self._lease, self._clock.now(), self._lease_seconds)
            self._renewed_at = began  # from the start: until then, others may have seen the lease before it

        await self._room.write(renew)

    async def _read_signals(self, seen: int) -> None:
        """Hear what other processes ask for: answers since the last one that was heard, all else since the lease.

        An answer may be given while no process drives the run.
        """
        after = min(seen, self.run.heard)
        self.signals_read = seen
        with contextlib.closing(ChangeHints(self._journal, self.run.id)) as hints:
            while True:
                await hints.wait(self._clock.sleep(self._signal_seconds))
                began = self._clock.now()
                for number, signal in await self._journal.signals(self.run.id, after):
                    after = number
                    self.signals_read = max(number, seen)
                    if number > seen or signal.kind is SignalKind.ANSWER:
                        self._signals.append((number, signal))
                        self._wake.set()
                self._signals_read_at = began
                if self.run.holds:
                    self._wake.set()


def _ahead(run: Run, clock: Clock) -> float:
    """By how many seconds the clock is ahead of the last event of a run that asks people, if that is long.

    A long stop cannot be told from a clock that was set forward; either way the question may have expired.
    """
    ahead = clock.now() - run.updated_at
    if ahead < CLOCK_SECONDS:
        return 0.0
    clock_log.warning(
        "run %s asks people, and the clock is %.1f h ahead of its last event: nothing happened for so long, or it was "
        "set forward; questions that have expired are closed",
        *(run.id, ahead / 3600),
    )
    return ahead
