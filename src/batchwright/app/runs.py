"""Use cases that change something: start, resume, roll back, cancel. Each drives one run under a lease."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Awaitable, Callable, Sequence
from functools import partial

from msgspec import Struct
from msgspec.structs import replace

from batchwright.app.account_claims import shared_accounts
from batchwright.app.active_run import LIVE_STATES, ActiveRun
from batchwright.app.adapters import Adapters, SharedRunner, SharedWorld
from batchwright.app.approvals import refuse_unreachable
from batchwright.app.borrowed_servers import (
    ended_by_plan,
    ended_by_rollback,
    free_lenders,
    refuse_borrowed,
    stopped_by,
)
from batchwright.app.catalogue_changes import refuse_changed_installs, with_catalogues
from batchwright.app.guardrails import create_check, refuse_unguarded
from batchwright.app.lease_takeover import is_driven, renewed, take
from batchwright.app.multi_store import Stores, first_creation, refuse_elsewhere
from batchwright.app.program_and_secret_allowlist import ProgramAndSecretAllowlist
from batchwright.app.run_provenance import recorded_place
from batchwright.app.run_reader import history
from batchwright.app.run_refusals import refuse_unless
from batchwright.app.settings import Settings
from batchwright.app.webhook_delivery import WebhookDeliverer
from batchwright.engine.environment_turn import BEGIN_TURN, EnvironmentTurn
from batchwright.engine.limits import Lane, Limits
from batchwright.engine.loop import SIGNAL_SECONDS, Driver
from batchwright.engine.machine import Machine
from batchwright.engine.manual_resolution import NO_ANSWERS, ResumeAnswers, cancelled, forget, go_on
from batchwright.engine.read_retry import OUTAGE_SECONDS
from batchwright.errors import NotAllowed, StoreFull
from batchwright.journal.base import Journal
from batchwright.journal.environment_state import environment_state, refuse_changed
from batchwright.journal.lease_holder import HeldLease, own_holder
from batchwright.journal.replay import load_run
from batchwright.model import events as ev
from batchwright.model.clock import Clock
from batchwright.model.environment import Environment, EnvironmentKey, entered
from batchwright.model.ids import run_id
from batchwright.model.lifecycle import RunState, StepState
from batchwright.model.plan import Plan
from batchwright.model.run import Run
from batchwright.model.run_provenance import RunInputs
from batchwright.model.run_signal import Signal, SignalKind
from batchwright.model.scalar import SimulationSettings
from batchwright.operations.base import PortKind
from batchwright.operations.registry import type_of
from batchwright.operations.server_login import login_of
from batchwright.views.steps import step_named

Wishes = Callable[[Machine, float], Sequence[ev.AnyEvent]]


class StoredRun(Struct):
    """A run in its store; `run` is the fold of the events read so far.

    `silent` is a lease that was watched and not renewed. `signals_seen`: this process let the run rest (see Driver),
    and had read so many signals.
    """

    journal: Journal
    id: str
    run: Run | None = None
    silent: HeldLease | None = None
    signals_seen: int | None = None

    async def current(self) -> Run:
        """The run with all events that its journal has now."""
        if self.run is None:
            self.run = await load_run(self.journal, self.id)
        else:
            async for _, event in history(self.journal, self.id, self.run.seq):
                self.run.apply(event)
        return self.run


class Runs:
    """Changes the runs of one state folder. Methods that drive a run give an ActiveRun; iterating it begins.

    With `allowed`, as in a service, a client's run that needs more is not driven. `offline`: what is driven is drained
    at once, so that no provider is asked. `shares`: this run, the only one of its process, claims shares of accounts.
    `holder` names this process in leases; see own_holder.
    """

    def __init__(
        self,
        settings: Settings,
        stores: Stores,
        clock: Clock,
        limits: Limits | None = None,
        world: SharedWorld | None = None,
        runner: SharedRunner | None = None,
        allowed: ProgramAndSecretAllowlist | None = None,
        signal_seconds: float = SIGNAL_SECONDS,
        webhooks: Callable[[], WebhookDeliverer] | None = None,
        rest_seconds: float | None = None,
        *,
        offline: bool = False,
        shares: bool = False,
        holder: str = "",
    ) -> None:
        self._holder = holder or own_holder()
        self._rest_seconds = rest_seconds
        self._offline = offline
        self._shares = shares
        self._allowed = allowed
        self._settings = settings
        self._stores = stores
        self._clock = clock
        self._limits = limits or Limits()
        self._world = world
        self._signal_seconds = signal_seconds
        self._runner = runner
        self._webhooks = webhooks

    async def create(
        self,
        plan: Plan,
        by: str,
        key: str = "",
        digest: str = "",
        *,
        client: bool = False,
        source: str = "",
        inputs: RunInputs | None = None,
        run: str = "",
        principal: str = "",
    ) -> StoredRun:
        """Record a run of this plan, durably; nothing is started yet. `run` is its id. The rest: see RunCreated.

        With it the run's first turn in its environment begins. Raises EnvironmentBusy while another run has its turn,
        EnvironmentMoved when the plan must be made again, other EnvironmentRefused, and PlanRefused if the plan breaks
        a guardrail of the operator's or asks people who do not exist.
        """
        journal = await self._stores.get(self._stores.name_of(plan.storage_backend))
        own, now = run or run_id(os.urandom(8)), self._clock.now()
        state = await environment_state(journal, EnvironmentKey.of(plan))
        async with contextlib.AsyncExitStack() as held:
            if state.row is None:
                await held.enter_async_context(first_creation(self._settings.state_dir, self._clock))
                await refuse_elsewhere(self._stores, journal, state.key)
            enter = state.enter(own, now)
            entered(state.row, enter)  # who is busy is told before what has changed
            refuse_changed(plan, state)
            lenders = await free_lenders(journal, plan, state.resources)
            await refuse_borrowed(journal, state.key, ended_by_plan(plan), stopped_by(plan))
            await refuse_unguarded(self._settings, plan, state.resources, now, principal)
            await refuse_unreachable(self._settings, journal, plan, principal, now)
            told = now, own, plan, by, key, digest, client, source
            recorded = inputs or recorded_place()
            turn = state.turn + 1, state.newest
            created = ev.RunCreated(*told, *turn, inputs=recorded, principal=principal)
            made = Run(created)
            await journal.create(created, made.summary(journal.name), enter=replace(enter, lenders=lenders))
        return StoredRun(journal, own, made)

    def resume(
        self, stored: StoredRun, by: str, answers: ResumeAnswers = NO_ANSWERS, *, principal: str = ""
    ) -> ActiveRun:
        """Continue a run whose process died, a paused run, or a Failed or Cancelled one.

        With `forget` among the answers nothing else is done, and no provider is opened. `principal` is who asks for it,
        as Principal.id. Raises StepNotFound.
        """
        if answers.forget:
            return self._forget(stored, by, answers)

        def wishes(machine: Machine, now: float) -> Sequence[ev.AnyEvent]:
            redo, skip = (
                tuple(step_named(machine.run, one) for one in words) for words in (answers.redo, answers.skip)
            )
            if redo or skip or answers.outputs:
                return _answer(machine, now, by, redo, skip, answers.outputs)
            match machine.run.status:
                case RunState.RUNNING | RunState.PAUSED if machine.run.cancelling:
                    return [*cancelled(now, by, "while it was cancelling"), ev.RunReopened(now, by)]
                case RunState.PAUSED:
                    return machine.request(Signal(SignalKind.RESUME, now, by), now)
                case RunState.PENDING | RunState.RUNNING | RunState.ROLLING_BACK:
                    return []
            return [] if not machine.ended else machine.reopen(now, by)

        def signed(machine: Machine, now: float) -> Sequence[ev.AnyEvent]:
            events = wishes(machine, now)
            return [replace(one, principal=principal) if isinstance(one, ev.RunReopened) else one for one in events]

        return self._active(stored, lambda active: self._drive(active, stored, signed, forward=True))

    def _forget(self, stored: StoredRun, by: str, answers: ResumeAnswers) -> ActiveRun:
        if answers.redo or answers.skip or answers.outputs:
            raise NotAllowed(
                "forgetting calls of unknown outcome does not continue the run, so there is nothing to redo or skip",
                hint=f"Forget them first; then: batchwright resume {stored.id}",
            )

        def wishes(machine: Machine, now: float) -> Sequence[ev.AnyEvent]:
            return forget(machine.run, now, by, answers.forget)

        return self._active(stored, lambda active: self._drive(active, stored, wishes, offline=True))

    def rollback(self, stored: StoredRun, by: str) -> ActiveRun:
        """Undo what a run created and changed. If its process died it is cancelled first; a live one is not."""

        def wishes(machine: Machine, now: float) -> Sequence[ev.AnyEvent]:
            if machine.run.status is RunState.ROLLING_BACK:
                return []
            if machine.run.status not in LIVE_STATES:
                return machine.rollback(now, by)
            machine.check_rollback()
            # in one append: between two, another run could take its turn
            return [*cancelled(now, by, "before its rollback"), ev.RollbackStarted(now, by, automatic=False)]

        return self.drive(stored, wishes)

    def cancel(self, stored: StoredRun, by: str, *, force: bool) -> ActiveRun:
        """Cancel a run that no process drives, and settle its calls in flight."""
        kind = SignalKind.FORCE_CANCEL if force else SignalKind.CANCEL
        return self.drive(stored, lambda machine, now: machine.request(Signal(kind, now, by), now))

    async def ask(self, stored: StoredRun, kind: SignalKind, by: str, states: Sequence[RunState]) -> bool:
        """Leave a signal for the run's driver. False if no process drives it. Raises NotAllowed in another state."""
        journal = stored.journal
        refuse_unless((await journal.summary(stored.id)).status, stored.id, kind, states)
        now = self._clock.now()
        if await journal.held(stored.id) is None:
            return False
        await journal.signal(
            stored.id, Signal(kind, now, by)
        )  # first: a driver sees the signal while this process looks for the driver
        found = await is_driven(journal, stored.id, self._clock)
        stored.silent = found if isinstance(found, HeldLease) else None
        return found is True

    def adapters(self, simulation: SimulationSettings | None, settings: Settings | None = None) -> Adapters:
        """What a run that is simulated so, or not at all, works with; nothing is opened yet."""
        return Adapters(settings or self._settings, self._clock, self._limits, simulation, self._world, self._runner)

    def drive(self, stored: StoredRun, wishes: Wishes | None = None, around: Adapters | None = None) -> ActiveRun:
        """The run, to be driven to its end; `wishes` are the events to begin with.

        `around` is what its plan was made with: it is taken over and closed at the end.
        """
        return self._active(stored, lambda active: self._drive(active, stored, wishes, around))

    def _active(self, stored: StoredRun, work: Callable[[ActiveRun], Awaitable[Run]]) -> ActiveRun:
        return ActiveRun(stored.id, stored.journal.name, self._limits, self._clock, work)

    async def _drive(
        self,
        active: ActiveRun,
        stored: StoredRun,
        wishes: Wishes | None,
        opened: Adapters | None = None,
        *,
        offline: bool = False,
        forward: bool = False,
    ) -> Run:
        """Take the lease and drive to the end; `offline`: what is wished ends the run, and no provider is asked.

        `forward`: unless it is being rolled back, the entries of what it has still to install must be those planned.
        """
        journal, run_id = stored.journal, stored.id
        offline = offline or self._offline
        active.accepted = wishes is None  # another process's doing: the run is to be driven
        seen = stored.signals_seen
        if seen is None:  # before the lease: a signal from here on is for this driver
            seen = len(await journal.signals(run_id))
        lease = await take(journal, run_id, self._clock, stored.silent, self._holder)
        webhooks: WebhookDeliverer | None = None
        try:
            run = await stored.current()
            if self._allowed is not None:
                self._allowed.check_run(run)
            wanted = list(wishes(Machine(run), self._clock.now())) if wishes is not None else []
            turn = await _turn_of(journal, run, wanted)
            if turn is not None:  # refuse before a provider is opened or a driver recorded
                turn.check(wanted)
            settings = _with_own_catalogues(self._settings, run, forward=forward)
            active.accepted = True
            webhooks = await self._told(journal, run)
            async with opened or self.adapters(run.plan.simulation, settings) as around, self._sharing(journal, run):
                around.look_for(OUTAGE_SECONDS, active.waits)
                async with renewed(journal, lease, self._clock):
                    if not offline:
                        await around.open_for(run.plan)
                        await _refuse_missing_keys(around, run, wanted)
                driver = Driver(
                    journal,
                    lease,
                    run,
                    around.providers,
                    around.runners,
                    _no_calls(run.plan) if offline else self._limits,
                    self._clock,
                    partial(_appended, active, webhooks),
                    self._signal_seconds,
                    around.launchers,
                    turn,
                    create_check(self._settings, run.plan, turn.resources if turn is not None else ()),
                    around.key_file,
                    around.prober,
                    self._rest_seconds,
                    rested=stored.signals_seen is not None,
                )
                active.begun(driver)
                return await driver.drive(wishes, seen)
        finally:
            with contextlib.suppress(StoreFull):  # it ends with this process at the latest
                await journal.release(lease)
            if webhooks is not None:
                webhooks.left(run_id)

    def _sharing(self, journal: Journal, run: Run) -> contextlib.AbstractAsyncContextManager[None]:
        shares = self._shares and run.plan.simulation is None
        return shared_accounts(journal, self._limits, self._clock) if shares else contextlib.nullcontext()

    async def _told(self, journal: Journal, run: Run) -> WebhookDeliverer | None:
        """Who delivers what happens to the run, if anybody is to be told about it."""
        if self._webhooks is None or not (run.plan.notify or self._settings.notify or self._settings.traces):
            return None
        webhooks = self._webhooks()
        await webhooks.enlist(journal, run)
        return webhooks


