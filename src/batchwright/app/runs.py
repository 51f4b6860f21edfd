"""Use cases that change the world: start, resume, roll back, cancel. Each drives one run under a lease."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Sequence

from batchwright.app.adapters import Adapters, SharedRunner, SharedWorld
from batchwright.app.allowlist import Allowlist
from batchwright.app.lease_takeover import is_driven, renewed, take
from batchwright.app.settings import Settings
from batchwright.app.stores import Stores
from batchwright.engine.doubts import go_on
from batchwright.engine.limits import Limits
from batchwright.engine.loop import SIGNAL_SECONDS, Driver, Listener
from batchwright.engine.machine import Machine
from batchwright.engine.read_retry import OUTAGE_SECONDS, Tell
from batchwright.errors import NotAllowed, StoreFull
from batchwright.journal.base import Journal
from batchwright.journal.lease import HeldLease
from batchwright.journal.replay import load_run
from batchwright.model import events as ev
from batchwright.model.clock import Clock
from batchwright.model.ids import run_id
from batchwright.model.lifecycle import RunState
from batchwright.model.plan import Plan
from batchwright.model.run import Run
from batchwright.model.summary import Signal, SignalKind
from batchwright.views.steps import step_named

Wishes = Callable[[Machine, float], Sequence[ev.AnyEvent]]


class Runs:
    """Runs runs of one state folder. `begun` is told of the driver, so that signals can reach it in process.

    With `allowed`, as a service has it, a client's run that wants more is not driven.
    """

    def __init__(
        self,
        settings: Settings,
        stores: Stores,
        clock: Clock,
        limits: Limits | None = None,
        listener: Listener | None = None,
        begun: Callable[[Driver], None] | None = None,
        world: SharedWorld | None = None,
        signal_seconds: float = SIGNAL_SECONDS,
        runner: SharedRunner | None = None,
        allowed: Allowlist | None = None,
        tell: Tell | None = None,
    ) -> None:
        self._allowed = allowed
        self._silent: HeldLease | None = None
        self.accepted = False  # whether what was asked last was taken up; what is raised before is a refusal
        self._settings = settings
        self._stores = stores
        self._clock = clock
        self._limits = limits or Limits()
        self._listener = listener
        self._begun = begun
        self._world = world
        self._signal_seconds = signal_seconds
        self._runner = runner
        self._tell = tell

    async def create(
        self, plan: Plan, by: str, key: str = "", digest: str = "", *, client: bool = False, source: str = ""
    ) -> str:
        """Record a run of this plan, durably; nothing is started yet. Gives its id. The rest: see RunCreated."""
        journal = await self._stores.get(self._stores.name_of(plan.storage_backend))
        created = ev.RunCreated(self._clock.now(), run_id(os.urandom(8)), plan, by, key, digest, client, source)
        await journal.create(created, Run(created).summary(journal.name))
        return created.run

    async def resume(self, word: str, by: str, redo: Sequence[str] = (), skip: Sequence[str] = ()) -> Run:
        """Let a run go on: one whose process died, a paused one, or a Failed or Cancelled one.

        `redo` and `skip` name commands in doubt that are to be run again, or taken as done. Raises StepNotFound.
        """
        journal, run_id = await self._stores.find(word)

        def wishes(machine: Machine, now: float) -> Sequence[ev.AnyEvent]:
            answers = [tuple(step_named(machine.run, one) for one in words) for words in (redo, skip)]
            if any(answers):
                return _answer(machine, now, by, *answers)
            match machine.run.status:
                case RunState.RUNNING | RunState.PAUSED if machine.run.cancelling:
                    return [*_cancelled(now, by, "while it was cancelling"), ev.RunReopened(now, by)]
                case RunState.PAUSED:
                    return machine.request(Signal(SignalKind.RESUME, now, by), now)
                case RunState.PENDING | RunState.RUNNING | RunState.ROLLING_BACK:
                    return []
            return [] if not machine.ended else machine.reopen(now, by)

        return await self.drive(journal, run_id, wishes)

    async def rollback(self, word: str, by: str) -> Run:
        """Undo what a run made. A run whose process died is cancelled first; a live one must be cancelled by hand."""
        journal, run_id = await self._stores.find(word)
        run = await load_run(journal, run_id)
        Machine(run).check_rollback()  # before it is cancelled for nothing
        if run.status in (RunState.PENDING, RunState.RUNNING, RunState.PAUSED):
            force = Signal(SignalKind.FORCE_CANCEL, self._clock.now(), by)
            await self.drive(journal, run_id, lambda machine, now: machine.request(force, now))

        def wishes(machine: Machine, now: float) -> Sequence[ev.AnyEvent]:
            return [] if machine.run.status is RunState.ROLLING_BACK else machine.rollback(now, by)

        return await self.drive(journal, run_id, wishes)

    async def cancel(self, word: str, by: str, *, force: bool) -> Run | None:
        """Cancel a run: through its driver if it has one (then None), else here, settling what was in flight."""
        kind = SignalKind.FORCE_CANCEL if force else SignalKind.CANCEL
        if await self.ask(word, kind, by, (RunState.PENDING, RunState.RUNNING, RunState.PAUSED)):
            return None
        journal, run_id = await self._stores.find(word)
        return await self.drive(journal, run_id, lambda machine, now: machine.request(Signal(kind, now, by), now))

    async def ask(self, word: str, kind: SignalKind, by: str, states: Sequence[RunState]) -> bool:
        """Leave a signal for the run's driver. False when nobody drives it. Raises NotAllowed in another state."""
        journal, run_id = await self._stores.find(word)
        status = (await journal.summary(run_id)).status
        if status not in states:
            verb = kind.value.replace("_", " ")
            raise NotAllowed(
                f"run {run_id} is {status}; there is nothing to {verb}", hint=f"batchwright status {run_id}"
            )
        now = self._clock.now()
        if await journal.held(run_id) is None:
            return False
        await journal.signal(run_id, Signal(kind, now, by))  # first, so that a driver hears it while it is looked for
        found = await is_driven(journal, run_id, self._clock)
        self._silent = found if isinstance(found, HeldLease) else None
        return found is True

    async def drive(
        self, journal: Journal, run_id: str, wishes: Wishes | None = None, silent: HeldLease | None = None
    ) -> Run:
        """Take the lease and drive to the end. `silent` is a lease that nobody was seen to renew.

        Raises RunHeld, NotAllowed, Forbidden, ProviderUnavailable, StoreError.
        """
        self.accepted = wishes is None  # somebody else's doing: the run is to be driven
        seen = len(await journal.signals(run_id))  # before the lease: who signals from here on means this driver
        lease = await take(journal, run_id, self._clock, silent or self._silent)
        try:
            run = await load_run(journal, run_id)
            if self._allowed is not None:
                self._allowed.check_run(run)
            if wishes is not None:  # refuse before a provider is opened or a driver recorded
                wishes(Machine(run), self._clock.now())
            self.accepted = True
            async with Adapters(
                *(self._settings, self._clock, self._limits, run.plan.simulation, self._world, self._runner),
                patience=OUTAGE_SECONDS,
                tell=self._tell,
            ) as around:
                async with renewed(journal, lease, self._clock):
                    await around.open_for(run.plan)
                driver = Driver(
                    journal,
                    lease,
                    run,
                    around.providers,
                    around.runners,
                    self._limits,
                    self._clock,
                    self._listener,
                    self._signal_seconds,
                    around.launchers,
                )
                if self._begun is not None:
                    self._begun(driver)
                return await driver.drive(wishes, seen)
        finally:
            with contextlib.suppress(StoreFull):  # it ends with this process at the latest
                await journal.release(lease)


def nothing_to_pause(run: str) -> NotAllowed:
    """Nobody drives this run."""
    return NotAllowed(
        f"nobody drives run {run}, so there is nothing to pause",
        hint=f"Let it go on with: batchwright resume {run}, or end it with: batchwright cancel {run}",
    )


def _cancelled(now: float, by: str, when: str) -> Sequence[ev.AnyEvent]:
    """A run whose process went has ended cancelled; whoever resumes it wants it to go on from there."""
    ended = ev.RunEnded(now, RunState.CANCELLED, f"its process went {when}")
    return [ev.CancelRequested(now, by, force=True), ended]


def _answer(machine: Machine, now: float, by: str, redo: Sequence[str], skip: Sequence[str]) -> Sequence[ev.AnyEvent]:
    """Go on with commands in doubt done again or skipped, also when the run's process died in the midst of them."""
    if machine.run.status in (RunState.RUNNING, RunState.PAUSED):
        return [*_cancelled(now, by, "with commands in flight"), *go_on(machine.run, now, by, redo, skip)]
    return machine.reopen(now, by, redo, skip)
