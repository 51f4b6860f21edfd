"""Turns one command into calls to a port and one report. Steps go to their type's handler; sweeps are done here."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import TypeVar

from batchwright.commands.base import Launcher
from batchwright.engine import effects, reports
from batchwright.engine.handler_context import CreateCheck, HandlerContext, KeyFile, no_key_file
from batchwright.engine.handlers import HANDLERS, Handler
from batchwright.engine.limits import CallClass, Limits
from batchwright.engine.poller import Fail, Send
from batchwright.engine.port_calls import TaskPool, turn
from batchwright.engine.read_retry import ReadRetry
from batchwright.engine.server_convergence import Hold
from batchwright.model.call_outcome import Observed, ServerState, Unknown
from batchwright.model.clock import Clock
from batchwright.model.fault import Fault, FaultClass
from batchwright.model.lifecycle import RunState, StepState
from batchwright.model.plan import Guard
from batchwright.model.run import Run
from batchwright.probes.base import Prober
from batchwright.providers.base import Provider
from batchwright.taskservs.base import Runner

STRAYS_AT_ONCE = 8  # destroyed at the same time
ROLLBACKS = (RunState.ROLLING_BACK, RunState.ROLLED_BACK, RunState.ROLLBACK_INCOMPLETE)

C = TypeVar("C", effects.DoStep, effects.UndoStep, effects.Settle | effects.DoStep)


class Performer:
    """Carries out the commands of one run. Reports go to `send`, unexpected errors to `fail`.

    `hold` is awaited just before every call that changes something, and raises if this process no longer drives the
    run.
    """

    def __init__(
        self,
        run: Run,
        providers: Mapping[str, Provider],
        runners: Mapping[str, Runner],
        limits: Limits,
        clock: Clock,
        send: Send,
        fail: Fail,
        hold: Hold,
        launchers: Mapping[str, Launcher] = {},
        check_create: CreateCheck = lambda _: None,
        key_file: KeyFile = no_key_file,
        prober: Prober | None = None,
    ) -> None:
        self._run = run
        self._send = send
        self._context = HandlerContext(
            run, providers, runners, launchers, limits, clock, send, fail, hold, check_create, key_file, prober
        )
        self._handlers: dict[str, Handler] = {}
        self._strays = asyncio.Semaphore(STRAYS_AT_ONCE)
        self._calls = TaskPool(fail)
        self._sweeps = TaskPool(fail)

    @property
    def looks(self) -> ReadRetry:
        """The reads of this run, and the providers that do not answer them."""
        return self._context.looks

    def admit(self, command: effects.Command) -> None:
        """Take the permit that the command needs, if any. It is returned once: after the call, or on close."""
        if isinstance(command, effects.CALLS):
            self._context.admit(command)

    def perform(self, command: effects.Command) -> None:
        """Begin to carry out a command."""
        if type(command) is effects.DoStep and not command.look_first:  # nearly all are: they ask the least questions
            self._calls.start(self._report(command, self._handler(command.step).do))
            return
        match command:
            case effects.DoStep() | effects.Settle():
                self._calls.start(self._report(command, self._handler(command.step).settle))
            case effects.UndoStep():
                self._calls.start(self._report(command, self._handler(command.step).undo))
            case effects.Await():
                if (report := self._handler(command.step).wait(command)) is not None:
                    self._send(report)
            case effects.Sweep():
                self._sweeps.start(self._sweep(command))
            case effects.DestroyOrphan():
                self._calls.start(self._destroy_orphan(command))

    def _handler(self, step: int) -> Handler:
        kind = self._run.plan.operations[self._run.step_operation[step]].type
        if kind not in self._handlers:
            self._handlers[kind] = HANDLERS[kind](self._context)
        return self._handlers[kind]

    async def _report(self, command: C, carry_out: Callable[[C], Awaitable[reports.Report | None]]) -> None:
        report = await carry_out(command)
        if report is not None:
            self._context.release(command.step)
            self._send(report)

    @property
    def calls(self) -> int:
        """How many calls that may change something are in progress; a sweep only reads."""
        return self._calls.running

    async def aclose(self) -> None:
        """Stop without finishing; calls in flight are in doubt for the next driver."""
        await asyncio.gather(self._calls.aclose(), self._sweeps.aclose())
        await self._context.aclose()

    # -- closing sweep ------------------------------------------------------------------------------------------

    async def _sweep(self, command: effects.Sweep) -> None:
        context, run = self._context, self._run
        provider = context.providers[command.lane]
        ended = not run.restarts and context.facts[command.lane].guard is not Guard.TOKEN
        until = context.settled_at(command.lane, run.doubtful.get(command.lane, 0.0), ended=ended)
        while True:
            began = context.clock.now()
            listing = await context.find(provider)
            if isinstance(listing, Unknown):
                fault = Fault(FaultClass.TRANSIENT, f"cannot list servers: {listing.reason}")
                self._send(reports.SweepReport(command.lane, command.round, fault=fault))
                return
            strays = self._orphans(command.lane, listing)
            if strays or command.lane not in run.doubtful or began >= until:
                shared = frozenset(o.ref for o in listing if o.needed_by is not None and o.needed_by != o.token)
                self._send(reports.SweepReport(command.lane, command.round, strays, shared=shared))
                return
            await context.clock.sleep(provider.capabilities.poll_seconds)

    def _orphans(self, lane: str, listing: list[Observed]) -> tuple[tuple[str, str], ...]:
        """What the journal does not want to exist; in and after a rollback it wants only what could not be removed.

        What servers need (a group, a key, a disk) may be listed before them: the journal says whether they are kept.
        """
        run, back = self._run, self._run.status in ROLLBACKS
        kept = {
            i: record.ref
            for i, record in enumerate(run.records)
            if record.ref and run.lane(i) == lane and (not back or record.state is StepState.UNDO_FAILED)
        }
        made = [i for i in kept if run.steps[i].traits.sweeps]  # another run's server needs nothing of this run's
        refs, keys = set(kept.values()), [*(kept[i] for i in made), *map(run.token, made)]
        return tuple(
            (o.ref, o.name)
            for o in listing
            if o.state is not ServerState.GONE
            and o.ref not in refs
            and (o.needed_by is None or not any(key.startswith(o.needed_by) for key in keys))
        )

    async def _destroy_orphan(self, command: effects.DestroyOrphan) -> None:
        context = self._context
        async with self._strays:
            async with turn(context.limits, command.lane, CallClass.DESTROY, context.clock):
                fault = await context.destroy(command.lane, command.ref)
            if fault is not None:  # the sweep's next round tries again
                await context.clock.sleep(context.providers[command.lane].capabilities.poll_seconds)
        self._send(reports.OrphanReport(command.lane, command.ref, fault))
