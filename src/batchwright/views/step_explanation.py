"""Explains why a step ran, waited, was skipped, retried or undone: the events that led to its current state."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

from batchwright.model import events as ev
from batchwright.model.actions import Action
from batchwright.model.lifecycle import RUN_ENDED, StepState
from batchwright.model.run import Run
from batchwright.operations.registry import type_of
from batchwright.views.next_action import next_action
from batchwright.views.plan_index import plan_index
from batchwright.views.run_history import RunHistory
from batchwright.views.run_provenance import inputs_line
from batchwright.views.step_event_chain import Link, StepChain, ValueOrigin, value_origins
from batchwright.views.step_events import step_event_numbers
from batchwright.views.text_format import counted, duration, one_line, some
from batchwright.views.wait_reasons import (
    LIVE,
    Circumstances,
    approval_reason,
    ended_operations,
    gate_reason,
    open_needs,
    operations_waited_for,
    place_reason,
    retry_reason,
    twin_reason,
    unclear_seconds,
)

S = StepState


class Explanation(Struct, frozen=True):
    """The answer in one sentence, the chain of events that led to it, and what the step still waits for."""

    run: str
    step: str
    operation: str
    provider: str
    action: Action
    state: StepState
    summary: str
    chain: tuple[Link, ...]
    waits_for: tuple[str, ...]
    next: str
    planned_from: str = ""  # the inputs of the run
    values: tuple[ValueOrigin, ...] = ()


def explain(
    run: Run, journal: Iterable[ev.AnyEvent], step: str, now: float, around: Circumstances | None = None
) -> Explanation:
    """Explain a step, given by its full id, from all events of the run so far. Raises StepNotFound."""
    history, events = RunHistory(run.created), [*journal]
    for event in events:
        if not isinstance(event, ev.RunCreated):
            history.take(event)
    first = 1 + history.seq - len(events)
    wanted = step_event_numbers(history, run.step(step), history.seq)
    numbered = [(seq, events[seq - first]) for seq in (1, *wanted) if seq >= first]
    return explained(run, history, numbered, step, now, around)


def explained(
    run: Run,
    history: RunHistory,
    events: Iterable[tuple[int, ev.AnyEvent]],
    step: str,
    now: float,
    around: Circumstances | None = None,
) -> Explanation:
    """The same from the run's history; `events` are those of `step_event_numbers` and the first one of the run."""
    around = around or Circumstances()
    i = run.step(step)
    told = StepChain(run, i, history)
    of_run = {seq: event for seq, event in history.run_events if seq <= run.seq}
    for seq, event in sorted((of_run | dict(events)).items()):
        told.take(seq, event)
    planned = run.steps[i]
    waits = waits_for(run, i, now, around)
    return Explanation(
        run=run.id,
        step=step,
        operation=planned.operation,
        provider=planned.provider,
        action=planned.action,
        state=run.records[i].state,
        summary=_summary(run, i, waits, told.root),
        chain=tuple(told.chain),
        waits_for=waits,
        next=next_action(run, driven=around.driven),
        planned_from=inputs_line(run.created.inputs),
        values=value_origins(run, i),
    )


def waits_for(run: Run, i: int, now: float, around: Circumstances) -> tuple[str, ...]:
    """What a step of a live run still waits for; empty if it does not wait."""
    record = run.records[i]
    if run.status not in LIVE:
        return ()
    if record.state is S.RETRYING:
        assert record.fault is not None
        return (retry_reason(run, record.until, record.fault, around, now),)
    if i in run.asking:
        return (approval_reason(run, i, now),)
    if left := unclear_seconds(run, i, now):
        return (twin_reason(run.steps[i].request.name, left),)
    if record.state is not S.WAITING:
        return ()
    shape = plan_index(run.plan)
    op = run.step_operation[i]
    blockers = [f"operation {name}" for name in operations_waited_for(run, shape, ended_operations(run, shape), op)]
    blockers += [_need_words(run, need, now) for need in open_needs(run, i)]
    return tuple(blockers) or (place_reason(run, run.plan.operations[run.step_operation[i]], run.lane(i), around)[1],)


def _need_words(run: Run, need: str, now: float) -> str:
    """A step that another one still waits for, in words."""
    step, state = run.plan.steps[run.step(need)], run.record(need).state
    if step.traits.counted:
        return f"step {need} ({state.replace('_', ' ')})"
    return gate_reason(run, run.step(need), now)[1].removeprefix("waits for ")


def _summary(run: Run, i: int, waits: tuple[str, ...], root: str) -> str:
    record = run.records[i]
    fault = f"{record.fault.kind}: {one_line(record.fault.message)}" if record.fault else ""
    match record.state:
        case S.WAITING if run.status in RUN_ENDED:
            return f"never started: the run ended first ({run.reason or run.status})"
        case S.CREATED if waits:
            return f"created, not used yet: {waits[0]}"
        case S.WAITING:
            return f"has not started: {waits[0] if waits else f'the run is {run.status}'}"
        case S.ASKING:
            return f"waits for {waits[0]}" if waits else "asked when the run ended"
        case S.RETRYING:
            return f"attempt {record.attempt} failed; {waits[0] if waits else fault}"
        case S.SUCCEEDED if run.plan.steps[i].hold is not None:
            names = [one.name or one.principal for one in run.holds[run.plan.steps[i].id].answers]
            return f"approved by {some(names)}" if names else "nobody answered in time, and the run went on"
        case S.SUCCEEDED if record.reason:
            return f"succeeded: {record.reason}"
        case S.SUCCEEDED if run.plan.steps[i].traits.holds:
            return "passed: what is behind it may begin"
        case S.SUCCEEDED if not record.made:
            return "succeeded: it existed before, so nothing was created and a rollback keeps it"
        case S.SUCCEEDED:
            tries = f" with {counted(record.attempt, 'attempt')}" if record.attempt > 1 else ""
            return f"succeeded in {duration(record.ended_at - record.started_at)}{tries}"
        case S.FAILED if run.plan.steps[i].hold is not None:
            return f"not approved: {record.fault.message if record.fault else ''}"
        case S.FAILED:
            return f"failed after {counted(record.attempt, 'attempt')}: {fault}"
        case S.SKIPPED:
            return f"skipped because {record.reason}" + (f"; the cause: {root}" if root else "")
        case S.NOT_WANTED:
            return f"not wanted: {record.reason}"
        case S.UNDONE:
            return f"undone by the rollback that {run.rolled_back_by or 'somebody'} asked for"
        case S.UNDO_FAILED:
            return f"could not be undone: {fault}"
    return type_of(run.steps[i]).doing(run.steps[i], record)
