"""What a rollback would do, without doing it. Pure: the same candidates and the same order as the rollback itself."""

from __future__ import annotations

import shlex

from msgspec import Struct

from batchwright.engine.backward import Backward
from batchwright.model.actions import Undo
from batchwright.model.lifecycle import StepState
from batchwright.model.plan import CommandRequest, Step
from batchwright.model.run import Run, StepRecord

_WHAT = {Undo.DESTROY: "destroy", Undo.RELEASE: "let go of"}


class PlannedUndo(Struct, frozen=True):
    """One line of the preview.

    `what` is destroy, let go of, remove, run (a command's undo), goes with its server, or stays; and of what is
    attached to a server and not the run's: keep, or cannot destroy (see app/rollback_impact.py).
    """

    step: str
    provider: str
    what: str
    ref: str = ""
    note: str = ""


def preview_rollback(run: Run) -> list[PlannedUndo]:
    """In the order in which it would be undone, then what stays and why."""
    backward = Backward(run)
    lines = [_with_server(run, i) for i in backward.with_server]
    free = [i for queue in backward.ready.values() for i in queue]
    free += [i for _, i in backward.timers] + [i for i in run.in_flight if run.records[i].state is StepState.UNDOING]
    while free:
        for i in dict.fromkeys(free):
            step, record = run.plan.steps[i], run.records[i]
            lines.append(_by_itself(step, record))
            lines += [_with_server(run, other) for other in backward.covered.get(step.id, ())]
            backward.order.end(i)
        free = list(backward.order.free)
        backward.order.free.clear()
    done = {line.step for line in lines}
    lines += [_stays(run, i) for i, step in enumerate(run.plan.steps) if step.id not in done and _worth(run, i)]
    return lines


def _by_itself(step: Step, record: StepRecord) -> PlannedUndo:
    request = step.request
    if isinstance(request, CommandRequest):
        note = "nobody knows how far the command got" if record.doubt else ""
        return PlannedUndo(step.id, step.provider, "run", shlex.join(request.undo), note)
    note = "its create call is in doubt: it is looked for first" if record.doubt else ""
    return PlannedUndo(step.id, step.provider, _WHAT.get(step.undo, "remove"), record.ref, note)


def _with_server(run: Run, i: int) -> PlannedUndo:
    step = run.plan.steps[i]
    return PlannedUndo(step.id, step.provider, "goes with its server", note=step.server)


def _worth(run: Run, i: int) -> bool:
    ran = not run.plan.steps[i].traits.lasts and run.records[i].attempt > 0
    return ran or run.records[i].state is StepState.SUCCEEDED


def _stays(run: Run, i: int) -> PlannedUndo:
    step, record = run.plan.steps[i], run.records[i]
    why = "it was there before this run" if step.traits.lasts else "it has no undo"
    return PlannedUndo(step.id, step.provider, "stays", record.ref, why)
