"""Drives many runs in one process, for the REST API. All its state is in the stores."""

from __future__ import annotations

import asyncio
import logging
from collections import ChainMap
from collections.abc import Callable, Sequence
from functools import partial
from types import TracebackType
from weakref import WeakValueDictionary

from msgspec.structs import replace

from batchwright.app.account_claims import AccountClaims
from batchwright.app.active_run import ActiveRun
from batchwright.app.adapters import SharedRunner, SharedWorld
from batchwright.app.multi_store import SHARED, Stores
from batchwright.app.program_and_secret_allowlist import ProgramAndSecretAllowlist
from batchwright.app.run_provenance import catalogue_digests, recorded_place, text_input
from batchwright.app.runs import Runs, StoredRun
from batchwright.app.settings import Settings
from batchwright.app.webhook_delivery import webhook_deliverer
from batchwright.engine.limits import Limits
from batchwright.errors import (
    BatchwrightError,
    EnvironmentRefused,
    PlanRefused,
    RunHeld,
    SequenceConflict,
    ServiceStopping,
    StoreError,
    TooManyRequests,
)
from batchwright.journal.base import Journal, SharesAccounts
from batchwright.journal.lease_holder import LEASE_SECONDS, HeldLease, LeaseObserver, own_holder
from batchwright.model.clock import Clock
from batchwright.model.lifecycle import RUN_ENDED
from batchwright.model.plan import Plan
from batchwright.model.run import Run
from batchwright.model.run_summary import RunSummary
from batchwright.model.scalar import Scalar
from batchwright.service.dispatched_runs import DispatchedRuns
from batchwright.service.driver_starts import DriverStarts
from batchwright.service.rehearsals import Rehearsals
from batchwright.service.resting_run import RestingRun
from batchwright.service.run_dispatcher import RunDispatcher
from batchwright.service.run_feed import EventEncoder, RunFeed
from batchwright.service.run_feeds import RunFeeds
from batchwright.service.run_troubles import RunTroubles
from batchwright.service.submissions import Submission, Submissions

MAX_DRIVEN = 1_000  # runs that are driven at once
AGAIN_SECONDS, AGAIN_MAX = 5.0, 300.0  # until a run that could not be driven is taken up again, doubled each time
OTHERS_SECONDS = 10.0  # between two looks for runs that other services of the same store have begun
SIGNAL_SECONDS = 1.0  # between two reads of other processes' signals; those of this process arrive at once
REST_SECONDS = 60.0  # that a run is driven while only people are waited for

Verb = Callable[[Runs], ActiveRun]

log = logging.getLogger("batchwright.orchestrator")