def _appended(active: ActiveRun, webhooks: WebhookDeliverer | None, events: Sequence[ev.AnyEvent]) -> None:
    active.appended(events)
    if webhooks is not None:
        webhooks.appended(active.run_id, events)


async def _refuse_missing_keys(around: Adapters, run: Run, wanted: Sequence[ev.AnyEvent]) -> None:
    """Raise LoginKeyMissing if unfinished steps cannot log in. A rollback logs in only to servers that stay."""
    back = run.status is RunState.ROLLING_BACK or any(isinstance(event, ev.RollbackStarted) for event in wanted)
    if back or run.plan.simulation is not None:
        return
    placed = zip(run.steps, run.records, around.places_of(run.steps), strict=True)
    steps = [(step, record) for step, record, place in placed if not place]  # keys of places are there
    needed = {
        login_of(run.steps[run.index[step.server]], run.record(step.server)).key
        for step, record in steps
        if step.server and record.state is not StepState.SUCCEEDED
    }
    if needed - {""}:
        await around.logins.refuse_missing(needed)
    # that it has a host key shows that its provider let in the run's key
    if any(step.traits.sweeps and record.host_keys and not login_of(step, record).key for step, record in steps):
        around.logins.refuse_missing_own(run.id)


def _with_own_catalogues(settings: Settings, run: Run, *, forward: bool) -> Settings:
    """The settings with the catalogues of the run. Raises EntryChanged if it goes on and they are others now."""
    if run.plan.simulation is not None or not any(type_of(step).port is PortKind.RUNNER for step in run.plan.steps):
        return settings
    settings = with_catalogues(settings, run.created.inputs, run.plan.steps)
    if forward and run.status is not RunState.ROLLING_BACK:
        refuse_changed_installs(run, settings.catalogues)
    return settings


