"""Where the operations of a plan stand in a drawing: layers by the longest way, few crossings. It needs only the plan.

A node is one operation or, where a plan has too many to be drawn, a group of them. Edges that cross layers take a slot
of half a row in each, shared by all edges of their source, so that no edge runs behind a node.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from batchwright.errors import UsageError
from batchwright.model.plan import Plan, PlannedOperation
from batchwright.model.workflow import DependencyKind, DependencyScope
from batchwright.views.graph_clusters import OperationGroup, groups

LAYOUT = 1  # raised with every change of where things stand
NODES = 120  # a drawing of more cannot be read
NODES_MOST = 400  # and one of more takes too long to paint
SWEEPS = 8
SLOT = 0.5  # rows that a passing edge takes


class GraphNode(Struct, frozen=True):
    """A box. `y` is its centre in rows from the top of the drawing; it is one row high.

    `operations` are the ids of those in it: one, or those of a group; its `type` and `provider` are "" if they differ.
    """

    id: str
    type: str
    provider: str
    operations: tuple[str, ...]
    steps: int
    layer: int
    y: float


class GraphEdge(Struct, frozen=True):
    """An edge, from what must end first. `via` are the layer and centre of each slot on its way.

    `per` is `server` if steps wait only for the steps on their own server. Between groups the strictest kind counts.
    """

    source: str
    target: str
    kind: DependencyKind
    per: DependencyScope
    via: tuple[tuple[int, float], ...] = ()


class GraphLayout(Struct, frozen=True):
    """A drawing of a plan, `layers` wide and `rows` high. `group` is the one whose operations it shows, "" for all."""

    layers: int
    rows: float
    nodes: tuple[GraphNode, ...]
    edges: tuple[GraphEdge, ...]
    group: str = ""


def graph_layout(plan: Plan, most: int = NODES, group: str = "") -> GraphLayout:
    """The drawing of a plan with at most so many nodes, or of the operations of one of its groups.

    Raises UsageError if there is no such group.
    """
    operations = list(plan.operations)
    if group:
        wanted = frozenset(op for one in groups(operations, most) if one.id == group for op in one.operations)
        if not wanted:
            raise UsageError(f"there is no group {group!r} in a drawing of {most} nodes", hint="Ask for all first.")
        operations = [op for op in operations if op.id in wanted]
    boxes = groups(operations, NODES_MOST if group else most)
    return _laid_out(plan, {op.id: op for op in operations}, boxes, group)


def _laid_out(
    plan: Plan, operations: dict[str, PlannedOperation], boxes: Sequence[OperationGroup], group: str
) -> GraphLayout:
    box_of = {op: i for i, box in enumerate(boxes) for op in box.operations}
    edges = _edges(operations, box_of)
    before: list[list[int]] = [[] for _ in boxes]
    for source, target in edges:
        before[target].append(source)
    drawing = _Drawing(before)
    counted = dict.fromkeys(operations, 0)
    for step in plan.steps:
        if step.counted and step.operation in counted:
            counted[step.operation] += 1
    top = -min((place.y - place.height / 2 for layer in drawing.layers for place in layer), default=0.0)
    nodes = []
    for i, box in enumerate(boxes):
        members = [operations[op] for op in box.operations]
        types, providers = {op.type for op in members}, {op.provider for op in members}
        nodes.append(
            GraphNode(
                id=box.id,
                type=members[0].type if len(types) == 1 else "",
                provider=members[0].provider if len(providers) == 1 else "",
                operations=box.operations,
                steps=sum(counted[op] for op in box.operations),
                layer=drawing.nodes[i].layer,
                y=drawing.nodes[i].y + top,
            )
        )
    drawn = tuple(
        GraphEdge(
            boxes[source].id,
            boxes[target].id,
            kind,
            per,
            tuple((slot.layer, slot.y + top) for slot in drawing.ways[source, target]),
        )
        for (source, target), (kind, per) in edges.items()
    )
    return GraphLayout(len(drawing.layers), drawing.rows, tuple(nodes), drawn, group)


_STRICT = (DependencyKind.HARD, DependencyKind.FAILED, DependencyKind.SOFT)


def _edges(
    operations: dict[str, PlannedOperation], box_of: dict[str, int]
) -> dict[tuple[int, int], tuple[DependencyKind, DependencyScope]]:
    """The edges between boxes, in plan order."""
    edges: dict[tuple[int, int], tuple[DependencyKind, DependencyScope]] = {}
    for op in operations.values():
        for one in op.dependencies:
            if one.id not in box_of or box_of[one.id] == box_of[op.id]:
                continue
            pair = (box_of[one.id], box_of[op.id])
            kind, per = edges.get(pair, (one.kind, one.per))
            whole = DependencyScope.OPERATION in (per, one.per)
            edges[pair] = (
                min(kind, one.kind, key=_STRICT.index),
                DependencyScope.OPERATION if whole else DependencyScope.SERVER,
            )
    return edges


class _Place:
    """A node, or a slot for the edges of one, in a layer."""

    __slots__ = ("above", "below", "height", "layer", "order", "wish", "y")

    def __init__(self, order: int, layer: int, height: float) -> None:
        self.order, self.layer, self.height = order, layer, height
        self.y = self.wish = 0.0
        self.above: list[_Place] = []  # neighbours in the layer before
        self.below: list[_Place] = []  # and in the layer after


class _Drawing:
    """Layers by the longest way; then each layer is ordered by the mean of its neighbours, back and forth."""

    def __init__(self, before: list[list[int]]) -> None:
        self.nodes = [_Place(i, layer, 1.0) for i, layer in enumerate(_layers(before))]
        self.layers: list[list[_Place]] = [[] for _ in range(1 + max((one.layer for one in self.nodes), default=-1))]
        self.ways: dict[tuple[int, int], list[_Place]] = {}
        for node in self.nodes:
            self.layers[node.layer].append(node)
        slots: dict[tuple[int, int], _Place] = {}  # source and layer
        for target, sources in enumerate(before):
            for source in sources:
                self._connect(source, target, slots)
        for layer in self.layers:
            _stack(layer)
        self._sweep()
        self.rows = max((sum(one.height for one in layer) for layer in self.layers), default=0.0)

    def _connect(self, source: int, target: int, slots: dict[tuple[int, int], _Place]) -> None:
        last, way = self.nodes[source], list[_Place]()
        for layer in range(last.layer + 1, self.nodes[target].layer):
            slot = slots.get((source, layer))
            if slot is None:
                slot = slots[source, layer] = _Place(source, layer, SLOT)
                self.layers[layer].append(slot)
                _join(last, slot)
            way.append(slot)
            last = slot
        _join(last, self.nodes[target])
        self.ways[source, target] = way

    def _sweep(self) -> None:
        best, order = self._length(), [list(layer) for layer in self.layers]
        for sweep in range(SWEEPS):
            forward = sweep % 2 == 0
            for layer in self.layers if forward else reversed(self.layers):
                for one in layer:
                    near = one.above if forward else one.below
                    one.wish = sum(other.y for other in near) / len(near) if near else one.y
                layer.sort(key=_wish)
                _stack(layer)
            if (length := self._length()) < best:
                best, order = length, [list(layer) for layer in self.layers]
        self.layers = order
        for layer in self.layers:
            _stack(layer)

    def _length(self) -> float:
        """How far all edges go up and down."""
        return sum(abs(one.y - other.y) for layer in self.layers for one in layer for other in one.below)


def _layers(before: list[list[int]]) -> list[int]:
    """The length of the longest way to each node; a node may stand before those that it needs."""
    layers = [-1] * len(before)
    for first in range(len(before)):
        path = [first]
        while path:
            node = path[-1]
            unknown = [one for one in before[node] if layers[one] < 0]
            if unknown and layers[node] < 0:
                path += unknown
            else:
                layers[node] = 1 + max((layers[one] for one in before[node]), default=-1)
                path.pop()
    return layers


def _join(above: _Place, below: _Place) -> None:
    above.below.append(below)
    below.above.append(above)


def _wish(place: _Place) -> tuple[float, int]:
    return place.wish, place.order


def _stack(layer: list[_Place]) -> None:
    """Place what is in a layer one under the other, around the middle."""
    y = -sum(one.height for one in layer) / 2
    for one in layer:
        one.y = y + one.height / 2
        y += one.height
