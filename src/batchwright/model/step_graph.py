"""Everything in a plan that waits for something else, as one graph: operations are barriers, steps have needs. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from graphlib import CycleError, TopologicalSorter

from batchwright.model.plan import PlannedOperation, Step
from batchwright.model.workflow import Dependency, DependencyScope

Node = tuple[str, str]  # "begin" or "end" with an operation, "step" with a step
StepGraph = dict[Node, list[Node]]  # what each one waits for


def barriers(dependencies: Sequence[Dependency]) -> list[str]:
    """The operations that are waited for as a whole."""
    return [one.id for one in dependencies if one.per is DependencyScope.OPERATION]


def step_graph(operations: Sequence[tuple[str, Sequence[Dependency]]], steps: Sequence[Step]) -> StepGraph:
    """The graph of these operations, given by id and dependencies, and their steps."""
    members: dict[str, list[str]] = {op: [] for op, _ in operations}
    for step in steps:
        members[step.operation].append(step.id)
    graph: StepGraph = {}
    for op, dependencies in operations:
        graph["begin", op] = [("end", other) for other in barriers(dependencies)]
        graph["end", op] = [("begin", op), *(("step", step) for step in members[op])]
    for step in steps:
        server = [("step", step.server)] if step.server else []
        graph["step", step.id] = [("begin", step.operation), *server, *(("step", need.step) for need in step.needs)]
    return graph


def circle(graph: StepGraph) -> list[Node]:
    """Nodes that wait for one another, the first also last; empty if there are none."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def edges_of(operations: Sequence[PlannedOperation]) -> list[tuple[str, Sequence[Dependency]]]:
    """The operations of a plan as `step_graph` takes them."""
    return [(op.id, op.dependencies) for op in operations]
