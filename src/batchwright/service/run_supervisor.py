"""Drives many runs in one process, for the REST API. All its state is in the stores."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from functools import partial
from types import TracebackType
from weakref import WeakValueDictionary

from msgspec.structs import replace

from batchwright.app.active_run import LIVE_STATES, ActiveRun
from batchwright.app.adapters import SharedRunner, SharedWorld
from batchwright.app.multi_store import Stores
from batchwright.app.program_and_secret_allowlist import ProgramAndSecretAllowlist
from batchwright.app.run_provenance import catalogue_digests, recorded_place, text_input
from batchwright.app.runs import Runs, StoredRun, nothing_to_pause, refuse_rollback, refuse_unless
from batchwright.app.settings import Settings
from batchwright.app.webhook_delivery import webhook_deliverer
from batchwright.engine.limits import Limits
from batchwright.engine.manual_resolution import NO_ANSWERS, ResumeAnswers
from batchwright.errors import (
    BatchwrightError,
    RunChanged,
    RunHeld,
    ServiceStopping,
    StoreError,
    TooManyRequests,
)
from batchwright.journal.lease_holder import LeaseObserver, own_holder, process_of
from batchwright.model.clock import Clock
from batchwright.model.lifecycle import RUN_ENDED, RunState
from batchwright.model.plan import Plan
from batchwright.model.run import Run
from batchwright.model.run_signal import Signal, SignalKind
from batchwright.model.run_summary import RunSummary
from batchwright.model.scalar import Scalar
from batchwright.service.run_feed import EventEncoder, RunFeed
from batchwright.service.run_feeds import RunFeeds
from batchwright.service.submissions import Submission, Submissions

MAX_DRIVEN = 1_000  # runs that are driven at once
AGAIN_SECONDS, AGAIN_MAX = 5.0, 300.0  # until a run that could not be driven is taken up again, doubled each time
SIGNAL_SECONDS = 1.0  # between two reads of other processes' signals; those of this process arrive at once
EFFECT_SECONDS = 5.0  # how long an action waits for its first event before it answers
BACKWARD = (RunState.ROLLING_BACK, RunState.ROLLED_BACK, RunState.ROLLBACK_INCOMPLETE)
# What a run shows when a signal has had its effect; until then other events of the run may become durable.
EFFECTS: dict[SignalKind, Callable[[Run], bool]] = {
    SignalKind.PAUSE: lambda run: run.status is RunState.PAUSED or run.status in RUN_ENDED,
    SignalKind.RESUME: lambda run: run.status is not RunState.PAUSED,
    SignalKind.CANCEL: lambda run: bool(run.cancelling) or run.status in RUN_ENDED,
    SignalKind.FORCE_CANCEL: lambda run: run.status in RUN_ENDED,
}

Verb = Callable[[Runs], ActiveRun]

log = logging.getLogger("batchwright.orchestrator")


class RunSupervisor:
    """Submits, drives, adopts and relays. Each run has at most one driver here, however many callers ask at once."""

    def __init__(
        self,
        settings: Settings,
        clock: Clock,
        frames: EventEncoder,
        simulation: dict[str, Scalar] | None = None,
        *,
        commands: bool = False,
    ) -> None:
        self.settings = settings
        self.clock = clock
        self.stores = Stores(settings)
        self.world = SharedWorld(settings)
        self.runner = SharedRunner(settings, clock)
        self.driven: dict[str, ActiveRun] = {}
        self.troubles: dict[str, str] = {}  # run -> why it could not be driven last time
        self._sightings = LeaseObserver(clock.monotonic)
        self.feeds = RunFeeds(self.stores, clock, frames, self.driven, self._sightings)
        self.allowed = ProgramAndSecretAllowlist(commands, settings.service.secrets, settings.service.sources)
        self.webhooks = webhook_deliverer(settings, self.stores, clock, self.allowed)
        self.desk = Submissions(settings, clock, self.stores, self.world, simulation, allowed=self.allowed)
        self.stopping = False
        self.observers: list[Callable[[ActiveRun], None]] = []
        self._limits = Limits()
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self.undriven: dict[str, float] = {}  # unfinished -> when to look whether it can be taken up
        self._delays: dict[str, float] = {}
        self._caring: asyncio.Task[None] | None = None

    async def __aenter__(self) -> RunSupervisor:
        try:
            await self.stores.get("filesystem")
        except StoreError:
            if set(self.stores.existing_names()) <= {"filesystem"}:
                raise  # if another store works, it is logged below and shown by `health`
        rows = await self.stores.summaries(partial=True)
        for name, error in self.stores.troubles.items():
            log.error("the store %s is skipped, and its runs are not driven: %s", name, error.message)
        if not self.stores.troubles:
            self.desk.remember(rows)
        for row in rows:
            if row.status not in RUN_ENDED or row.rollback_due:
                self.undriven[row.run] = 0.0
        await self._adopt()
        self.webhooks.start()
        self._caring = asyncio.create_task(self._care())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop(0.0)
        await self.webhooks.aclose()
        await self.stores.__aexit__()
        self.world.close()
        await self.desk.aclose()

    # -- taking up what was left ----------------------------------------------------------------------------------

    async def _care(self) -> None:
        while True:
            await self.clock.sleep(AGAIN_SECONDS)
            try:
                await self._adopt()
            except BatchwrightError as error:
                log.warning("unfinished runs cannot be read: %s", error.message)

    async def _adopt(self) -> None:
        """Drive every unfinished run that no process drives; a paused one stays paused."""
        for run_id, due in list(self.undriven.items()):
            if self.stopping or len(self.driven) >= MAX_DRIVEN:
                return
            if due > self.clock.monotonic():
                continue
            async with self._lock(run_id):
                journal, _ = await self.stores.find(run_id)
                row = await journal.summary(run_id)
                if run_id in self.driven or (row.status in RUN_ENDED and not row.rollback_due):
                    self.undriven.pop(run_id, None)
                    self._forget_trouble(run_id)
                elif self._sightings.is_free(run_id, lease := await journal.held(run_id)):
                    log.info("run %s (%s) continues", run_id, row.workflow)
                    stored = StoredRun(journal, run_id, silent=lease)
                    self._begin(row, partial(_drive, stored))

    # -- submitting -----------------------------------------------------------------------------------------------

    async def submit(self, submission: Submission) -> tuple[RunFeed, bool]:
        """Plan, record and begin a run; the same run again for the same key. Gives whether it is a new one.

        Raises WorkflowInvalid and PlanRefused with diagnostics, PlanChanged, IdempotencyMismatch, TooManyRequests,
        ServiceStopping, StoreError.
        """
        async with self.desk.key(submission):
            earlier = await self.desk.earlier(submission)
            if earlier is not None:
                return await self.feeds.find(earlier), False
            self.refuse_more()
            stored = await self.desk.begin(submission, partial(self._create, submission))
        return await self.start(stored), True

    async def start(self, stored: StoredRun) -> RunFeed:
        """Begin a run that was just created."""
        assert stored.run is not None
        self.feeds.add(stored.journal, stored.run.created)
        feed = await self.feeds.find(stored.id)
        async with self._lock(stored.id):
            self._begin(feed.run.summary(feed.journal.name), lambda runs: runs.drive(stored))
        return feed

    async def _create(self, submission: Submission, plan: Plan) -> StoredRun:
        self.refuse_more()
        who = submission.by, submission.key, submission.digest()
        runs = Runs(self.settings, self.stores, self.clock)
        sent = text_input(submission.name, submission.text)
        own = await asyncio.to_thread(catalogue_digests, self.settings.catalogues)
        inputs = replace(recorded_place(), files=(sent,), catalogues=own)
        return await runs.create(plan, *who, client=True, inputs=inputs, run=self.desk.run_id(submission))

    def refuse_more(self) -> None:
        """Raise ServiceStopping or TooManyRequests if no run can begin now."""
        if self.stopping:
            raise ServiceStopping("the service is stopping and accepts no more work")
        if len(self.driven) >= MAX_DRIVEN:
            raise TooManyRequests(f"{MAX_DRIVEN} runs are already being driven", hint="Try again when some have ended.")

    # -- driving --------------------------------------------------------------------------------------------------

    def _lock(self, run_id: str) -> asyncio.Lock:
        """Held while it is decided who drives a run."""
        return self._locks.setdefault(run_id, asyncio.Lock())

    def _begin(self, row: RunSummary, verb: Verb) -> ActiveRun:
        """Drive a run in the background; under its lock, and only when it is not driven here."""
        assert row.run not in self.driven
        # simulated accounts are no accounts: each run has its own limits, and none of the real ones
        limits = Limits() if row.simulated else self._limits
        runs = Runs(
            *(self.settings, self.stores, self.clock, limits, self.world, self.runner, self.allowed),
            signal_seconds=SIGNAL_SECONDS,
            webhooks=lambda: self.webhooks,
        )
        driven = self.driven[row.run] = verb(runs)
        self.undriven.pop(row.run, None)
        driven.task = asyncio.create_task(self._carry(driven, row))
        driven.task.add_done_callback(lambda task: task.cancelled() or task.exception())  # reported by _carry already
        return driven

    async def _carry(self, driven: ActiveRun, row: RunSummary) -> Run | None:
        run_id = driven.run_id
        run: Run | None = None
        try:
            async for _ in driven:
                self.feeds.hint(run_id)
                for observer in self.observers:
                    observer(driven)
            run = driven.run
            self._forget_trouble(run_id)
        except BatchwrightError as error:
            held = isinstance(error, RunHeld) and driven.driver is None
            if not held and (driven.accepted or isinstance(error, StoreError)):
                self._tell_trouble(driven, row, f"{error.message} [{error.code}]")
            raise  # what was refused is its caller's business alone
        except Exception as error:
            self._tell_trouble(driven, row, f"{type(error).__name__}: {error} [bug]")
            log.exception("run %s is no longer driven", run_id)
            raise
        finally:
            del self.driven[run_id]
            if run is None or run.status not in RUN_ENDED:
                self.undriven[run_id] = self.clock.monotonic() + self._delays.get(run_id, 0.0)
            self.feeds.hint(run_id)
            driven.tell()
        return run

    def _tell_trouble(self, driven: ActiveRun, row: RunSummary, words: str) -> None:
        """Log and remember why a run that should be driven is not; forget it for a run that has ended."""
        run_id, now = driven.run_id, driven.run or row
        if self.troubles.get(run_id) != words:
            log.warning("run %s is not driven: %s", run_id, words)
        if now.status in RUN_ENDED and not now.rollback_due:
            self._forget_trouble(run_id)
            return
        self.troubles[run_id] = words
        self._delays[run_id] = min(AGAIN_MAX, 2 * self._delays.get(run_id, AGAIN_SECONDS / 2))

    def _forget_trouble(self, run_id: str) -> None:
        self.troubles.pop(run_id, None)
        self._delays.pop(run_id, None)

    # -- acting on a run ------------------------------------------------------------------------------------------

    async def act(
        self,
        word: str,
        kind: SignalKind | None,
        by: str,
        match: Callable[[RunFeed], bool],
        answers: ResumeAnswers = NO_ANSWERS,
    ) -> RunFeed:
        """Pause, resume, cancel, or (None) roll back a run, whichever process drives it.

        `answers` are for a resume. Raises NotAllowed, RunHeld, and RunChanged if the run is not in the state that
        `match` names.
        """
        feed = await self.feeds.find(word, destroys=kind in (None, SignalKind.FORCE_CANCEL))
        async with self._lock(feed.run.id):
            await feed.refresh()
            if not match(feed):
                raise RunChanged(f"run {feed.run.id} is at event {feed.seq} now")
            driven = self.driven.get(feed.run.id)
            if driven is not None and feed.run.status in RUN_ENDED and not feed.run.rollback_due:
                await asyncio.wait([driven.task] if driven.task else [], timeout=EFFECT_SECONDS)
                driven = self.driven.get(feed.run.id)
            if kind is None:
                await self._roll_back(feed, driven, by)
            else:
                await self._relay(feed, driven, Signal(kind, self.clock.now(), by), answers)
        await feed.refresh()
        return feed

    async def _relay(self, feed: RunFeed, driven: ActiveRun | None, signal: Signal, answers: ResumeAnswers) -> None:
        run, kind = feed.run, signal.kind
        force = kind is SignalKind.FORCE_CANCEL
        undriven = driven is None and feed.holder is None
        if answers != NO_ANSWERS and not undriven:
            raise RunHeld(f"run {run.id} is driven by {_who(feed)}")
        reopens = kind is SignalKind.RESUME and (undriven or run.status in RUN_ENDED)
        if kind is SignalKind.RESUME and not undriven and run.status in (RunState.PENDING, RunState.RUNNING):
            raise RunHeld(f"run {run.id} is driven by {_who(feed)}")
        if not reopens:
            allowed = {SignalKind.PAUSE: LIVE_STATES[:2], SignalKind.RESUME: (RunState.PAUSED,)}.get(kind, LIVE_STATES)
            refuse_unless(run.status, run.id, kind, allowed)
        if driven is not None:
            driven.signal(signal)
            await _effect(driven, feed, EFFECTS[kind])
        elif feed.holder is not None:
            if reopens:
                raise RunHeld(f"run {run.id} is driven by {_who(feed)}")
            await feed.journal.signal(run.id, signal)
        elif kind is SignalKind.PAUSE:
            raise nothing_to_pause(run.id)
        elif kind is SignalKind.RESUME:
            await self._take_up(feed, lambda runs: runs.resume(_stored(feed), signal.by, answers), _anything)
        else:
            await self._take_up(feed, lambda runs: runs.cancel(_stored(feed), signal.by, force=force), _anything)

    async def _roll_back(self, feed: RunFeed, driven: ActiveRun | None, by: str) -> None:
        if driven is not None or feed.holder is not None:
            refuse_rollback(feed.run, by, self.clock.now(), _who(feed))
        await self._take_up(feed, lambda runs: runs.rollback(_stored(feed), by), lambda run: run.status in BACKWARD)

    async def _take_up(self, feed: RunFeed, verb: Verb, shows: Callable[[Run], bool]) -> None:
        self.refuse_more()
        driven = self._begin(feed.run.summary(feed.journal.name), verb)
        await _effect(driven, feed, shows)

    # -- many runs ------------------------------------------------------------------------------------------------

    async def summaries(self) -> list[RunSummary]:
        """The summaries of all runs, newest first; those of runs driven here are current."""
        rows = await self.stores.summaries(partial=True)  # `health` tells of a store that is left out
        now = {run_id: one.run for run_id, one in self.driven.items()}
        return [run.summary(row.store) if (run := now.get(row.run)) else row for row in rows]

    async def is_driven(self, row: RunSummary) -> bool:
        """Whether a process drives the run now."""
        if row.run in self.driven:
            return True
        if row.status in RUN_ENDED:
            return False
        return not self._sightings.is_free(row.run, await (await self.stores.get(row.store)).held(row.run))

    # -- stopping -------------------------------------------------------------------------------------------------

    async def stop(self, grace: float) -> int:
        """Accept no more work, let calls in flight end for `grace` seconds, then leave the rest.

        Gives how many runs are left to be resumed.
        """
        self.stopping = True
        if self._caring is not None:
            self._caring.cancel()
            await asyncio.gather(self._caring, return_exceptions=True)
            self._caring = None
        tasks = [one.task for one in self.driven.values() if one.task is not None]
        for one in list(self.driven.values()):
            one.drain()
        if tasks and grace > 0:
            await asyncio.wait(tasks, timeout=grace)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self.feeds.close()
        return len(self.undriven)


def _drive(stored: StoredRun, runs: Runs) -> ActiveRun:
    return runs.drive(stored)


def _stored(feed: RunFeed) -> StoredRun:
    """The run for a driver, which has a fold of its own: a feed tells only what is durable."""
    return StoredRun(feed.journal, feed.run.id)


def _who(feed: RunFeed) -> str:
    return process_of(feed.holder or own_holder())


async def _effect(driven: ActiveRun, feed: RunFeed, shows: Callable[[Run], bool]) -> None:
    """Wait until something more is durable and what is durable of the run shows what is wanted.

    The driver's own fold is ahead of the journal while it appends, so that it is not asked.
    """
    before = feed.seq

    async def shown() -> bool:
        feed.hint()
        await feed.refresh()
        return feed.seq > before and shows(feed.run)

    await driven.until(shown, EFFECT_SECONDS)


def _anything(_run: Run) -> bool:
    return True
