"""Why a run does not go on, or what it does: one sentence, and what stands behind it."""

from __future__ import annotations

from itertools import islice

from msgspec import Struct

from batchwright.model.lifecycle import RUN_ENDED, RunState, StepState
from batchwright.model.run import Run
from batchwright.views.approvals import OpenQuestion, open_questions
from batchwright.views.display_state import display_state
from batchwright.views.failure_causes import FailureCause, failure_causes
from batchwright.views.next_action import next_action
from batchwright.views.plan_index import PlanIndex
from batchwright.views.run_history import HistoryMark, RunHistory
from batchwright.views.step_pages import StepRow, server_names, step_row
from batchwright.views.text_format import counted, one_line
from batchwright.views.wait_reasons import Circumstances, WaitingSteps, ended_operations, waiting_reasons

FLYING_MOST, CAUSES_MOST, MARKS_MOST = 20, 5, 10


class RunWhy(Struct, frozen=True):
    """The answer for a run as it was after event `seq`, at `time`.

    `waiting` are the steps that could still run, by what they wait for; `marks` what happened last to the whole run;
    `next` the command to type. Lists are bounded; `..._more` says how many entries are left out.
    """

    run: str
    seq: int
    time: float
    status: RunState
    driven: bool
    sentence: str
    next: str
    waiting: tuple[WaitingSteps, ...]
    asks: tuple[OpenQuestion, ...]
    in_flight: tuple[StepRow, ...]
    in_flight_more: int
    failures: tuple[FailureCause, ...]
    failures_more: int
    marks: tuple[HistoryMark, ...]


def run_why(run: Run, history: RunHistory, now: float, around: Circumstances) -> RunWhy:
    """Why the run does not go on, or what it does."""
    waiting = waiting_reasons(run, history.shape, ended_operations(run, history.shape), around, now)
    asks, causes = open_questions(run), failure_causes(run)
    flying = list(islice(run.in_flight, FLYING_MOST))
    servers = server_names(run.plan) if flying else []
    return RunWhy(
        run=run.id,
        seq=run.seq,
        time=now,
        status=run.status,
        driven=around.driven and run.status not in RUN_ENDED,
        sentence=_sentence(run, history.shape, around, waiting, asks),
        next=next_action(run, driven=around.driven),
        waiting=tuple(waiting),
        asks=asks,
        in_flight=tuple(step_row(run, servers[i], display_state(run, i), i, now) for i in flying),
        in_flight_more=len(run.in_flight) - len(flying),
        failures=causes.items[:CAUSES_MOST],
        failures_more=len(causes.items) + causes.items_more - len(causes.items[:CAUSES_MOST]),
        marks=history.marks(run.seq)[-MARKS_MOST:],
    )


def _sentence(
    run: Run,
    shape: PlanIndex,
    around: Circumstances,
    waiting: list[WaitingSteps],
    asks: tuple[OpenQuestion, ...],
) -> str:
    if run.status in RUN_ENDED:
        return _ended_sentence(run, shape)
    if not around.driven:
        return "No process drives this run, so nothing goes on."
    if run.status is RunState.PENDING:
        return "It has not begun."
    flying = counted(len(run.in_flight), "step")
    if run.status is RunState.ROLLING_BACK:
        left = [counted(one.steps, "step") + f": {one.reason}" for one in waiting[:1]]
        return f"It rolls back: {flying} in flight" + "".join(f"; {words}" for words in left) + "."
    if run.status is RunState.PAUSED:
        return f"It is paused: {flying} in flight, and no new one starts."
    if run.cancelling:
        return f"It is being cancelled: {flying} in flight, and no new one starts."
    if run.stopping:
        return f"It stops because step {run.stopping} failed: {flying} in flight, and no new one starts."
    asked = f"{asks[0].step} asks: {one_line(asks[0].question)}" if asks else ""
    if run.in_flight:
        return f"It goes on: {flying} in flight." + (f" {asked}" if asked else "")
    if asked:
        return f"It waits for people: {asked}"
    if waiting:
        return f"Nothing is in flight. {counted(waiting[0].steps, 'step')}: {waiting[0].reason}."
    return "Nothing is in flight, and nothing is left to begin."


def _ended_sentence(run: Run, shape: PlanIndex) -> str:
    if run.status is RunState.ROLLED_BACK:
        return f"It was rolled back: {counted(run.count(StepState.UNDONE), 'step')} undone."
    if run.status is RunState.ROLLBACK_INCOMPLETE:
        return f"The rollback left something: {counted(len(run.residue), 'thing')} could not be undone."
    steps = sum(map(len, shape.steps)) - run.count(StepState.NOT_WANTED)
    done = f"{run.count(StepState.SUCCEEDED):,} of {counted(steps, 'step')} done"
    because = f" ({one_line(run.reason)})" if run.reason else ""
    return f"It has ended, {run.status}{because}: {done}."
