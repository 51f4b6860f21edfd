"""Dependencies per server: which steps wait for which on their own server, and where that cannot work. Pure."""

from __future__ import annotations

from msgspec.structs import replace

from batchwright.model.plan import Need
from batchwright.model.workflow import Dependency, DependencyKind, DependencyScope
from batchwright.operations.planner_state import Draft, names_of
from batchwright.operations.registry import type_of

WHOLE = 'Depend on all of it: "{}" instead of the record with `per`.'


def check_server_edges(draft: Draft) -> None:
    """Refuse dependencies per server between operations that share no server or that join servers."""
    for i, op in enumerate(draft.order):
        for number, edge in enumerate(op.dependencies):
            if edge.per is DependencyScope.SERVER:
                _check(draft, i, edge, f"dependencies.{number}")


def _check(draft: Draft, i: int, edge: Dependency, field: str) -> None:
    op, other = draft.order[i], draft.order[draft.index[edge.id]]
    hint = WHOLE.format(edge.id)
    if _has_no_servers(draft, i) or i in draft.places:
        what = "creates servers" if i in draft.places else "does not work on servers"
        draft.refuse("per-server-nowhere", f'it depends on "{edge.id}" per server, and {what}', op.id, hint, field)
        return
    if _has_no_servers(draft, draft.index[edge.id]):
        message = f'it depends on "{edge.id}" per server, which does not work on servers'
        draft.refuse("per-server-nowhere", message, op.id, hint, field)
        return
    for one in (op, other):
        if type_of(one).joins_servers(draft, draft.index[one.id]):
            message = f'it depends on "{edge.id}" per server, and "{one.id}" joins servers to a cluster'
            draft.refuse("per-server-cluster", message, op.id, f"A cluster needs all of them. {hint}", field)
            return
    _check_common(draft, i, edge, field)


def _has_no_servers(draft: Draft, i: int) -> bool:
    """Whether an operation is on no servers at all. One whose targets were refused only lacks them."""
    op = draft.order[i]
    return i not in draft.places and op.targets is None and not type_of(op).targets_all


def _check_common(draft: Draft, i: int, edge: Dependency, field: str) -> None:
    there = draft.numbers_of(draft.index[edge.id])
    without = [place for place in draft.targets[i] if place.number not in there]
    if not without:
        return
    message = f'it depends on "{edge.id}" per server, which does nothing on {names_of(without)}'
    if len(without) == len(draft.targets[i]):
        draft.refuse("per-server-nowhere", message, draft.order[i].id, WHOLE.format(edge.id), field)
    else:
        hint = f'There it does not wait for "{edge.id}". To wait for all of it, write "{edge.id}" alone.'
        draft.warn("per-server-partly", message, draft.order[i].id, hint)


def add_server_needs(draft: Draft) -> None:
    """Give the steps of such operations a need on each step that they depend on, on their own server."""
    for i, op in enumerate(draft.order):
        wanted = [draft.index[edge.id] for edge in op.dependencies if edge.per is DependencyScope.SERVER]
        if not wanted:
            continue
        on: dict[str, list[Need]] = {}
        for other in wanted:
            for step in draft.steps.get(other, ()):
                if step.retired is None:
                    on.setdefault(step.server or step.id, []).append(Need(step.id, DependencyKind.SOFT))
        draft.steps[i] = [replace(step, needs=(*step.needs, *on.get(step.server, ()))) for step in draft.steps[i]]


def follows_per_server(draft: Draft, i: int) -> list[int]:
    """The operations that depend on this one per server, or on one that does, however far."""
    found = [i]
    for at, op in enumerate(draft.order):
        if any(edge.per is DependencyScope.SERVER and draft.index[edge.id] in found for edge in op.dependencies):
            found.append(at)
    return found[1:]
