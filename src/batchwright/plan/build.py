"""From a workflow and observations to a plan: its operation types fill one draft in turn. No provider is contacted."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import date
from graphlib import TopologicalSorter
from heapq import heappop, heappush
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from batchwright.model.diagnostic import Diagnostic, Severity
from batchwright.model.plan import Plan, PlannedOperation
from batchwright.model.scalar import Scalar
from batchwright.model.taskserv import Taskserv
from batchwright.model.templates import Reference
from batchwright.model.workflow import ALL, Operation, Permission, Workflow
from batchwright.operations.base import OperationType
from batchwright.operations.known_values import KnownValues
from batchwright.operations.observations import Observations
from batchwright.operations.per_server_dependencies import add_server_needs, check_server_edges
from batchwright.operations.planner_state import Draft, PlannedServer, Predecessors
from batchwright.operations.registry import type_of, types_in
from batchwright.operations.retirement import Retirement, left_accounts, retirement
from batchwright.operations.suggestions import did_you_mean
from batchwright.operations.waves import add_waves, check_min_success
from batchwright.plan.condition_checks import check_conditions


class PlanResult(Struct, frozen=True):
    """The plan and all diagnostics. There is no plan exactly when one of the diagnostics is an error."""

    plan: Plan | None
    diagnostics: tuple[Diagnostic, ...]


def order_operations(draft: Draft) -> None:
    """Fill `order` and `index`: dependencies first, otherwise as in the file."""
    operations = draft.workflow.operations
    place = {op.id: i for i, op in enumerate(operations)}
    sorter = TopologicalSorter({op.id: [edge.id for edge in op.edges] for op in operations})
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
    _find_targets(draft, {op.id for op in draft.order if type_of(op).targets_all})
    for kind in kinds:
        kind.check(draft)
    if draft.has_server_edges:
        check_server_edges(draft)
    if any(op.min_success is not None for op in draft.order):
        check_min_success(draft)
    _check_accepted(draft)
    check_conditions(draft)
    return kinds


def _check_accepted(draft: Draft) -> None:
    """What `drift.accept` names must exist, or it would hide nothing and nobody would notice."""
    names = [place.name for places in draft.places.values() for place in places]
    for number, accepted in enumerate(draft.workflow.drift.accept):
        field = f"accept.{number}"
        if accepted.server not in names:
            message = f'drift accepts differences of the server "{accepted.server}", which the file does not have'
            hint = did_you_mean(accepted.server, names)
            draft.refuse("drift-server-unknown", message, "drift", hint, f"{field}.server")
        if not accepted.fields and not accepted.taskservs:
            message = f'drift accepts nothing of the server "{accepted.server}"'
            hint = 'Say what may differ: fields = ["plan"], or taskservs = ["nginx"].'
            draft.refuse("drift-accepts-nothing", message, "drift", hint, field)
        try:
            date.fromisoformat(accepted.end)
        except ValueError:
            message = f'there is no day "{accepted.end}"'
            draft.refuse("drift-no-such-day", message, "drift", 'Write a day as "2026-12-31".', f"{field}.end")


def _find_targets(draft: Draft, all_of: Collection[str]) -> None:
    """Fill `targets` with what each operation names among what it depends on, in the order of the servers' operations.

    Those of `all_of` that name none work on all.
    """
    servers = {place.name: place for places in draft.places.values() for place in places}
    batches = sum(1 << i for i in draft.places)
    for i, op, before in draft.walk():
        if op.targets is None:
            draft.targets[i] = _all_before(draft, op, before.all & batches) if op.id in all_of else []
        else:
            draft.targets[i] = _named(draft, op, before, servers)


def _all_before(draft: Draft, op: Operation, batches: int) -> list[PlannedServer]:
    chosen: list[PlannedServer] = []
    while batches:
        lowest = batches & -batches
        chosen += draft.places[lowest.bit_length() - 1]
        batches ^= lowest
    if not chosen:
        draft.refuse(
            "no-targets",
            "there are no target servers: none of the operations it depends on creates any",
            op.id,
            "Add the operation that creates the servers to its dependencies.",
        )
    return chosen


def _named(draft: Draft, op: Operation, before: Predecessors, servers: dict[str, PlannedServer]) -> list[PlannedServer]:
    chosen: dict[int, PlannedServer] = {}
    for number, target in enumerate(op.targets or ()):
        field = f"targets.{number}"
        at = draft.index.get(target)
        if at is not None and target in servers:
            message = f'the target "{target}" is the name of an operation and of a server'
            draft.refuse("target-ambiguous", message, op.id, "Give one of them another name.", field)
        elif at is not None and at not in draft.places:
            message = f'the target "{target}" is an operation that creates no servers'
            hint = "Name a server, or an operation of type server_batch."
            draft.refuse("target-no-servers", message, op.id, hint, field)
        else:
            places = [servers[target]] if at is None else draft.places[at]
            if before.has(places[0].operation):
                chosen.update((place.number, place) for place in places)
            else:
                _refuse_unreached(draft, op, places[0], field)
    return [place for _, place in sorted(chosen.items())]


def _refuse_unreached(draft: Draft, op: Operation, place: PlannedServer, field: str) -> None:
    target = (op.targets or ())[int(field.rpartition(".")[2])]
    maker = draft.order[place.operation].id
    made_by = "" if maker == target else f', which "{maker}" creates,'
    draft.refuse(
        "target-not-depended-on",
        f'it works on "{target}"{made_by}, but does not depend on it',
        op.id,
        f'Add "{maker}" to its dependencies.',
        field,
    )


def _refuse_unknown_reinstalls(draft: Draft) -> None:
    places = [place for places in draft.places.values() for place in places]
    known = {ALL, *(place.name for place in places), *(name for place in places for name in place.installed)}
    for name in draft.workflow.changes.reinstall:
        if name not in known:
            message = f'"{name}" is to be installed again, but no server and no task service has this name'
            draft.refuse("reinstall-unknown", message, "changes", did_you_mean(name, known), "reinstall")


def told_by_the_file(workflow: Workflow, catalogue: Mapping[str, Taskserv]) -> tuple[Diagnostic, ...]:
    """The problems and warnings that do not depend on the providers' answers; no provider is contacted."""
    draft = Draft(workflow, catalogue, Observations())
    _check(draft)
    return tuple(draft.problems)


