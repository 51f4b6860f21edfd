"""A workflow and what was observed, to a plan: its operation types fill one draft in turn. Nothing is contacted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from graphlib import TopologicalSorter
from heapq import heappop, heappush
from typing import Any

from msgspec import Struct

from batchwright.model.diagnostic import Diagnostic, Severity
from batchwright.model.plan import Plan, PlannedOperation
from batchwright.model.scalar import Scalar
from batchwright.model.taskserv import Taskserv
from batchwright.model.workflow import Operation, Workflow
from batchwright.operations.base import OperationType
from batchwright.operations.draft import Draft
from batchwright.operations.observations import Observations
from batchwright.operations.registry import type_of, types_in
from batchwright.operations.targets import find_targets


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


def _check(draft: Draft) -> Sequence[OperationType[Any]]:
    """Judge all that can be judged before the steps are made; gives the types of the operations."""
    order_operations(draft)
    kinds = types_in(draft.order)
    for kind in kinds:
        kind.place_servers(draft)
    find_targets(draft, {op.id for op in draft.order if type_of(op).targets_all})
    for kind in kinds:
        kind.check(draft)
    return kinds


def told_by_the_file(workflow: Workflow, catalogue: Mapping[str, Taskserv]) -> tuple[Diagnostic, ...]:
    """What planning will find in a workflow whatever the providers say, errors and warnings; nothing is contacted."""
    draft = Draft(workflow, catalogue, Observations())
    _check(draft)
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
    kinds = _check(draft)
    for kind in kinds:
        kind.plan(draft)
    told = {(one.code, one.message) for one in warnings}
    problems = (one for one in draft.problems if (one.code, one.message) not in told)
    diagnostics = (*warnings, *observations.problems, *problems)
    if not any(one.severity is Severity.ERROR for one in diagnostics):
        diagnostics += tuple(one for kind in kinds for one in kind.unplanned(draft))
    if any(one.severity is Severity.ERROR for one in diagnostics):
        return PlanResult(None, diagnostics)
    return PlanResult(_plan(draft, diagnostics, simulation), diagnostics)


def _plan(draft: Draft, warnings: tuple[Diagnostic, ...], simulation: dict[str, Scalar] | None) -> Plan:
    workflow = draft.workflow
    used = {place.provider for places in draft.places.values() for place in places}
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
        type=op.type,
        provider=op.provider,
        lane=type_of(op).lane or op.provider,
        dependencies=op.dependencies,
        on_failure=op.on_failure or workflow.on_failure,
        retry=op.retry,
        timeout=op.timeout,
    )
