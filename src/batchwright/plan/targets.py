"""Which servers a task service operation works on: those made by what it depends on, or those it names among them."""

from __future__ import annotations

from collections import Counter

from batchwright.model.workflow import ServerBatch, TaskservBatch
from batchwright.plan.draft import Before, Draft, Place
from batchwright.plan.wording import did_you_mean, enumerated


def find_targets(draft: Draft) -> None:
    """Fill `targets`, in the order of the servers' operations."""
    servers: dict[str, list[Place]] = {}
    batches = 0
    for i, places in draft.places.items():
        batches |= 1 << i
        for place in places:
            servers.setdefault(place.name, []).append(place)
    for i, op, before in draft.walk():
        if not isinstance(op, TaskservBatch):
            continue
        if op.targets is None:
            chosen = _all_before(draft, op, before.all & batches)
        else:
            chosen = _named(draft, op, before, servers)
        _refuse_same_names(draft, op, chosen)
        draft.targets[i] = chosen


def _all_before(draft: Draft, op: TaskservBatch, batches: int) -> list[Place]:
    chosen: list[Place] = []
    while batches:
        lowest = batches & -batches
        chosen += draft.places[lowest.bit_length() - 1]
        batches ^= lowest
    if not chosen:
        draft.refuse(
            "no-targets",
            "there is no server to work on: none of the operations it depends on makes one",
            op.id,
            "Add the operation that makes the servers to its dependencies.",
        )
    return chosen


def _named(draft: Draft, op: TaskservBatch, before: Before, servers: dict[str, list[Place]]) -> list[Place]:
    chosen: dict[int, Place] = {}
    unknown: list[str] = []
    for target in op.targets or ():
        at = draft.index.get(target)
        candidates = servers.get(target, []) if at is None else draft.places.get(at, [])
        if at is not None and target in servers:
            draft.refuse(
                "target-ambiguous",
                f'the target "{target}" is the name of an operation and of a server',
                op.id,
                "Give one of them another name.",
            )
        elif at is not None and not isinstance(draft.order[at], ServerBatch):
            draft.refuse(
                "target-no-servers",
                f'the target "{target}" is an operation that makes no servers',
                op.id,
                "Name an operation of type server_batch, or a server.",
            )
        elif not candidates:
            unknown.append(target)
        else:
            reached = [place for place in candidates if before.has(place.operation)]
            if not reached:
                _refuse_unreached(draft, op, target, candidates[0])
            chosen.update((place.number, place) for place in reached)
    if unknown:
        draft.refuse(
            "target-unknown",
            f"no operation and no server is named {enumerated(unknown)}",
            op.id,
            did_you_mean(unknown[0], [*draft.index, *servers]),
        )
    if not op.targets:
        draft.refuse("no-targets", "its targets are an empty list", op.id, "Name servers, or leave targets out.")
    return [place for _, place in sorted(chosen.items())]


def _refuse_unreached(draft: Draft, op: TaskservBatch, target: str, place: Place) -> None:
    maker = draft.order[place.operation].id
    made_by = "" if maker == target else f', which "{maker}" makes'
    draft.refuse(
        "target-not-depended-on",
        f'it works on "{target}"{made_by}, and does not depend on it',
        op.id,
        f'Add "{maker}" to its dependencies.',
    )


def _refuse_same_names(draft: Draft, op: TaskservBatch, chosen: list[Place]) -> None:
    """Steps are named after servers, so that two targets of one name could not be told apart."""
    twice = sorted(name for name, count in Counter(place.name for place in chosen).items() if count > 1)
    if twice:
        draft.refuse(
            "target-ambiguous",
            f"more than one of its targets is named {enumerated(twice)}",
            op.id,
            "Give the servers different names, or split the operation.",
        )