def _no_calls(plan: Plan) -> Limits:
    """Limits for a driver that makes no call, so that no provider tells what its limits are."""
    limits = Limits()
    for lane in plan.lanes:
        limits.add(lane, Lane(1))
    return limits


async def _turn_of(journal: Journal, run: Run, wanted: Sequence[ev.AnyEvent]) -> EnvironmentTurn | None:
    """The run's turn that goes on or is to begin; a run older than environments may go on without one."""
    begins = any(isinstance(event, BEGIN_TURN) for event in wanted)
    if not run.holds_environment and not begins:
        return None
    state = await environment_state(journal, EnvironmentKey.of(run.plan), run.id)
    lenders: tuple[Environment, ...] = ()
    if any(isinstance(event, ev.RollbackStarted) for event in wanted):
        await refuse_borrowed(journal, state.key, ended_by_rollback(run), stopped_by(run.plan))
    elif begins and not any(isinstance(event, ev.DoubtForgotten) for event in wanted):
        await refuse_borrowed(journal, state.key, ended_by_plan(run.plan), stopped_by(run.plan))
        lenders = await free_lenders(journal, run.plan, state.resources)
    return EnvironmentTurn(run, state.row, state.resources, state.newest, lenders)


def _answer(
    machine: Machine, now: float, by: str, redo: Sequence[str], skip: Sequence[str], outputs: Sequence[str]
) -> Sequence[ev.AnyEvent]:
    """Continue with commands in doubt run again or skipped, also if the run's process died during one."""
    if machine.run.status in (RunState.RUNNING, RunState.PAUSED):
        return [*cancelled(now, by, "with commands in flight"), *go_on(machine.run, now, by, redo, skip, outputs)]
    return machine.reopen(now, by, redo, skip, outputs)
