"""The two tables are total, and the pages written from them are up to date."""

from __future__ import annotations

from enum import StrEnum
from typing import Any, get_args

import pytest
from scripts.reference import reference

from batchwright.errors import IllegalTransition
from batchwright.model import events as ev
from batchwright.model.fault import Fault, FaultClass
from batchwright.model.lifecycle import (
    RUN_ENDED,
    RUN_TRANSITIONS,
    STEP_ENDED,
    STEP_IN_FLIGHT,
    STEP_TRANSITIONS,
    RunState,
    StepState,
    next_run_state,
    next_step_state,
)
from batchwright.model.run import Run
from batchwright.model.run_fold_state import HoldFoldState
from batchwright.model.run_snapshot import encode_snapshot
from tests.unit.engine.stage import QUICK, plan_of, servers

TABLES: list[tuple[type[StrEnum], dict[Any, dict[str, Any]], StrEnum]] = [
    (RunState, RUN_TRANSITIONS, RunState.PENDING),
    (StepState, STEP_TRANSITIONS, StepState.WAITING),
]
FAULT = Fault(FaultClass.TRANSIENT, "not now")
STEP = "up/a"

RUN_EVENTS: dict[str, ev.AnyEvent] = {
    "run_started": ev.RunStarted(1.0),
    "run_paused": ev.RunPaused(1.0),
    "run_resumed": ev.RunResumed(1.0),
    "run_completed": ev.RunEnded(1.0, RunState.COMPLETED),
    "run_failed": ev.RunEnded(1.0, RunState.FAILED),
    "run_cancelled": ev.RunEnded(1.0, RunState.CANCELLED),
    "run_reopened": ev.RunReopened(1.0),
    "doubt_forgotten": ev.DoubtForgotten(1.0, "upcloud"),
    "rollback_started": ev.RollbackStarted(1.0),
    "rollback_completed": ev.RollbackEnded(1.0, RunState.ROLLED_BACK),
    "rollback_left_residue": ev.RollbackEnded(1.0, RunState.ROLLBACK_INCOMPLETE, ("something",)),
}
STEP_EVENTS: dict[str, ev.AnyEvent] = {
    "step_started": ev.StepStarted(1.0, STEP, 1, "t"),
    "step_in_doubt": ev.StepInDoubt(1.0, STEP, 1, "reset"),
    "step_created": ev.StepCreated(1.0, STEP, "r1"),
    "step_succeeded": ev.StepSucceeded(1.0, STEP, "r1"),
    "step_retrying": ev.StepRetrying(1.0, STEP, 1, 2.0, FAULT),
    "step_failed": ev.StepFailed(1.0, STEP, 1, FAULT),
    "step_skipped": ev.StepSkipped(1.0, STEP, "because", "of"),
    "step_not_wanted": ev.StepNotWanted(1.0, STEP, "because", "of"),
    "step_moved": ev.StepMoved(1.0, STEP, 1, 0, FAULT, ev.MoveReason.REFUSED, "upcloud", "small", "eu"),
    "gate_passed": ev.GatePassed(1.0, STEP),
    "hold_asked": ev.HoldAsked(1.0, STEP, 1, "digest"),
    "hold_answered": ev.HoldAnswered(1.0, STEP, 1, True, "ada"),
    "hold_granted": ev.HoldGranted(1.0, STEP, 1),
    "hold_passed": ev.HoldPassed(1.0, STEP, 1),
    "hold_refused": ev.HoldRefused(1.0, STEP, 1, FAULT),
    "hold_expired": ev.HoldExpired(1.0, STEP, 1, FAULT),
    "undo_started": ev.UndoStarted(1.0, STEP, 1),
    "undo_retrying": ev.UndoRetrying(1.0, STEP, 1, 2.0, FAULT),
    "step_undone": ev.StepUndone(1.0, STEP),
    "undo_failed": ev.UndoFailed(1.0, STEP, 1, FAULT),
}


def run_in(status: RunState = RunState.RUNNING, state: StepState = StepState.WAITING) -> Run:
    """A run of one step, put into these states."""
    run = Run(ev.RunCreated(0.0, "run", plan_of(QUICK, servers("up", "a"))))
    run.status, run.records[0].state = status, state
    if state is StepState.ASKING:
        run.holds[STEP] = HoldFoldState(1, "digest", 0.0)
    run.derive()
    return run


