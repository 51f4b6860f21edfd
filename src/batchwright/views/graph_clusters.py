"""Groups of operations, for drawings of plans that have too many. No group depends on itself by way of others."""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from graphlib import TopologicalSorter
from itertools import count

from msgspec import Struct

from batchwright.model.plan import PlannedOperation

_PARTS = re.compile(r"[A-Za-z]+|[0-9]+")


class OperationGroup(Struct, frozen=True):
    """Operations that are drawn as one; a single one keeps its own id."""

    id: str
    operations: tuple[str, ...]


def groups(operations: Sequence[PlannedOperation], most: int) -> list[OperationGroup]:
    """All operations in at most so many groups, in the order of the plan.

    Those of one layer, one type and similar names stand together first, then more and more of each layer, at last whole
    layers. Groups within layers have only edges from a lower layer to a higher one, so no cycle can come of it.
    """
    if len(operations) <= most:
        return [OperationGroup(op.id, (op.id,)) for op in operations]
    layer = _layers(operations)
    found: dict[Hashable, list[PlannedOperation]] = {}
    for key in _keys(layer):
        found = {}
        for op in operations:
            found.setdefault(key(op), []).append(op)
        if len(found) <= most:
            break
    if len(found) == 1:  # nothing tells them apart; what is next to each other in a plan has no way back either
        size = -(-len(operations) // most)
        return _named(list(operations[at : at + size]) for at in range(0, len(operations), size))
    return _named(found.values())


def _keys(layer: dict[str, int]) -> Iterator[Callable[[PlannedOperation], Hashable]]:
    """From fine to coarse; the last ones give as few groups as one likes."""
    yield lambda op: (layer[op.id], op.type, op.provider, _stem(op.id))
    yield lambda op: (layer[op.id], op.type, _stem(op.id))
    yield lambda op: (layer[op.id], op.type)
    for wide in (2**n for n in count()):
        yield lambda op, wide=wide: layer[op.id] // wide  # type: ignore[misc]


def _layers(operations: Sequence[PlannedOperation]) -> dict[str, int]:
    known = {op.id for op in operations}
    needing = {op.id: [one.id for one in op.dependencies if one.id in known] for op in operations}
    layers: dict[str, int] = {}
    for name in TopologicalSorter(needing).static_order():
        layers[name] = 1 + max((layers[one] for one in needing[name]), default=-1)
    return layers


def _stem(name: str) -> str:
    """The first word of a name, by which people tell kinds of operations apart: `servers` of `servers_de-fra1`."""
    return next(iter(_PARTS.findall(name)), name)


def _named(members: Iterable[list[PlannedOperation]]) -> list[OperationGroup]:
    found: list[OperationGroup] = []
    taken: set[str] = set()
    for ops in members:
        ids = tuple(op.id for op in ops)
        name = ids[0] if len(ids) == 1 else _common(ids)
        number = count(2)
        wanted = name
        while name in taken:
            name = f"{wanted} {next(number)}"
        taken.add(name)
        found.append(OperationGroup(name, ids))
    return found


def _common(ids: tuple[str, ...]) -> str:
    """`servers_* (12)`: what all names begin with, and how many there are."""
    first, last = min(ids), max(ids)
    same = next((i for i, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), min(len(first), len(last)))
    return f"{first[:same]}* ({len(ids)})"
