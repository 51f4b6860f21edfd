"""Which servers an operation works on: those it names among what it depends on; task services else on all of those."""

from __future__ import annotations

from collections.abc import Collection

from batchwright.model.workflow import Operation
from batchwright.operations.draft import Draft, PlannedServer, Predecessors


def find_targets(draft: Draft, all_of: Collection[str]) -> None:
    """Fill `targets`, in the order of the servers' operations. Those of `all_of` that name none work on all."""
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
