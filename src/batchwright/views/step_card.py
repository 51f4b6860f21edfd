"""All about one step: why it is as it is, its attempts, what it needs, what needs it, and what undoes it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from shlex import quote

from msgspec import Struct

from batchwright.model import events as ev
from batchwright.model.actions import Undo
from batchwright.model.lifecycle import RUN_ENDED
from batchwright.model.plan import FieldChange
from batchwright.model.run import Run, made_something, unsettled
from batchwright.model.workflow import DependencyKind, DependencyScope
from batchwright.operations.registry import type_of
from batchwright.views.display_state import display_state, operation_states
from batchwright.views.run_history import RunHistory
from batchwright.views.step_explanation import Explanation, explained
from batchwright.views.step_pages import StepRow, server_names, step_row
from batchwright.views.timeline import StepBar
from batchwright.views.wait_reasons import Circumstances

NEAR_MOST, STAYS_MOST = 50, 200


class Neighbour(Struct, frozen=True):
    """What a step waits for, or what waits for it. `step` is "" for a whole operation."""

    operation: str
    step: str
    state: str
    kind: DependencyKind
    per: DependencyScope = DependencyScope.OPERATION


class StepCard(Struct, frozen=True):
    """One step of a run as it was after event `seq`, at `time`.

    `does` and `undoes` are what it was planned to do and what undoes that, in words; `undo` is the kind of the latter,
    and `undoable` whether there is something to undo now. `stays` are its newest stays in a state. `commands` show more
    of it or decide about it. `place` of `places` is which of its possible places it is carried out at, from 0. Lists
    are bounded; `..._more` says how many entries are left out.
    """

    run: str
    seq: int
    time: float
    row: StepRow
    why: Explanation
    stays: tuple[StepBar, ...]
    stays_more: int
    changes: tuple[FieldChange, ...]
    does: str
    undoes: str
    undo: Undo
    undoable: bool
    needs: tuple[Neighbour, ...]
    needs_more: int
    then: tuple[Neighbour, ...]
    then_more: int
    commands: tuple[str, ...]
    place: int = 0
    places: int = 1


def step_card(
    run: Run,
    history: RunHistory,
    events: Iterable[tuple[int, ev.AnyEvent]],
    step: str,
    now: float,
    around: Circumstances,
) -> StepCard:
    """The card of the step with this id; `events` are those that `explained` takes. Raises StepNotFound."""
    i = run.step(step)
    planned, record, step_now = run.plan.steps[i], run.records[i], run.steps[i]
    kind, name = type_of(step_now), server_names(run.plan)[i]
    server = name if planned.server else ""
    stays = [StepBar(*one) for one in history.spans(i, run.seq, now)]
    states = operation_states(run)
    needs, then = prerequisites(run, i, states), dependents(run, i, states)
    return StepCard(
        run=run.id,
        seq=run.seq,
        time=now,
        row=step_row(run, name, display_state(run, i), i, now),
        why=explained(run, history, events, step, now, around),
        stays=tuple(stays[-STAYS_MOST:]),
        stays_more=max(0, len(stays) - STAYS_MOST),
        changes=planned.changes,
        does=kind.does(step_now, server),
        undoes=kind.undoes(step_now, server),
        undo=planned.undo,
        undoable=made_something(run, i),
        needs=tuple(needs[:NEAR_MOST]),
        needs_more=max(0, len(needs) - NEAR_MOST),
        then=tuple(then[:NEAR_MOST]),
        then_more=max(0, len(then) - NEAR_MOST),
        commands=_commands(run, i),
        place=record.place,
        places=1 + len(planned.alternatives),
    )


def prerequisites(run: Run, i: int, states: Sequence[str]) -> list[Neighbour]:
    """What a step waits for; `states` are those of the operations."""
    step = run.plan.steps[i]
    operation = run.plan.operations[run.step_operation[i]]
    found = [
        Neighbour(one.id, "", states[run.operation_index[one.id]], one.kind, one.per) for one in operation.dependencies
    ]
    needed = {need.step: need.kind for need in step.needs}
    if step.server:
        needed.setdefault(step.server, DependencyKind.HARD)
    return found + [_step(run, name, kind) for name, kind in needed.items()]


def dependents(run: Run, i: int, states: Sequence[str]) -> list[Neighbour]:
    """What waits for a step; `states` are those of the operations."""
    own = run.plan.steps[i]
    found = [
        Neighbour(op.id, "", states[n], one.kind, one.per)
        for n, op in enumerate(run.plan.operations)
        for one in op.dependencies
        if one.id == own.operation
    ]
    for step in run.plan.steps:
        kind = next((need.kind for need in step.needs if need.step == own.id), None)
        if kind is None and step.server == own.id:
            kind = DependencyKind.HARD
        if kind is not None:
            found.append(_step(run, step.id, kind))
    return found


def _step(run: Run, name: str, kind: DependencyKind) -> Neighbour:
    i = run.index[name]
    return Neighbour(run.plan.steps[i].operation, name, display_state(run, i), kind)


def _commands(run: Run, i: int) -> tuple[str, ...]:
    """What shows more of a step; and, where a person has to decide, what does that."""
    own = f"{run.id} {quote(run.plan.steps[i].id)}"
    found = [f"batchwright explain {own}", f"batchwright logs {own}"]
    if i in run.asking:
        found += [f"batchwright approve {own}", f"batchwright refuse {own}"]
    if unsettled(run, i) and run.status in RUN_ENDED:
        step = quote(run.plan.steps[i].id)
        found += [f"batchwright resume {run.id} --redo {step}", f"batchwright resume {run.id} --skip {step}"]
    return tuple(found)