def wanted_installs(workflow: Workflow, catalogue: Mapping[str, Taskserv]) -> dict[str, frozenset[str]]:
    """The task services that go on each server, by its name, with all that they require; no provider is contacted."""
    if not any(type_of(op).wants(op).installed for op in workflow.operations):
        return {}
    draft = Draft(workflow, catalogue, Observations())
    _check(draft)
    return {place.name: frozenset(place.installed) for places in draft.places.values() for place in places}


def build(
    workflow: Workflow,
    catalogue: Mapping[str, Taskserv],
    observations: Observations,
    *,
    warnings: tuple[Diagnostic, ...] = (),
    simulation: dict[str, Scalar] | None = None,
    base: str = "",
    retire: Permission = Permission.REFUSED,
) -> PlanResult:
    """Plan a workflow that has passed its contracts: names are unique, what it refers to exists, nothing is circular.

    Every problem of the whole batch is in the diagnostics; `warnings` are the loader's and are passed through. `base`
    is the digest of what the environment has; `retire` may allow to destroy what the workflow no longer asks for.
    """
    left = left_accounts(observations.resources, observations.providers, allowed=workflow.changes.other_account)
    draft = Draft(workflow, catalogue, replace(observations, resources=left.kept))
    draft.problems += left.warnings
    kinds = _check(draft)
    for kind in kinds:
        kind.plan(draft)
    if draft.has_server_edges:
        add_server_needs(draft)
    if any(op.waves for op in draft.order):
        add_waves(draft)
    _refuse_unknown_reinstalls(draft)
    retired = retirement(draft, retire)
    draft.problems += retired.diagnostics
    told = {(one.code, one.message) for one in warnings}
    problems = (one for one in draft.problems if (one.code, one.message) not in told)
    diagnostics = (*warnings, *observations.problems, *problems)
    if not any(one.severity is Severity.ERROR for one in diagnostics):
        diagnostics += tuple(one for kind in kinds for one in kind.unplanned(draft))
    if any(one.severity is Severity.ERROR for one in diagnostics):
        return PlanResult(None, diagnostics)
    plan = _plan(draft, retired, diagnostics, simulation, base)
    return PlanResult(replace(plan, left_accounts=left.accounts), diagnostics)


def _plan(
    draft: Draft,
    retired: Retirement,
    warnings: tuple[Diagnostic, ...],
    simulation: dict[str, Scalar] | None,
    base: str,
) -> Plan:
    workflow = draft.workflow
    used = {place.provider for places in draft.places.values() for place in places}
    used |= {one.provider for steps in draft.steps.values() for step in steps for one in step.alternatives}
    planned = [step for i in range(len(draft.order)) for step in draft.steps[i]]
    requests = [request for step in planned for request in step.requests]
    named = {name for request in requests for name in request.references if not Reference(name).is_own}
    steps = (*planned, *retired.steps)
    used |= {step.provider for step in steps if step.retired is not None and not step.server and step.provider}
    assert len({step.id for step in steps}) == len(steps), "two steps have the same name"
    return Plan(
        workflow=workflow.name,
        version=workflow.version,
        storage_backend=workflow.storage_backend,
        parallel_limit=workflow.parallel_limit,
        rollback_enabled=workflow.rollback_enabled,
        operations=(*(_operation(workflow, op) for op in draft.order), *retired.operations),
        steps=steps,
        providers=tuple(draft.observations.providers[name].facts for name in sorted(used)),
        warnings=warnings,
        simulation=simulation,
        environment=workflow.environment_name,
        base=base,
        accepted=workflow.drift.accept,
        notify=workflow.notify,
        values=KnownValues(draft).planned(named) if named else (),
    )


def _operation(workflow: Workflow, op: Operation) -> PlannedOperation:
    return PlannedOperation(
        id=op.id,
        type=op.type,
        provider=op.provider,
        lane=type_of(op).lane or op.provider,
        dependencies=op.edges,
        on_failure=op.on_failure or workflow.on_failure,
        retry=op.retry,
        timeout=op.timeout,
        when=op.when,
        parallel_limit=op.parallel_limit or 0,
        min_success="" if op.min_success is None else str(op.min_success),
        otherwise_on=op.otherwise_on if op.otherwise else (),
    )
