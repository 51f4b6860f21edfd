"""What the events of closing sweeps, and of calls whose outcome was forgotten, change in a RunFoldState."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from batchwright.model import events as ev
from batchwright.model.fault import Fault, FaultClass
from batchwright.model.lifecycle import STEP_IN_FLIGHT, StepState, next_run_state
from batchwright.model.run_fold_state import RunFoldState
from batchwright.model.step_transition import move


def sweep_started(run: RunFoldState, event: ev.SweepStarted) -> None:
    run.swept.discard(event.lane)
    run.sweeps[event.lane] = run.sweeps.get(event.lane, 0) + 1


def orphan_found(run: RunFoldState, event: ev.OrphanFound) -> None:
    run.strays_found += not event.shared


def orphan_removal_ended(run: RunFoldState, event: ev.OrphanRemovalEnded) -> None:
    # one that is still there is found again by the next round, or ends the sweep with a fault
    if event.fault is None and run.plan.rules.clear_looks:
        for record in run.records:
            if record.stale == event.ref:
                record.stale = ""
                record.turn = run.turn


def sweep_ended(run: RunFoldState, event: ev.SweepEnded) -> None:
    run.swept.add(event.lane)
    if event.fault is not None:
        run.sweep_faults[event.lane] = event.fault
        return
    # a clean sweep is the proof that nothing in doubt was made, and that what was to be destroyed is gone
    doubtful = run.doubtful.pop(event.lane, None) is not None
    for i, record in enumerate(run.records):
        settled = doubtful and record.doubt and record.state not in STEP_IN_FLIGHT
        gone = record.stale and run.plan.rules.clear_looks
        if (settled or gone) and run.lane(i) == event.lane:
            record.doubt = record.doubt and not settled
            record.stale = "" if gone else record.stale
            record.turn = run.turn


def doubt_forgotten(run: RunFoldState, event: ev.DoubtForgotten) -> None:
    run.status = next_run_state(run.status, "doubt_forgotten")
    run.turn = event.turn or run.turn
    run.doubtful.pop(event.lane, None)
    run.sweep_faults.pop(event.lane, None)
    for i, record in enumerate(run.records):
        if not (record.doubt and run.plan.steps[i].traits.sweeps and run.lane(i) == event.lane):
            continue
        if record.state is StepState.STARTED:
            move(run, run.plan.steps[i].id, "doubt_forgotten")
            record.ended_at = event.at
            by = f" by {event.by}" if event.by else ""
            record.fault = Fault(FaultClass.IN_DOUBT, f"the outcome of its call is unknown and was forgotten{by}")
        if not record.ref:
            record.generation += 1  # a later attempt is not mistaken for the call that was forgotten
        record.doubt = False
        record.turn = run.turn


SWEEPS: dict[type[ev.Event], Callable[[RunFoldState, Any], int | None]] = {
    ev.DoubtForgotten: doubt_forgotten,
    ev.SweepStarted: sweep_started,
    ev.OrphanFound: orphan_found,
    ev.OrphanRemovalEnded: orphan_removal_ended,
    ev.SweepEnded: sweep_ended,
}