@pytest.mark.parametrize(("states", "table", "begin"), TABLES, ids=["run", "step"])
def test_every_state_has_a_row_and_can_be_reached(states: Any, table: Any, begin: StrEnum) -> None:
    assert set(table) == set(states)
    reached, left = {begin}, [begin]
    while left:
        for after in table[left.pop()].values():
            if after not in reached:
                reached.add(after)
                left.append(after)
    assert reached == set(states)


def test_every_event_of_the_tables_exists_and_every_event_of_a_state_is_in_a_table() -> None:
    assert {event for row in RUN_TRANSITIONS.values() for event in row} == set(RUN_EVENTS)
    used = {event for row in STEP_TRANSITIONS.values() for event in row}
    assert used - {"run_reopened", "taken_as_done", "doubt_forgotten"} == set(STEP_EVENTS)
    tags = {kind.__struct_config__.tag for kind in get_args(ev.AnyEvent)}
    assert set(STEP_EVENTS) <= tags
    moving = tags - {"step_output"}  # what a call says moves nothing
    assert {tag for tag in moving if tag.startswith(("step_", "undo_", "gate_", "hold_"))} == set(STEP_EVENTS)


@pytest.mark.parametrize("state", StepState)
def test_a_step_is_taken_as_done_as_the_table_says_or_not_at_all(state: StepState) -> None:
    run, reopened = run_in(RunState.FAILED, state), ev.RunReopened(1.0, skip=(STEP,))
    if "taken_as_done" in STEP_TRANSITIONS[state]:
        run.apply(reopened)
        assert run.records[0].state is STEP_TRANSITIONS[state]["taken_as_done"]
        return
    before = encode_snapshot(run)
    with pytest.raises(IllegalTransition, match=f"step {STEP} is {state} and does not accept taken_as_done"):
        run.apply(reopened)
    assert encode_snapshot(run) == before


@pytest.mark.parametrize("name", RUN_EVENTS)
@pytest.mark.parametrize("state", RunState)
def test_a_run_changes_as_the_table_says_or_not_at_all(state: RunState, name: str) -> None:
    run = run_in(state)
    if name in RUN_TRANSITIONS[state]:
        run.apply(RUN_EVENTS[name])
        assert run.status is RUN_TRANSITIONS[state][name] is next_run_state(state, name)
        return
    before = encode_snapshot(run)
    with pytest.raises(IllegalTransition, match=f"a run that is {state} does not accept {name}"):
        run.apply(RUN_EVENTS[name])
    assert run.status is state
    assert encode_snapshot(run) == before


@pytest.mark.parametrize("name", STEP_EVENTS)
@pytest.mark.parametrize("state", StepState)
def test_a_step_changes_as_the_table_says_or_not_at_all(state: StepState, name: str) -> None:
    run = run_in(state=state)
    if name in STEP_TRANSITIONS[state]:
        assert run.apply(STEP_EVENTS[name]) == 0
        after = STEP_TRANSITIONS[state][name]
        assert run.records[0].state is after is next_step_state(state, name, STEP)
        assert (run.count(after), 0 in run.in_flight) == (1, after in STEP_IN_FLIGHT)
        return
    before = encode_snapshot(run)
    with pytest.raises(IllegalTransition, match=f"step up/a is {state} and does not accept {name}"):
        run.apply(STEP_EVENTS[name])
    assert run.records[0].state is state
    assert encode_snapshot(run) == before
    assert (run.count(state), 0 in run.in_flight) == (1, state in STEP_IN_FLIGHT)


@pytest.mark.parametrize("state", StepState)
def test_a_reopened_run_moves_the_steps_that_the_table_says(state: StepState) -> None:
    run = run_in(RunState.FAILED, state)
    run.apply(RUN_EVENTS["run_reopened"])
    assert run.records[0].state is STEP_TRANSITIONS[state].get("run_reopened", state)


def test_ended_states() -> None:
    assert {state for state in RunState if "run_completed" not in RUN_TRANSITIONS[state]} >= RUN_ENDED
    assert not RUN_ENDED & {RunState.PENDING, RunState.RUNNING, RunState.PAUSED, RunState.ROLLING_BACK}
    assert not STEP_ENDED & STEP_IN_FLIGHT


def test_the_reference_tells_every_state_and_event() -> None:
    pages = "".join(reference().values())
    for word in (*RunState, *StepState, *(kind.__struct_config__.tag for kind in get_args(ev.AnyEvent))):
        assert word in pages
    assert pages.count("stateDiagram-v2") == 2
