"""Bugs that a rehearsal plants in itself for a moment, to see that it finds them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from msgspec import Struct

from batchwright.journal.base import Lease, Turn
from batchwright.journal.memory import MemoryJournal
from batchwright.model import events as ev
from batchwright.model.call_outcome import Applied, Gone, Rejected, Unknown
from batchwright.model.events import AnyEvent
from batchwright.model.fault import Fault, FaultClass
from batchwright.model.plan import Guard, Plan
from batchwright.model.run_summary import RunSummary
from batchwright.operations.server_batch import ServerRequest
from batchwright.operations.taskserv_batch import TaskservRequest
from batchwright.providers.base import Provider
from batchwright.providers.simulated import Simulation
from batchwright.rehearsal.experiment_run import ExperimentOutcome, MakeRun, ReferenceRun, carry_out
from batchwright.rehearsal.experiments import single_faults
from batchwright.rehearsal.fault_injected_run import RehearsedRun
from batchwright.rehearsal.fault_spec import AFTER, Experiment
from batchwright.rehearsal.rehearsed import Rehearsed
from batchwright.rehearsal.timed_ports import TimedLedger
from batchwright.taskservs.base import Runner
from batchwright.testing.crash_points import CrashPoint

RUNS_MOST = 40  # in which a planted bug must be found


class PlantedBug(Struct, frozen=True):
    """A bug: what it is, in which plans it matters, and the fault at calls of these verbs that shows it."""

    name: str
    meaning: str
    make: MakeRun
    matters: Callable[[Plan], bool]
    fault: str = ""  # empty: it shows without any
    verbs: tuple[str, ...] = ()
    rollback: bool = False


class SelfCheck(Struct, frozen=True):
    """The bug that was planted, and in how many runs it was found; 0: it was not found."""

    bug: PlantedBug
    runs: int


def self_check(rehearsed: Rehearsed, references: Mapping[bool, ReferenceRun], seed: int) -> SelfCheck:
    """Plant the bug of this seed, and look for it."""
    bugs = [bug for bug in BUGS if bug.matters(rehearsed.plan)]
    bug = bugs[seed % len(bugs)]
    for runs, experiment in enumerate(_experiments(rehearsed, references, bug)[:RUNS_MOST], 1):
        result = carry_out(rehearsed, references[experiment.rollback], experiment, make=bug.make)
        if result.outcome in (ExperimentOutcome.BROKEN, ExperimentOutcome.STUCK):
            return SelfCheck(bug, runs)
    return SelfCheck(bug, 0)


def _experiments(
    rehearsed: Rehearsed, references: Mapping[bool, ReferenceRun], bug: PlantedBug
) -> Sequence[Experiment]:
    if not bug.fault:
        return [Experiment((), bug.rollback)]
    chosen = frozenset({"crash" if bug.fault == AFTER else bug.fault})
    listed = single_faults(rehearsed, references[False], None, chosen, 0)
    return [one for one in listed.first if one.injections[0].fault == bug.fault and one.injections[0].verb in bug.verbs]


# -- the ports with bugs in them --------------------------------------------------------------------------------------


class BuggyPort:
    """A port of which some calls are answered otherwise."""

    def __init__(self, inner: Any, **calls: Any) -> None:
        self._inner = inner
        self.__dict__.update(calls)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


class ForgetfulJournal(MemoryJournal):
    """Says that the intent of a call is durable before it is."""

    def __init__(self) -> None:
        super().__init__()
        self._unsafe: tuple[str, int] | None = None

    async def append(
        self,
        lease: Lease,
        after: int,
        events: Sequence[AnyEvent],
        summary: RunSummary | None = None,
        *,
        turn: Turn | None = None,
    ) -> int:
        intents = (n for n, event in enumerate(events) if isinstance(event, ev.StepStarted))
        first = next(intents, None)
        self._unsafe = None if first is None else (lease.run, after + first)
        return await super().append(lease, after, events, summary, turn=turn)

    def lose(self) -> None:
        """The process died: what was not durable is gone."""
        if self._unsafe is not None:
            run, after = self._unsafe
            del self._runs[run].events[after:]
            self._unsafe = None


class ForgetsIntents(RehearsedRun):
    """Calls are sent before their intent is durable."""

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self.journal = ForgetfulJournal()

    async def process(self, point: CrashPoint) -> bool:
        done = await super().process(point)
        if not done and point.dead:
            assert isinstance(self.journal, ForgetfulJournal)
            self.journal.lose()
        return done


class RetriesBlindly(RehearsedRun):
    """An unknown outcome is taken as a refusal, so the call is sent again without a look."""

    def answered(self, outcome: object) -> object:
        return Rejected(Fault(FaultClass.TRANSIENT, "no answer")) if isinstance(outcome, Unknown) else outcome


class LooksAway(RehearsedRun):
    """Listings are always empty."""

    def provider(self, name: str, simulation: Simulation) -> Provider:
        async def find(*_args: Any) -> list[Any]:
            return []

        return BuggyPort(super().provider(name, simulation), find=find)


class SkipsDestroys(RehearsedRun):
    """A destroy is answered and not carried out."""

    def provider(self, name: str, simulation: Simulation) -> Provider:
        async def destroy(_ref: str) -> Gone:
            return Gone()

        return BuggyPort(super().provider(name, simulation), destroy=destroy)


class SkipsInstalls(RehearsedRun):
    """An install is answered and not carried out."""

    def runner(self, simulation: Simulation) -> Runner:
        async def install(*_args: Any) -> Applied:
            return Applied()

        return BuggyPort(super().runner(simulation), install=install)


class RunsTwice(RehearsedRun):
    """Each program is started twice."""

    def new_ledger(self) -> TimedLedger:
        ledger = super().new_ledger()

        async def launch(request: Any, launch: Any) -> Any:
            await ledger.launch(request, launch)
            return await ledger.launch(request, launch)

        return BuggyPort(ledger, launch=launch)  # type: ignore[return-value]


class KeepsTheTurn(RehearsedRun):
    """The turn in the environment never ends."""

    async def turn(self, _run: Any) -> None:
        return None


def _creates(plan: Plan) -> bool:
    unguarded = {facts.name for facts in plan.providers if facts.guard is Guard.LABEL_ONLY}
    return any(isinstance(s.request, ServerRequest) and s.traits.sweeps and s.provider in unguarded for s in plan.steps)


def _undoes(plan: Plan) -> bool:
    return plan.rollback_enabled and any(s.traits.sweeps for s in plan.steps)


def _installs(plan: Plan) -> bool:
    return any(isinstance(s.request, TaskservRequest) and not s.existed for s in plan.steps)


def _commands(plan: Plan) -> bool:
    return any(not s.request.idempotent for s in plan.steps)


def _any(_plan: Plan) -> bool:
    return True


def _of(kind: type[RehearsedRun]) -> MakeRun:
    return lambda rehearsed, experiment, most, trace: kind(rehearsed, experiment, most, trace=trace)


BUGS = (
    PlantedBug("forgotten_intent", ForgetsIntents.__doc__ or "", _of(ForgetsIntents), _creates, AFTER, ("create",)),
    PlantedBug("blind_retry", RetriesBlindly.__doc__ or "", _of(RetriesBlindly), _creates, "lost_answers", ("create",)),
    PlantedBug("empty_listing", LooksAway.__doc__ or "", _of(LooksAway), _creates, AFTER, ("create",)),
    PlantedBug("skipped_destroy", SkipsDestroys.__doc__ or "", _of(SkipsDestroys), _undoes, rollback=True),
    PlantedBug("skipped_install", SkipsInstalls.__doc__ or "", _of(SkipsInstalls), _installs),
    PlantedBug("second_start", RunsTwice.__doc__ or "", _of(RunsTwice), _commands),
    PlantedBug("kept_turn", KeepsTheTurn.__doc__ or "", _of(KeepsTheTurn), _any),
)
