"""The operations of a run as strips: how many steps are in each state, and each step in the order of the plan."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from itertools import groupby

from msgspec import Struct

from batchwright.model.lifecycle import RunState
from batchwright.model.run import Run
from batchwright.views.display_state import (
    DisplayState,
    display_counts,
    display_state,
    display_states,
    operation_state,
    total,
)
from batchwright.views.plan_index import PlanIndex
from batchwright.views.run import operation_progress
from batchwright.views.wait_reasons import ended_operations

CELLS, CELLS_MOST = 40, 10_000  # steps of an operation that a strip has one by one


class WaveGate(Struct, frozen=True):
    """What a wave begins behind."""

    step: str
    wave: int
    state: DisplayState


class OperationStrip(Struct, frozen=True):
    """One operation. `state` is the worst of its steps, `degraded`, or how far it has got; `word` says it for people.

    `counts` are of the steps that count. `strip` are runs of equal states in the order of the plan; it is empty for
    operations with more steps than were asked for. `done` of `total` counts undone steps in a rollback. `begin` and
    `end` are when its first step began and its last one ended, 0 if that has not happened.
    """

    id: str
    type: str
    provider: str
    state: str
    word: str
    done: int
    total: int
    counts: dict[DisplayState, int]
    strip: list[tuple[DisplayState, int]]
    begin: float
    end: float
    waiting_for: tuple[str, ...]
    despite: tuple[str, ...] = ()
    gates: tuple[WaveGate, ...] = ()
    wave: int = 0
    waves: int = 0


class OperationStrips(Struct, frozen=True):
    """All operations of a run as it was after event `seq`, at `time`. `counts` are of all steps that count."""

    run: str
    seq: int
    time: float
    status: RunState
    counts: dict[DisplayState, int]
    items: tuple[OperationStrip, ...]


def operation_strips(
    run: Run, shape: PlanIndex, now: float, cells: int = CELLS, only: Collection[str] = ()
) -> OperationStrips:
    """The strips of all operations, or of `only` these; `shape` is `plan_index(run.plan)`."""
    counts, states = display_counts(run), display_states(run)
    rows = operation_progress(run, shape, ended_operations(run, shape))
    strips = []
    for op, row in enumerate(rows):
        if only and row.id not in only:
            continue
        steps = shape.steps[op]
        begin, end = _times(run, run.operation_steps[op])
        strips.append(
            OperationStrip(
                id=row.id,
                type=row.type,
                provider=row.provider,
                state=operation_state(run, op, counts[op]),
                word=row.state,
                done=row.done,
                total=row.total,
                counts=counts[op],
                strip=_runs(states[i] for i in steps) if len(steps) <= cells else [],
                begin=begin,
                end=end,
                waiting_for=row.waiting_for,
                despite=row.despite,
                gates=tuple(
                    WaveGate(run.plan.steps[i].id, run.plan.steps[i].wave, display_state(run, i))
                    for i in run.gates[op]
                    if run.plan.steps[i].traits.holds
                ),
                wave=row.wave,
                waves=row.waves,
            )
        )
    return OperationStrips(run.id, run.seq, now, run.status, total(counts), tuple(strips))


def _runs(states: Iterable[DisplayState]) -> list[tuple[DisplayState, int]]:
    return [(state, sum(1 for _ in same)) for state, same in groupby(states)]


def _times(run: Run, steps: list[int]) -> tuple[float, float]:
    records = [run.records[i] for i in steps]
    begin = min((one.started_at for one in records if one.started_at), default=0.0)
    ends = [one.ended_at for one in records]
    return begin, max(ends, default=0.0) if all(ends) else 0.0
