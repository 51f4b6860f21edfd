"""Waves: the servers of an operation, in groups that begin one after the other, each behind a gate. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from batchwright.model.actions import Action, Undo
from batchwright.model.operation_end import share
from batchwright.model.plan import OLD, Hold, Need, Step
from batchwright.model.step_graph import circle, step_graph
from batchwright.model.workflow import DependencyKind, HoldAfter, OnExpiry, Operation, WaveHold
from batchwright.operations.approval import HoldRequest
from batchwright.operations.per_server_dependencies import follows_per_server
from batchwright.operations.planner_state import Draft, names_of
from batchwright.operations.registry import type_of
from batchwright.operations.taskserv_batch import TaskservRequest

SOFT = DependencyKind.SOFT


def check_min_success(draft: Draft) -> None:
    """Refuse a number of steps that an operation does not have."""
    for i, op in enumerate(draft.order):
        steps = type_of(op).step_count(draft, i) if isinstance(op.min_success, int) else 0
        if steps and isinstance(op.min_success, int) and op.min_success > steps:
            message = f"min_success is {op.min_success}, and it has {steps} step{'s' if steps > 1 else ''}"
            hint = f'Write a number up to {steps}, or a share such as "90%".'
            draft.refuse("min-success-too-large", message, op.id, hint, "min_success")


def wave_sizes(waves: Sequence[int | str], servers: int) -> list[int]:
    """How many servers each wave has. Shares are of all `servers`, rounded up; the last entry repeats.

    >>> wave_sizes([1, 5, "50%"], 20)
    [1, 5, 10, 4]
    """
    sizes: list[int] = []
    while left := servers - sum(sizes):
        size = waves[min(len(sizes), len(waves) - 1)]
        sizes.append(min(left, share(str(size), servers)))
    return sizes


def add_waves(draft: Draft) -> None:
    """Put the steps of each operation with `waves` into waves. Refuses waves that wait for themselves."""
    gated = [i for i, op in enumerate(draft.order) if op.waves and _divide(draft, i, op.waves)]
    for i in gated:
        _wait_for_followers(draft, i)
        _warn_of_bare_servers(draft, i)
    if gated:
        _refuse_circle(draft, gated)


def server_of(step: Step) -> str:
    """The step that makes the server which a step is about."""
    return step.server or step.id.removesuffix(OLD)


def _stays(step: Step) -> bool:
    """Whether it only finds what is there already as it should be."""
    return step.traits.lasts and not step.traits.retries and step.adopts is None


def _divide(draft: Draft, i: int, waves: Sequence[int | str]) -> bool:
    """Put what changes something into waves, with gates between them; says whether there is more than one."""
    op, steps = draft.order[i], draft.steps[i]
    changing = [step for step in steps if not _stays(step)]
    members = {server_of(step): _member(step) for step in reversed(changing)}
    servers = sorted(dict.fromkeys(map(server_of, changing)), key=lambda server: members[server])
    sizes = wave_sizes(waves, len(servers))
    if len(sizes) < 2:
        return False
    numbers = (number for number, size in enumerate(sizes, 1) for _ in range(size))
    wave_of = dict(zip(servers, numbers, strict=True))
    placed = [
        replace(step, wave=wave, needs=(*step.needs, Need(gate_id(op, wave))) if wave > 1 else step.needs)
        if not _stays(step) and (wave := wave_of[server_of(step)])
        else step
        for step in steps
    ]
    gates = [_gate(op, wave, sizes, placed) for wave in range(2, len(sizes) + 1)]
    # in the order in which they may begin; a gate before its wave
    draft.steps[i] = sorted(
        (*gates, *placed), key=lambda step: step.wave if step.traits.holds else wave_of.get(server_of(step), 0)
    )
    return True


def _member(step: Step) -> int:
    """The number of its server in the cluster that it forms, if it forms one: the leader is first."""
    cluster = step.request.cluster if isinstance(step.request, TaskservRequest) else None
    return cluster.number if cluster is not None else 0


def gate_id(op: Operation, wave: int) -> str:
    """The step that a wave begins behind."""
    return f"{op.id}/(wave {wave})"


def _gate(op: Operation, wave: int, sizes: Sequence[int], steps: Sequence[Step]) -> Step:
    asks = op.hold_after is HoldAfter.EACH or (op.hold_after is HoldAfter.FIRST and wave == 2)
    question = f"Begin wave {wave} of {len(sizes)} of {op.id}, on {sizes[wave - 1]} of {sum(sizes)} servers?"
    return Step(
        id=gate_id(op, wave),
        operation=op.id,
        provider="",
        action=Action.GATE,
        undo=Undo.NOTHING,
        request=HoldRequest(f"wave {wave}", question if asks else ""),
        needs=(
            *(Need(step.id, SOFT) for step in steps if step.wave == wave - 1),
            *((Need(gate_id(op, wave - 1)),) if wave > 2 else ()),
        ),
        seconds=0.0,
        wave=wave,
        hold=_hold(op) if asks else None,
    )


def _hold(op: Operation) -> Hold:
    said = op.hold or WaveHold()
    return Hold(said.of, said.quorum, said.expires or 0.0, go_on=said.on_expiry is OnExpiry.GO_ON)


def _wait_for_followers(draft: Draft, i: int) -> None:
    """A wave has ended only when what follows it per server has ended on its servers."""
    steps = draft.steps[i]
    wave_of = {server_of(step): step.wave for step in steps if step.wave and not step.traits.holds}
    after: dict[int, list[Need]] = {}
    for other in follows_per_server(draft, i):
        for step in draft.steps[other]:
            if step.server in wave_of:
                after.setdefault(wave_of[step.server], []).append(Need(step.id, SOFT))
    draft.steps[i] = [
        replace(step, needs=(*step.needs, *after.get(step.wave - 1, ()))) if step.traits.holds else step
        for step in steps
    ]


def _warn_of_bare_servers(draft: Draft, i: int) -> None:
    """Servers that are replaced wave by wave stay bare until the last wave if their services wait for all of them."""
    replaced = [place for place in draft.places.get(i, ()) if place.old is not None and not place.old_gone]
    numbers = {place.number for place in replaced}
    per_server = follows_per_server(draft, i)
    bare = [
        op.id
        for at, op in enumerate(draft.order)
        if at not in per_server and at not in draft.places and numbers & draft.numbers_of(at)
    ]
    if replaced and bare:
        message = f'{names_of(replaced)} are all replaced before "{bare[0]}" begins: they have no services until then'
        hint = f'Let "{bare[0]}" depend on it per server: {{ id = "{draft.order[i].id}", per = "server" }}.'
        draft.warn("replace-without-services", message, draft.order[i].id, hint)


def _refuse_circle(draft: Draft, gated: Sequence[int]) -> None:
    operations = [(op.id, op.dependencies) for op in draft.order]
    steps = [step for i in range(len(draft.order)) for step in draft.steps[i]]
    nodes = circle(step_graph(operations, steps))
    if not nodes:
        return
    by_id = {step.id: step for step in steps}
    touched = [by_id[name].operation if kind == "step" else name for kind, name in nodes]
    op = next(draft.order[i].id for i in gated if draft.order[i].id in touched)
    others = [name for name in dict.fromkeys(touched) if name != op]
    if others:
        message = f'a wave ends only when "{others[0]}" has ended on its servers, and "{others[0]}" waits for all waves'
        hint = f'Let "{others[0]}" depend on nothing that waits for all of "{op}", or leave the waves out.'
    else:
        names = [by_id[name].request.name for kind, name in nodes if kind == "step" and by_id[name].counted]
        message = f'"{names[0]}" needs all servers at once, and the waves begin one after the other'
        hint = f'Install "{names[0]}" in an operation of its own, or leave the waves out.'
    draft.refuse("wave-circle", message, op, hint, "waves")