class RunSupervisor:
    """Submits, drives, adopts and relays. Each run has at most one driver here, however many callers ask at once.

    With a `dispatcher`, runs that it takes are driven elsewhere; only what a caller asks of a run that nobody drives is
    recorded here. Without `adopts` no run is taken up that was not asked for.
    """

    def __init__(
        self,
        settings: Settings,
        clock: Clock,
        frames: EventEncoder,
        simulation: dict[str, Scalar] | None = None,
        *,
        commands: bool = False,
        dispatcher: RunDispatcher | None = None,
        adopts: bool = True,
        lease_seconds: float = LEASE_SECONDS,
    ) -> None:
        self._holder = own_holder(lease_seconds)
        self.settings = settings
        self.clock = clock
        self.stores = Stores(settings)
        self.world = SharedWorld(settings)
        self.runner = SharedRunner(settings, clock)
        self.driven: dict[str, ActiveRun] = {}
        self.troubles = RunTroubles(AGAIN_SECONDS, AGAIN_MAX)
        self._starts = DriverStarts()
        self._sightings = LeaseObserver(clock.monotonic)
        self.resting: dict[str, RestingRun | None] = {}
        self._dispatched = (
            None if dispatcher is None else DispatchedRuns(dispatcher, clock, self.troubles.tell, self.troubles.forget)
        )
        # runs that are driven when somebody answers, or by another process
        self.expected = ChainMap[str, RestingRun | None](
            self.resting, self._dispatched.accepted if self._dispatched else {}
        )
        self.feeds = RunFeeds(self.stores, clock, frames, self.driven, self._sightings, self.expected)
        self.allowed = ProgramAndSecretAllowlist(commands, settings.service.secrets, settings.service.sources)
        self.webhooks = webhook_deliverer(settings, self.stores, clock, self.allowed)
        self.desk = Submissions(settings, clock, self.stores, self.world, simulation, allowed=self.allowed)
        self.rehearsals = Rehearsals(clock)
        self.stopping = False
        self.observers: list[Callable[[ActiveRun], None]] = []
        shared = settings.postgres is not None  # other services may use the same accounts
        self._limits = Limits(shared=shared)
        self._claims = AccountClaims(self._shares, self._limits, clock, own_holder()) if shared else None
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self.undriven: dict[str, float] = {}  # unfinished -> when to look whether it can be taken up
        self._caring: asyncio.Task[None] | None = None
        self._claiming: asyncio.Task[None] | None = None
        self._adopts = adopts

    async def __aenter__(self) -> RunSupervisor:
        if self._adopts:
            await self._take_up()
            self._caring = asyncio.create_task(self._care())
        self.webhooks.start()
        if self._claims is not None:
            self._claiming = asyncio.create_task(self._claims.keep())
        return self

    async def _take_up(self) -> None:
        """Read all stores, and drive what was left unfinished."""
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
        self._note_unfinished(rows)
        await self._adopt()

    async def _shares(self) -> SharesAccounts:
        journal = await self.stores.get("postgres")
        assert isinstance(journal, SharesAccounts)
        return journal

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop(0.0)
        await self.webhooks.aclose()
        await self.stores.__aexit__()
        self.world.close()
        await self.rehearsals.aclose()
        await self.desk.aclose()

    # -- taking up what was left ----------------------------------------------------------------------------------

    async def _care(self) -> None:
        looked = self.clock.monotonic()
        while True:
            await self.clock.sleep(AGAIN_SECONDS)
            try:
                shared = not {*self.stores.existing_names()}.isdisjoint(SHARED)
                if shared and self.clock.monotonic() - looked >= OTHERS_SECONDS:
                    looked = self.clock.monotonic()
                    self._note_unfinished(await self.stores.summaries(partial=True))
                await self._adopt()
            except BatchwrightError as error:
                log.warning("unfinished runs cannot be read: %s", error.message)

    def _note_unfinished(self, rows: Sequence[RunSummary]) -> None:
        """Drive these runs as soon as nobody does: another service may have begun them, and die."""
        for row in rows:
            if (row.status not in RUN_ENDED or row.rollback_due) and row.run not in self.driven:
                self.undriven.setdefault(row.run, 0.0)

    async def _adopt(self) -> None:
        """Drive every unfinished run that no process drives; a paused one stays paused, one that asks people rests."""
        for run_id, due in list(self.undriven.items()):
            if self.stopping or len(self.driven) >= MAX_DRIVEN:
                return
            if due > self.clock.monotonic():
                continue
            async with self.lock(run_id):
                journal, _ = await self.stores.find(run_id)
                row, rest = await journal.summary(run_id), self.resting.get(run_id)
                if run_id in self.driven or (row.status in RUN_ENDED and not row.rollback_due):
                    self.undriven.pop(run_id, None)
                    self.resting.pop(run_id, None)
                    if self._dispatched is not None:
                        self._dispatched.forget(run_id)
                    self.troubles.forget(run_id)
                elif rest and await rest.still_rests(journal, row, self.clock.now()):
                    continue
                elif not self._sightings.is_free(run_id, lease := await journal.held(run_id)):
                    self.troubles.forget(run_id)
                elif self._dispatched is not None and self._dispatched.takes(row):
                    if await self._dispatched.dispatch_again(journal, row):
                        self.undriven[run_id] = self.clock.monotonic() + OTHERS_SECONDS
                else:
                    log.info("run %s (%s) continues", run_id, row.workflow)
                    self.begin(row, partial(drive, self.stored(journal, run_id, lease)), caller="")

    def stored(self, journal: Journal, run_id: str, silent: HeldLease | None = None) -> StoredRun:
        """The run for a driver, which has a fold of its own: a feed tells only what is durable."""
        rest = self.resting.get(run_id)
        return StoredRun(journal, run_id, silent=silent, signals_seen=rest.signals_read if rest else None)

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
            try:
                stored = await self.desk.begin(submission, partial(self._create, submission))
            except (EnvironmentRefused, PlanRefused, SequenceConflict):
                if (earlier := await self.desk.earlier(submission)) is None:
                    raise
                return await self.feeds.find(earlier), False  # another service began it at this moment
        return await self.start(stored), True

    async def start(self, stored: StoredRun) -> RunFeed:
        """Begin a run that was just created."""
        assert stored.run is not None
        self.feeds.add(stored.journal, stored.run.created)
        feed = await self.feeds.find(stored.id)
        row = feed.run.summary(feed.journal.name)
        if not self.dispatch(row):
            async with self.lock(stored.id):
                self.begin(row, lambda runs: runs.drive(stored), caller=row.by)
        return feed

    def dispatch(self, row: RunSummary, *, wake: bool = False) -> bool:
        """Have a run driven by other processes, soon; False if that is for this one to do."""
        if self._dispatched is None or not self._dispatched.takes(row):
            return False
        self.undriven[row.run] = self.clock.monotonic() + OTHERS_SECONDS
        self._dispatched.dispatch(row, wake=wake)
        return True

    async def _create(self, submission: Submission, plan: Plan) -> StoredRun:
        self.refuse_more()
        who = submission.by, submission.key, submission.digest()
        runs = Runs(self.settings, self.stores, self.clock, holder=self._holder)
        sent = text_input(submission.name, submission.text)
        own = await asyncio.to_thread(catalogue_digests, self.settings.catalogues)
        inputs = replace(recorded_place(), files=(sent,), catalogues=own, approved_by=submission.approved_by)
        return await runs.create(
            plan, *who, client=True, inputs=inputs, run=self.desk.run_id(submission), principal=submission.principal
        )

    @property
    def has_room(self) -> bool:
        """Whether one more run can be driven."""
        return not self.stopping and len(self.driven) < MAX_DRIVEN

    def refuse_more(self) -> None:
        """Raise ServiceStopping or TooManyRequests if no run can begin now."""
        if self.stopping:
            raise ServiceStopping("the service is stopping and accepts no more work")
        if len(self.driven) >= MAX_DRIVEN:
            raise TooManyRequests(f"{MAX_DRIVEN} runs are already being driven", hint="Try again when some have ended.")

    # -- driving --------------------------------------------------------------------------------------------------

    def lock(self, run_id: str) -> asyncio.Lock:
        """Held while it is decided who drives a run."""
        return self._locks.setdefault(run_id, asyncio.Lock())

    def begin(self, row: RunSummary, verb: Verb, *, caller: str | None = None) -> ActiveRun:
        """Drive a run in the background; under its lock, and only when it is not driven here.

        With a `caller` it begins in its turn: many may be submitted, or be left by another service, at once. Of one
        that other processes drive only the verb's first events are recorded here.
        """
        assert row.run not in self.driven
        elsewhere = self._dispatched is not None and self._dispatched.takes(row)
        # simulated accounts are no accounts: each run has its own limits, and none of the real ones
        limits = Limits() if row.simulated else self._limits
        runs = Runs(
            *(self.settings, self.stores, self.clock, limits, self.world, self.runner, self.allowed),
            signal_seconds=SIGNAL_SECONDS,
            webhooks=lambda: self.webhooks,
            rest_seconds=REST_SECONDS,
            offline=elsewhere,
            holder=self._holder,
        )
        driven = self.driven[row.run] = verb(runs)
        if elsewhere:
            driven.drain()
        self.undriven.pop(row.run, None)
        self.resting.pop(row.run, None)
        driven.task = asyncio.create_task(self._carry(driven, row, caller))
        driven.task.add_done_callback(lambda task: task.cancelled() or task.exception())  # reported by _carry already
        return driven

    async def _carry(self, driven: ActiveRun, row: RunSummary, caller: str | None) -> Run | None:
        run_id = driven.run_id
        run: Run | None = None
        begun = _at_once
        try:
            if caller is not None:
                begun = await self._starts.turn(caller)
            async for _ in driven:
                begun()
                self.feeds.hint(run_id)
                for observer in self.observers:
                    observer(driven)
            run = driven.run
            self.troubles.forget(run_id)
        except BatchwrightError as error:
            held = isinstance(error, RunHeld) and driven.driver is None
            if not held and (driven.accepted or isinstance(error, StoreError)):
                self.troubles.tell(driven.run or row, f"{error.message} [{error.code}]")
            raise  # what was refused is its caller's business alone
        except Exception as error:
            self.troubles.tell(driven.run or row, f"{type(error).__name__}: {error} [bug]")
            log.exception("run %s is no longer driven", run_id)
            raise
        finally:
            begun()
            del self.driven[run_id]
            if run is None or run.status not in RUN_ENDED:
                if run is not None and driven.driver is not None and driven.driver.resting:
                    self.resting[run_id] = RestingRun(driven.driver.signals_read, run.updated_at)
                self.undriven[run_id] = self.clock.monotonic() + self.troubles.delay(run_id)
                if run is not None and not self.stopping:
                    self.dispatch(run.summary(row.store))
            self.feeds.hint(run_id)
            driven.tell()
        return run

    # -- many runs ------------------------------------------------------------------------------------------------

    async def summaries(self) -> list[RunSummary]:
        """The summaries of all runs, newest first; those of runs driven here are current."""
        rows = await self.stores.summaries(partial=True)  # `health` tells of a store that is left out
        now = {run_id: one.run for run_id, one in self.driven.items()}
        return [run.summary(row.store) if (run := now.get(row.run)) else row for row in rows]

    async def is_driven(self, row: RunSummary) -> bool:
        """Whether a process drives the run now, or does so again as soon as somebody answers its question."""
        if row.run in self.driven or row.run in self.expected:
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
        if self._dispatched is not None:
            await self._dispatched.aclose()
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
        if self._claims is not None and self._claiming is not None:
            self._claiming.cancel()
            await asyncio.gather(self._claiming, return_exceptions=True)
            self._claiming = None
            await self._claims.give_up()
        self.feeds.close()
        return len(self.undriven.keys() - self.expected.keys())


def drive(stored: StoredRun, runs: Runs) -> ActiveRun:
    return runs.drive(stored)


def _at_once() -> None:
    """No turn was waited for."""
