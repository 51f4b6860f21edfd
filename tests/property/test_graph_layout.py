"""What holds of every drawing of a plan, whatever its graph: nothing overlaps, and edges only go forward."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batchwright.errors import UsageError
from batchwright.model.plan import Plan, PlannedOperation
from batchwright.model.workflow import Dependency, DependencyKind, DependencyScope, OnFailure, Retry
from batchwright.views.graph_layout import SLOT, GraphLayout, graph_layout
from tests.support.examples import share

ANY = settings(max_examples=share(100), deadline=None)
TYPES = ("server_batch", "taskserv_batch", "check")
WORDS = ("servers", "runtime", "agent")


@st.composite
def plans(draw: st.DrawFn, most: int = 60) -> Plan:
    """Operations without steps, each depending on some before it; few names, so that groups can form."""
    operations: list[PlannedOperation] = []
    for n in range(draw(st.integers(1, most))):
        near = st.integers(max(0, n - 8), n - 1) if n else st.nothing()
        chosen = draw(st.lists(near, unique=True, max_size=3)) if n else []
        edges = tuple(
            Dependency(operations[k].id, draw(st.sampled_from(DependencyKind)), draw(st.sampled_from(DependencyScope)))
            for k in chosen
        )
        name = f"{draw(st.sampled_from(WORDS))}_{n}"
        kind = draw(st.sampled_from(TYPES))
        operations.append(PlannedOperation(name, kind, "upcloud", "upcloud", edges, OnFailure.CONTINUE, Retry(), 1.0))
    return Plan("w", "1", "memory", 1, True, tuple(operations), ())


def check(layout: GraphLayout, plan: Plan, shown: set[str]) -> None:
    """The rules of every drawing."""
    nodes = {node.id: node for node in layout.nodes}
    assert len(nodes) == len(layout.nodes)
    assert sorted(op for node in layout.nodes for op in node.operations) == sorted(shown)
    taken = {(node.layer, node.y - 0.5, node.y + 0.5, node.id) for node in layout.nodes}
    for edge in layout.edges:
        source, target = nodes[edge.source], nodes[edge.target]
        assert source.layer < target.layer
        assert [layer for layer, _ in edge.via] == list(range(source.layer + 1, target.layer))
        # a slot belongs to all edges of its source
        taken |= {(layer, y - SLOT / 2, y + SLOT / 2, f"from {edge.source}") for layer, y in edge.via}
    for layer in range(layout.layers):
        column = sorted((top, bottom) for n, top, bottom, _ in taken if n == layer)
        assert column
        assert column[0][0] >= -1e-9
        assert column[-1][1] <= layout.rows + 1e-9
        assert all(above[1] <= below[0] + 1e-9 for above, below in pairwise(column))
    box = {op: node.id for node in layout.nodes for op in node.operations}
    wanted = {
        (box[one.id], box[op.id])
        for op in plan.operations
        for one in op.dependencies
        if op.id in shown and one.id in shown and box[one.id] != box[op.id]
    }
    assert {(edge.source, edge.target) for edge in layout.edges} == wanted
    assert len(layout.edges) == len(wanted)


@ANY
@given(plans())
def test_nothing_overlaps_and_every_edge_goes_forward(plan: Plan) -> None:
    layout = graph_layout(plan)
    check(layout, plan, {op.id for op in plan.operations})
    layer = {node.id: node.layer for node in layout.nodes}
    for op in plan.operations:  # by the longest way
        assert layer[op.id] == 1 + max((layer[one.id] for one in op.dependencies), default=-1)
    kinds = {(edge.source, edge.target): (edge.kind, edge.per) for edge in layout.edges}
    assert kinds == {(one.id, op.id): (one.kind, one.per) for op in plan.operations for one in op.dependencies}
    assert graph_layout(plan) == layout


@ANY
@given(plans(), st.integers(1, 12))
def test_a_plan_with_too_many_operations_is_drawn_in_groups_that_can_be_opened(plan: Plan, most: int) -> None:
    layout = graph_layout(plan, most)
    assert len(layout.nodes) <= most
    check(layout, plan, {op.id for op in plan.operations})
    for node in layout.nodes:
        if len(node.operations) > 1:
            inside = graph_layout(plan, most, node.id)
            assert inside.group == node.id
            check(inside, plan, set(node.operations))


def test_a_long_chain_and_a_wide_fan_are_drawn() -> None:
    def planned(name: str, *after: str) -> PlannedOperation:
        edges = tuple(Dependency(one) for one in after)
        return PlannedOperation(name, "check", "", "", edges, OnFailure.CONTINUE, Retry(), 1.0)

    chain = [planned(f"a{n}", *([f"a{n - 1}"] if n else [])) for n in range(2_000)]
    fan = [planned("root"), *(planned(f"leaf{n}", "root") for n in range(900))]
    for operations in (chain, fan):
        plan = Plan("w", "1", "memory", 1, True, tuple(operations), ())
        layout = graph_layout(plan)
        check(layout, plan, {op.id for op in operations})
        assert len(layout.nodes) <= 120
        opened = next(one for one in layout.nodes if len(one.operations) > 1)
        inside = graph_layout(plan, group=opened.id)
        check(inside, plan, set(opened.operations))
        assert 1 < len(inside.nodes) <= 400
    with pytest.raises(UsageError, match="no group 'nothing'"):
        graph_layout(plan, group="nothing")
