"""What a rollback would do, without doing it. Pure; it uses the same candidates and the same order as the rollback."""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct
from msgspec.structs import replace

from batchwright.engine.backward import Backward
from batchwright.model.actions import Undo
from batchwright.model.lifecycle import StepState
from batchwright.model.plan import Step
from batchwright.model.run import Run, StepFoldState
from batchwright.operations.registry import type_of


class UndoKind(StrEnum):
    """What a rollback does about a step, or about something foreign that is attached to its server."""

    DESTROY = "destroy"
    RELEASE = "release"
    REMOVE = "remove"
    RESTORE = "restore"  # what was there before
    RUN = "run"  # the undo that a command names
    FINISH = "finish"  # the removal that the run has begun
    WITH_SERVER = "with-server"  # it goes with its server
    STAYS = "stays"
    GONE = "gone"  # the run destroyed or removed it, and nothing brings it back
    KEEP = "keep"  # attached
    BLOCKED = "blocked"  # what is attached forbids the destroy
    UNKNOWN = "unknown"  # what is attached could not be read


_KINDS = {
    Undo.DESTROY: UndoKind.DESTROY,
    Undo.RELEASE: UndoKind.RELEASE,
    Undo.REMOVE: UndoKind.REMOVE,
    Undo.RESTORE: UndoKind.RESTORE,
    Undo.WITH_SERVER: UndoKind.REMOVE,  # its server is not destroyed by this rollback
    Undo.RUN: UndoKind.RUN,
}


class PlannedUndo(Struct, frozen=True):
    """One line of the preview. `ref` is the object of the undo: a reference, or a program with its arguments."""

    step: str
    provider: str
    what: UndoKind
    ref: str = ""
    note: str = ""


def preview_rollback(run: Run) -> list[PlannedUndo]:
    """The undos in order, then the steps that stay, with the reason."""
    backward = Backward(run)
    lines = [_with_server(run, i) for i in backward.with_server]
    free = [i for queue in backward.ready.values() for i in queue]
    free += [i for _, i in backward.timers] + [i for i in run.in_flight if run.records[i].state is StepState.UNDOING]
    while free:
        for i in dict.fromkeys(free):
            step, record = run.steps[i], run.records[i]
            lines.append(_by_itself(replace(step, request=run.request(i)), record))
            lines += [_with_server(run, other) for other in backward.covered.get(step.id, ())]
            backward.order.end(i)
        free = list(backward.order.free)
        backward.order.free.clear()
    done = {line.step for line in lines}
    lines += [_stays(run, i) for i, step in enumerate(run.steps) if step.id not in done and _worth(run, i)]
    return lines


def _by_itself(step: Step, record: StepFoldState) -> PlannedUndo:
    kind = type_of(step)
    note = kind.doubt_note if record.doubt else ""
    if step.undo is Undo.NOTHING:
        return PlannedUndo(step.id, step.provider, UndoKind.FINISH, step.ref or record.ref, note)
    return PlannedUndo(step.id, step.provider, _KINDS[step.undo], kind.undo_target(step, record), note)


def _with_server(run: Run, i: int) -> PlannedUndo:
    step = run.steps[i]
    return PlannedUndo(step.id, step.provider, UndoKind.WITH_SERVER, note=step.server)


def _worth(run: Run, i: int) -> bool:
    traits = run.steps[i].traits
    if traits.only_looks or traits.holds:
        return False
    return (not traits.lasts and run.records[i].attempt > 0) or run.records[i].state is StepState.SUCCEEDED


def _stays(run: Run, i: int) -> PlannedUndo:
    step, record = run.steps[i], run.records[i]
    if step.traits.removes:
        return PlannedUndo(step.id, step.provider, UndoKind.GONE, step.ref)
    why = "it existed before this run" if step.traits.lasts else "it has no undo"
    return PlannedUndo(step.id, step.provider, UndoKind.STAYS, record.ref, why)
