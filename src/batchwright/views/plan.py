"""What people see of a plan before it is run: each step and its undo in words, counts, and about how long."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from msgspec import Struct

from batchwright.model.actions import Action, Undo
from batchwright.model.diagnostic import Diagnostic
from batchwright.model.plan import CommandRequest, Plan, ServerRequest, Step
from batchwright.model.workflow import Dependency, OnFailure
from batchwright.plan.critical_path import Estimate, estimate
from batchwright.views.wording import one_line

COMMAND_MAX = 160  # characters of a command that are shown


class StepView(Struct, frozen=True):
    """One step: what it will do and what undoing it would do, in words."""

    id: str
    operation: str
    provider: str
    action: Action
    does: str
    undo: Undo
    undoes: str
    needs: tuple[str, ...]
    seconds: float


class OperationView(Struct, frozen=True):
    """One operation: what it waits for and how many steps it has."""

    id: str
    type: str
    provider: str
    dependencies: tuple[Dependency, ...]
    on_failure: OnFailure
    steps: int


class Counts(Struct, frozen=True):
    """How many steps there are of each action."""

    create: int = 0
    keep: int = 0
    install: int = 0
    run: int = 0


class PlanView(Struct, frozen=True):
    """The whole plan, for people and for --json. `hash` is what `run --plan-hash` takes."""

    workflow: str
    version: str
    hash: str
    storage_backend: str
    parallel_limit: int
    rollback_enabled: bool
    simulated: bool
    counts: Counts
    providers: dict[str, Counts]
    operations: tuple[OperationView, ...]
    steps: tuple[StepView, ...]
    estimate: Estimate
    warnings: tuple[Diagnostic, ...]


def plan_view(plan: Plan) -> PlanView:
    """The view of a plan; nothing in it is not in the plan."""
    sizes: dict[str, int] = {op.id: 0 for op in plan.operations}
    actions: dict[str, dict[str, int]] = {}
    total: dict[str, int] = {}
    for step in plan.steps:
        sizes[step.operation] += 1
        own = [actions.setdefault(step.provider, {})] if step.provider else []
        for tally in (total, *own):
            tally[step.action] = tally.get(step.action, 0) + 1
    servers = {step.id: step.request.name for step in plan.steps}
    return PlanView(
        workflow=plan.workflow,
        version=plan.version,
        hash=plan.hash(),
        storage_backend=plan.storage_backend,
        parallel_limit=plan.parallel_limit,
        rollback_enabled=plan.rollback_enabled,
        simulated=plan.simulation is not None,
        counts=Counts(**total),
        providers={name: Counts(**tally) for name, tally in sorted(actions.items())},
        operations=tuple(
            OperationView(op.id, op.type, op.provider, op.dependencies, op.on_failure, sizes[op.id])
            for op in plan.operations
        ),
        steps=tuple(_step_view(step, servers.get(step.server, "")) for step in plan.steps),
        estimate=estimate(plan),
        warnings=plan.warnings,
    )


def _step_view(step: Step, server: str) -> StepView:
    return StepView(
        id=step.id,
        operation=step.operation,
        provider=step.provider,
        action=step.action,
        does=does(step, server),
        undo=step.undo,
        undoes=undoes(step, server),
        needs=tuple(need.step for need in step.needs),
        seconds=step.seconds,
    )


def does(step: Step, server: str) -> str:
    """What the step will do; `server` is the name of the server a task service goes on or a program runs on."""
    request = step.request
    if isinstance(request, CommandRequest):
        return f"run {_words(request.run)} {_place(request, server)}"
    if not isinstance(request, ServerRequest):
        there = ", where it is already" if step.undo is Undo.NOTHING else ""
        return f"install {request.name} {request.version} on {server}{there}"
    if step.action is Action.KEEP:
        return f"keep server {request.name} ({step.ref}): it is there and matches"
    if not request.plan:
        where = f" at {request.access.host}" if request.access is not None else ""
        return f"take server {request.name}, which is there already{where}"
    image = f", image {request.image}" if request.image else ""
    return f"create server {request.name}: plan {request.plan}, zone {request.zone}{image}"


def undoes(step: Step, server: str) -> str:
    """What undoing the step would do."""
    request, name = step.request, step.request.name
    match step.undo:
        case Undo.RUN:
            assert isinstance(request, CommandRequest)
            return f"run {_words(request.undo)} {_place(request, server)}"
        case Undo.DESTROY:
            return f"destroy server {name}"
        case Undo.RELEASE:
            return f"let go of server {name}, which stays"
        case Undo.REMOVE:
            return f"remove {name} from {server}"
        case Undo.WITH_SERVER:
            return f"nothing by itself: goes with server {server}"
        case Undo.NOTHING if isinstance(request, CommandRequest):
            return "nothing: it has no undo"
        case Undo.NOTHING:
            return f"nothing: {name} was there before"


def _words(line: Sequence[str]) -> str:
    """A command as a shell would take it, on one line, its middle left out where it is long."""
    return one_line(shlex.join(line).replace("\n", "\\n"), COMMAND_MAX)


def _place(request: CommandRequest, server: str) -> str:
    place = f"on {server}" if server else "on this machine"
    return f"{place}, in {request.directory}" if request.directory else place
