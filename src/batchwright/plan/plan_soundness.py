"""What is wrong with a plan that comes from a file: whatever the planner never does. Pure."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

from msgspec.structs import replace

from batchwright.model.actions import Doubt, Undo
from batchwright.model.environment import NAME_PATTERN, Resource
from batchwright.model.machine_rules import SEMANTICS
from batchwright.model.plan import Plan, Step
from batchwright.model.step_graph import StepGraph, circle, step_graph
from batchwright.model.workflow import Dependency, DependencyScope
from batchwright.operations.base import PortKind
from batchwright.operations.registry import TYPES, type_of

_TYPES = {kind.name: kind for kind in TYPES}
_LEAST = re.compile("[1-9][0-9]{0,8}|[1-9][0-9]?%|100%")
_ENVIRONMENT = re.compile(f"{NAME_PATTERN}(?:/{NAME_PATTERN})?")


def plan_flaws(plan: Plan) -> tuple[str, ...]:
    """Every way in which the plan contradicts itself or the operation types; the planner's plans have none."""
    return (*_of_plan(plan), *_of_operations(plan), *_of_steps(plan))


def record_flaws(plan: Plan, resources: Iterable[Resource]) -> tuple[str, ...]:
    """Steps that would take away or change what the environment does not have under these labels."""
    resources = tuple(resources)
    known = {one.key: one for one in resources}
    servers = {(one.provider, one.ref): one for one in resources if not one.server and one.ref}
    left = {(one.provider, one.ref): one for each in resources for one in each.leftover_servers}
    on_left = {each.key for one in resources for other in one.leftovers for each in other.former}
    flaws: list[str] = []
    for step in plan.steps:
        if step.retired is not None:
            if step.server and step.retired.key in on_left:
                continue  # what is on a server goes by the server, which another step finds
            one = left.get((step.provider, step.ref)) if step.leftover else known.get(step.retired.key)
            flaws += _of_retired(step, one)
        elif step.before is not None:
            flaws += _of_before(step, servers.get((step.provider, step.ref)))
    return tuple(flaws)


def _of_retired(step: Step, one: Resource | None) -> Iterator[str]:
    assert step.retired is not None
    if one is None:
        yield f"{step.id} retires {step.retired.key}, which the environment does not have"
    elif (step.retired.run, step.retired.token, step.provider) != (one.run, one.token, one.provider):
        yield f"{step.id} retires {one.name} under other labels than those it was created with"
    elif not one.server and step.ref not in (one.ref, ""):
        yield f"{step.id} retires {step.ref}, and {one.name} is {one.ref or 'not there'}"


def _of_before(step: Step, one: Resource | None) -> Iterator[str]:
    assert step.before is not None
    if step.server:
        return  # what is on a server goes by the server
    if one is None:
        yield f"{step.id} changes {step.ref}, which the environment does not have"
    elif (step.before.run, step.before.token) != (one.run, one.token):
        yield f"{step.id} changes {one.name} under other labels than those it was created with"


def _of_plan(plan: Plan) -> Iterator[str]:
    if plan.semantics != SEMANTICS:
        yield f"it was made for rules of version {plan.semantics}, and this Batchwright plans by version {SEMANTICS}"
    if not _ENVIRONMENT.fullmatch(plan.environment or plan.workflow):
        yield "the name of its environment is not one"
    if plan.parallel_limit < 1:
        yield f"parallel_limit is {plan.parallel_limit}"
    yield from (f"the provider {name} stands in it twice" for name in _twice(one.name for one in plan.providers))


def _of_operations(plan: Plan) -> Iterator[str]:
    known = {op.id for op in plan.operations}
    yield from (f"the operation {name} stands in it twice" for name in _twice(op.id for op in plan.operations))
    for op in plan.operations:
        kind = _TYPES.get(op.type)
        if kind is None:
            yield f"{op.id} has the unknown type {op.type}"
        elif op.lane != (kind.lane or op.provider):
            yield f"{op.id} uses the limits of {op.lane}"
        if op.min_success and not _LEAST.fullmatch(op.min_success):
            yield f"{op.id} cannot be a success with {op.min_success} of its steps"
        waits = kind is not None and kind.port is PortKind.NONE  # for people, who have their own time
        if op.timeout < 0 or (op.timeout == 0 and not waits) or op.retry.max_attempts < 1:
            yield f"{op.id} has no time or no attempts"
        strange = [one.id for one in op.dependencies if one.id not in known]
        yield from (f"{op.id} depends on {name}, which is not in it" for name in strange)


