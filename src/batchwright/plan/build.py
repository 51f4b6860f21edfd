"""A workflow and what was observed, to a plan: an ordered list of small passes over one draft. Nothing is contacted."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from graphlib import TopologicalSorter
from heapq import heappop, heappush

from msgspec import Struct

from batchwright.model.catalogue import Taskserv
from batchwright.model.diagnostic import Diagnostic, Severity
from batchwright.model.plan import Plan, PlannedOperation
from batchwright.model.scalar import Scalar
from batchwright.model.workflow import Command, Operation, ServerBatch, Workflow
from batchwright.plan.clusters import form_clusters
from batchwright.plan.commands import plan_commands
from batchwright.plan.draft import Draft
from batchwright.plan.installs import chain_installs, check_needs, fill_variables
from batchwright.plan.observations import Observations
from batchwright.plan.requirements import expand_requirements, refuse_conflicts, take_listed
from batchwright.plan.servers import plan_servers
from batchwright.plan.targets import find_targets

TASKSERV_LANE = "taskservs"
COMMAND_LANE = "commands"


class PlanResult(Struct, frozen=True):
    """The plan, and all that was found. There is no plan exactly when one of the diagnostics is an error."""

    plan: Plan | None
    diagnostics: tuple[Diagnostic, ...]


def order_operations(draft: Draft) -> None:
    """Fill `order` and `index`: dependencies first, otherwise as in the file."""
    operations = draft.workflow.operations
    place = {op.id: i for i, op in enumerate(operations)}
    sorter = TopologicalSorter({op.id: [dependency.id for dependency in op.dependencies] for op in operations})
    sorter.prepare()
    ready: list[int] = []
    while sorter.is_active():
        for name in sorter.get_ready():
            heappush(ready, place[name])
        op = operations[heappop(ready)]
        draft.order.append(op)
        sorter.done(op.id)
    draft.index = {op.id: i for i, op in enumerate(draft.order)}


PASSES: tuple[Callable[[Draft], None], ...] = (
    order_operations,
    plan_servers,  # what is there and matches is kept, the rest is made
    find_targets,  # which servers a task service operation or a command works on
    take_listed,  # who installs what where, as written
    expand_requirements,  # what that requires, and the order on each server
    refuse_conflicts,
    check_needs,  # what a server must be able to do
    fill_variables,
    form_clusters,  # which servers an install joins together
    chain_installs,
    plan_commands,
)


def told_by_the_file(workflow: Workflow, catalogue: Mapping[str, Taskserv]) -> tuple[Diagnostic, ...]:
    """What planning will find in a workflow whatever the providers say, errors and warnings; nothing is contacted."""
    draft = Draft(workflow, catalogue, Observations())
    for each in PASSES[: PASSES.index(chain_installs)]:
        each(draft)
    return tuple(draft.problems)


def build(
    workflow: Workflow,
    catalogue: Mapping[str, Taskserv],
    observations: Observations,
    *,
    warnings: tuple[Diagnostic, ...] = (),
    simulation: dict[str, Scalar] | None = None,
) -> PlanResult:
    """Plan a workflow that has passed its contracts: names are unique, what it refers to exists, nothing is circular.

    Every problem of the whole batch is in the diagnostics; `warnings` are the loader's and are passed through.
    """
    draft = Draft(workflow, catalogue, observations)
    for each in PASSES:
        each(draft)
    told = {(one.code, one.message) for one in warnings}
    problems = (one for one in draft.problems if (one.code, one.message) not in told)
    diagnostics = (*warnings, *observations.troubles, *problems)
    if not any(one.severity is Severity.ERROR for one in diagnostics):
        diagnostics += tuple(_unresolved(draft))
    if any(one.severity is Severity.ERROR for one in diagnostics):
        return PlanResult(None, diagnostics)
    return PlanResult(_plan(draft, diagnostics, simulation), diagnostics)


def _unresolved(draft: Draft) -> list[Diagnostic]:
    """What has no step must have a trouble that says why; it is refused even if an adapter forgot to say it."""
    planned = {step.id for steps in draft.steps.values() for step in steps}
    return [
        Diagnostic(
            code="server-unresolved",
            message=f'the provider "{place.provider}" did not say how to create the server "{place.name}"',
            where=place.step,
            hint="This is a bug in the provider's adapter.",
        )
        for places in draft.places.values()
        for place in places
        if place.step not in planned
    ] + [
        Diagnostic(
            code="command-unresolved",
            message="its program was not resolved",
            where=op.id,
            hint="This is a bug in Batchwright.",
        )
        for _, op in draft.commands()
        if op.id not in draft.observations.commands
    ]


def _plan(draft: Draft, warnings: tuple[Diagnostic, ...], simulation: dict[str, Scalar] | None) -> Plan:
    workflow = draft.workflow
    used = {op.provider for _, op in draft.server_batches()}
    steps = tuple(step for i in range(len(draft.order)) for step in draft.steps[i])
    assert len({step.id for step in steps}) == len(steps), "two steps have the same name"
    return Plan(
        workflow=workflow.name,
        version=workflow.version,
        storage_backend=workflow.storage_backend,
        parallel_limit=workflow.parallel_limit,
        rollback_enabled=workflow.rollback_enabled,
        operations=tuple(_operation(workflow, op) for op in draft.order),
        steps=steps,
        providers=tuple(draft.observations.providers[name].facts for name in sorted(used)),
        warnings=warnings,
        simulation=simulation,
    )


def _operation(workflow: Workflow, op: Operation) -> PlannedOperation:
    return PlannedOperation(
        id=op.id,
        type=str(op.__struct_config__.tag),
        provider=op.provider,
        lane=_lane(op),
        dependencies=op.dependencies,
        on_failure=op.on_failure or workflow.on_failure,
        retry=op.retry,
        timeout=op.timeout,
    )


def _lane(op: Operation) -> str:
    if isinstance(op, ServerBatch):
        return op.provider
    return COMMAND_LANE if isinstance(op, Command) else TASKSERV_LANE
