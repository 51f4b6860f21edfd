"""Bugs that are planted in the engine and in adapters, and which a rehearsal must find."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from msgspec import Struct
from msgspec.structs import replace

from batchwright.engine import failure_response, policy, reports
from batchwright.engine.backward import Backward
from batchwright.engine.closing_sweep import ClosingSweep
from batchwright.engine.environment_turn import EnvironmentTurn
from batchwright.engine.forward import Forward
from batchwright.engine.handlers.command import CommandHandler
from batchwright.engine.handlers.server_batch import ServerHandler
from batchwright.engine.handlers.taskserv_batch import TaskservHandler
from batchwright.engine.loop import Driver
from batchwright.engine.step_readiness import ReadinessTracker
from batchwright.journal import environment_rows
from batchwright.journal.memory import MemoryJournal
from batchwright.model import events as ev
from batchwright.model import fold
from batchwright.model.actions import Doubt
from batchwright.model.call_outcome import Applied, Created, Gone, Rejected, ServerState, Unknown
from batchwright.model.environment import Enter, Environment
from batchwright.model.fault import Fault, FaultClass
from batchwright.model.ids import step_token
from batchwright.model.plan import Guard, Step
from batchwright.model.run import Run
from batchwright.providers.simulated import Simulated, SimulatedRunner
from batchwright.rehearsal.command_ledger import CommandLedger
from batchwright.rehearsal.fault_injected_run import RehearsedRun
from batchwright.rehearsal.rehearsed import Rehearsed
from tests.unit.rehearsal.plans import small

Patch = pytest.MonkeyPatch


class Mutation(Struct, frozen=True):
    """A bug, and the faults among which it shows."""

    name: str
    apply: Callable[[Patch], object]
    faults: tuple[str, ...] = ()
    rehearsed: Callable[[], Rehearsed] = small


def answering(value: object) -> Callable[..., Any]:
    """A method that does nothing but give this."""

    def method(*_args: object, **_more: object) -> object:
        return value

    return method


def async_answering(value: object) -> Callable[..., Any]:
    async def method(*_args: object, **_more: object) -> object:
        return value

    return method


# -- the engine -------------------------------------------------------------------------------------------------------


def settles_blindly(patch: Patch) -> None:
    async def settle(_self: object, command: Any) -> reports.SettleReport:
        return reports.SettleReport(command.step, command.attempt)

    patch.setattr(ServerHandler, "settle", settle)


def takes_no_answer_for_a_refusal(patch: Patch) -> None:
    create = ServerHandler._create

    async def blind(self: Any, step: Any, i: int) -> Any:
        outcome = await create(self, step, i)
        return Rejected(Fault(FaultClass.TRANSIENT, "no answer")) if isinstance(outcome, Unknown) else outcome

    patch.setattr(ServerHandler, "_create", blind)


def lets_two_change_an_environment(patch: Patch) -> None:
    def entered(found: Environment | None, enter: Enter) -> Environment:
        now = found or Environment(enter.key.space, enter.key.name)
        return replace(now, turn=now.turn + 1, tenant=enter.run, since=enter.at, last=enter.run)

    patch.setattr(environment_rows, "entered", entered)


def undoes_nothing(handler: type) -> Callable[[Patch], None]:
    async def undo(_self: object, command: Any) -> reports.UndoReport:
        return reports.UndoReport(command.step, command.attempt)

    return lambda patch: patch.setattr(handler, "undo", undo)


def leaves_servers(patch: Patch) -> None:
    """The sweep alone makes good for either."""
    undoes_nothing(ServerHandler)(patch)
    patch.setattr(ClosingSweep, "finished", property(answering(True)))


def takes_a_failed_install_for_done(patch: Patch) -> None:
    do = TaskservHandler.do

    async def lies(self: Any, command: Any) -> reports.CallReport:
        report = await do(self, command)
        return replace(report, outcome=Applied()) if isinstance(report.outcome, Rejected) else report

    patch.setattr(TaskservHandler, "do", lies)


def uses_one_token_for_ever(patch: Patch) -> None:
    patch.setattr(Run, "token", lambda self, i: step_token(self.id, self.plan.steps[i].id, 0))


def keeps_no_fence(patch: Patch) -> None:
    patch.setattr(MemoryJournal, "_held", lambda self, lease: self._runs[lease.run])
    patch.setattr(MemoryJournal, "append", _append_anywhere)
    patch.setattr(Driver, "_hold", async_answering(None))


async def _append_anywhere(self: Any, lease: Any, _after: int, events: Any, summary: Any = None, **_: Any) -> int:
    record = self._runs[lease.run]
    record.events.extend(events)
    record.summary = summary or record.summary
    return len(record.events)


def waits_for_no_operation(patch: Patch) -> None:
    def no_edges(self: Any, plan: Any, _backward: bool) -> None:
        self._next = [[] for _ in plan.operations]
        self._waits = [0] * len(plan.operations)

    patch.setattr(ReadinessTracker, "_operation_edges", no_edges)


def stops_a_lane_for_good(patch: Patch) -> None:
    reopened = fold.APPLY[ev.RunReopened]

    def kept(run: Any, event: Any) -> None:
        lanes = dict(run.stopped_lanes)
        reopened(run, event)
        run.stopped_lanes.update(lanes)

    patch.setitem(fold.APPLY, ev.RunReopened, kept)


def never_tries_again(patch: Patch) -> None:
    patch.setattr(failure_response, "may_retry", answering(False))


def waits_for_ages(patch: Patch) -> None:
    patch.setattr(failure_response, "backoff", answering(1e10))


# -- the adapters -----------------------------------------------------------------------------------------------------


def creates_twice(patch: Patch) -> None:
    create = Simulated.create

    async def twice(self: Any, request: Any, token: Any) -> Any:
        await create(self, request, token)
        return await create(self, request, token)

    patch.setattr(Simulated, "create", twice)


def lies_about_room(patch: Patch) -> None:
    create = Simulated.create

    async def lie(self: Any, request: Any, token: Any) -> Any:
        known = any(one.token == token.value for one in self._world.in_account(self._account))
        outcome = await create(self, request, token)
        return outcome if known else Rejected(Fault(FaultClass.TRANSIENT, "try again"))

    patch.setattr(Simulated, "create", lie)


def says_that_all_is_ready(patch: Patch) -> None:
    describe = Simulated.describe

    async def ready(self: Any, refs: Any) -> Any:
        seen = await describe(self, refs)
        return {ref: replace(one, state=ServerState.READY) for ref, one in seen.items()}

    patch.setattr(Simulated, "describe", ready)


def destroys_the_wrong_one(patch: Patch) -> None:
    destroy = Simulated.destroy

    async def wrong(self: Any, ref: str) -> Any:
        await destroy(self, next(one.ref for one in self._world.in_account(self._account)))
        return await destroy(self, ref)

    patch.setattr(Simulated, "destroy", wrong)


def gives_the_wrong_reference(patch: Patch) -> None:
    create = Simulated.create

    async def wrong(self: Any, request: Any, token: Any) -> Any:
        outcome = await create(self, request, token)
        first = next(one.ref for one in self._world.in_account(self._account))
        return replace(outcome, ref=first) if isinstance(outcome, Created) else outcome

    patch.setattr(Simulated, "create", wrong)


def ignores_tokens(patch: Patch) -> None:
    patch.setattr(Simulated, "_repeated", answering(None))


def guarded_by_tokens() -> Rehearsed:
    made = small()
    facts = tuple(replace(one, guard=Guard.TOKEN) for one in made.plan.providers)
    promised = {name: replace(one, guard=Guard.TOKEN) for name, one in made.capabilities.items()}
    return replace(made, plan=replace(made.plan, providers=facts), capabilities=promised)


def with_a_short_settle_time() -> Rehearsed:
    """A provider that promises more than it keeps."""
    made = small()
    facts = tuple(replace(one, settle_seconds=1.0, visible_seconds=0.5) for one in made.plan.providers)
    promised = {name: replace(one, settle_seconds=1.0) for name, one in made.capabilities.items()}
    return replace(made, plan=replace(made.plan, providers=facts), capabilities=promised)


def is_later(patch: Patch) -> None:
    patch.setattr(RehearsedRun, "settle_seconds", lambda *_: 120.0)


def starts_twice(patch: Patch) -> None:
    launch = CommandLedger.launch

    async def twice(self: Any, request: Any, start: Any) -> Any:
        await launch(self, request, start)
        return await launch(self, request, start)

    patch.setattr(CommandLedger, "launch", twice)


CRASH = ("crash",)
MUTATIONS = (
    Mutation("settles without a look", settles_blindly, CRASH),
    Mutation("takes no answer for a refusal", takes_no_answer_for_a_refusal, ("lost_answers",)),
    Mutation("does not take up what was in flight", lambda p: p.setattr(Forward, "recover", answering([])), CRASH),
    Mutation("does not take up undos", lambda p: p.setattr(Backward, "recover", answering([])), CRASH),
    Mutation("keeps no fence", keeps_no_fence, ("second_driver",)),
    Mutation("ends no turn", lambda p: p.setattr(EnvironmentTurn, "of_append", answering(None))),
    Mutation("lets two change an environment", lets_two_change_an_environment, ("second_change",)),
    Mutation("destroys no server in a rollback, and sweeps nothing", leaves_servers),
    Mutation("runs no undo of a command", undoes_nothing(CommandHandler)),
    Mutation("takes a failed install for done", takes_a_failed_install_for_done, ("exit",)),
    Mutation("runs a command in doubt again", lambda p: p.setattr(Step, "doubt", Doubt.REPEAT), CRASH),
    Mutation("waits for no operation", waits_for_no_operation),
    Mutation("uses one token for ever", uses_one_token_for_ever, ("never_ready",)),
    Mutation("never tries again", never_tries_again, ("transient",)),
    Mutation("waits for ages", waits_for_ages, ("transient",)),
    Mutation("stops a lane for good", stops_a_lane_for_good, ("auth",)),
    Mutation(
        "gives up when it is throttled",
        lambda p: p.setitem(policy.POLICIES, FaultClass.THROTTLE, policy.Policy(retry=False)),
        ("throttle",),
    ),
    Mutation("adapter: creates twice", creates_twice),
    Mutation("adapter: refuses and creates", lies_about_room),
    Mutation("adapter: lists nothing", lambda p: p.setattr(Simulated, "find", async_answering([])), CRASH),
    Mutation("adapter: all is ready", says_that_all_is_ready, ("never_ready",)),
    Mutation("adapter: destroys nothing", lambda p: p.setattr(Simulated, "destroy", async_answering(Gone()))),
    Mutation("adapter: destroys the wrong one", destroys_the_wrong_one),
    Mutation("adapter: gives the wrong reference", gives_the_wrong_reference),
    Mutation("adapter: ignores tokens", ignores_tokens, CRASH, guarded_by_tokens),
    Mutation("adapter: is later than it promised", is_later, ("late_commits",), with_a_short_settle_time),
    Mutation("adapter: installs nothing", lambda p: p.setattr(SimulatedRunner, "install", async_answering(Applied()))),
    Mutation("adapter: starts programs twice", starts_twice),
)