def _of_steps(plan: Plan) -> Iterator[str]:
    operations = {op.id: op for op in plan.operations}
    steps = {step.id: step for step in plan.steps}
    providers = {one.name for one in plan.providers}
    edges = {op.id: {one.id: one.per for one in op.dependencies} for op in plan.operations}
    yield from (f"the step {name} stands in it twice" for name in _twice(step.id for step in plan.steps))
    for step in plan.steps:
        op, kind = operations.get(step.operation), type_of(step)
        if op is None or (op.type != kind.name and step.traits.counted):
            yield f"{step.id} belongs to no operation of its type"
        if not _needs_fit(step, steps, edges):
            yield f"{step.id} waits for a step that is not in its operation"
        if step.server and (step.server not in steps or type_of(steps[step.server]).port is not PortKind.PROVIDER):
            yield f"{step.id} works on {step.server}, which is no server of the plan"
        if kind.port is PortKind.PROVIDER and step.provider not in providers:
            yield f"{step.id} is at {step.provider}, of which the plan says nothing"
        for one in step.alternatives:
            if one.provider not in providers or not step.traits.sweeps:
                yield f"{step.id} cannot be created at {one.provider} otherwise"
        if kind.port is PortKind.RUNNER and not step.server:
            yield f"{step.id} is installed on no server"
        if step.action not in kind.actions or not _is_whole(step):
            yield f"{step.id} cannot {step.action}"
    yield from _circles(plan)


def _needs_fit(step: Step, steps: Mapping[str, Step], edges: Mapping[str, Mapping[str, DependencyScope]]) -> bool:
    """Whether it waits for steps of its own operation, or of one that is depended on per server; a gate also for what
    follows its wave on its servers.
    """
    own = edges.get(step.operation, {})
    for need in step.needs:
        other = steps.get(need.step)
        if other is None:
            return False
        per_server = own.get(other.operation) is DependencyScope.SERVER and step.server in (other.id, other.server)
        follows = step.traits.holds and step.wave > 0 and other.server != ""
        if other.operation != step.operation and not per_server and not follows:
            return False
    return True


def _is_whole(step: Step) -> bool:
    """Whether it has what its action needs, and an undo that fits."""
    if (step.retired is not None) != step.traits.removes or (step.undo is Undo.RESTORE and step.before is None):
        return False
    if step.traits.holds:
        return step.undo is Undo.NOTHING and (step.wave > 1 if not step.traits.counted else step.hold is not None)
    if step.traits.doubt is Doubt.NONE:  # it only finds what is there
        return bool(step.ref or step.server) and step.undo is Undo.NOTHING
    return not step.traits.removes or step.undo is Undo.NOTHING


def _twice(names: Iterable[str]) -> list[str]:
    return [name for name, count in Counter(names).items() if count > 1]


def _circles(plan: Plan) -> Iterator[str]:
    known, steps = {op.id for op in plan.operations}, {step.id for step in plan.steps}
    edges = [(op.id, [one for one in op.dependencies if one.id in known]) for op in plan.operations]
    placed = [step for step in plan.steps if step.operation in known]
    whole = [
        replace(
            step,
            needs=tuple(need for need in step.needs if need.step in steps),
            server=step.server if step.server in steps else "",
        )
        for step in placed
    ]
    for what, nodes in (("operations", circle(_operations_alone(edges))), ("steps", circle(step_graph(edges, whole)))):
        if nodes:
            yield f"its {what} wait for one another: {', '.join(name for _, name in nodes)}"
            return


def _operations_alone(edges: Sequence[tuple[str, Sequence[Dependency]]]) -> StepGraph:
    """The operations with all dependencies, also those per server: their order in a plan respects these too."""
    return {("begin", op): [("begin", one.id) for one in dependencies] for op, dependencies in edges}
