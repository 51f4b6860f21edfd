"""When what happened: a band for each operation, bars for the steps of those that are opened, processes and pauses.

A band has one bucket for each pixel column. A bucket never hides a failure: failures stand beside it, counted.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Iterator, Sequence

from msgspec import Struct

from batchwright.model.lifecycle import RUN_ENDED, STEP_ENDED
from batchwright.model.run import Run
from batchwright.model.workflow import DependencyScope
from batchwright.views.display_state import (
    BUSY,
    LOST,
    RANK,
    DisplayState,
    display_counts,
    display_state,
    operation_state,
)
from batchwright.views.eta import expected_spans
from batchwright.views.run_history import DriverLife, HistoryMark, RunHistory
from batchwright.views.time_scale import AxisPart, TimeAxis

D = DisplayState
FEW_STEPS = 40  # of a run whose steps all have rows of their own
STEPS_MOST = 500  # rows of steps in one answer
PAST = {
    D.STARTED: {D.FAILED: D.FAILED, D.RETRYING: D.RETRYING},
    D.CREATED: {D.FAILED: D.FAILED, D.RETRYING: D.RETRYING},
    D.UNDOING: {D.UNDO_FAILED: D.UNDO_FAILED, D.UNDO_RETRYING: D.UNDO_RETRYING},
}  # what became of a call, by how it went on
WELL = {D.STARTED: D.SUCCEEDED, D.CREATED: D.SUCCEEDED, D.UNDOING: D.UNDONE}
DRAWN = BUSY | {D.ASKING}


class OperationBand(Struct, frozen=True):
    """How many steps of an operation were in which state in each column.

    `buckets` are runs of equal columns: the first column, then a number for each of `states`; the last one of a stretch
    has only zeros. `failures` are columns and how many steps failed in them. `most` is the largest sum of a column.
    `begin` and `end` are 0 if it has not begun, or goes on; `expected` is from when to when the rest of it may take.
    """

    operation: str
    state: str
    steps: int
    begin: float
    end: float
    most: int
    states: tuple[DisplayState, ...]
    buckets: list[list[int]]
    failures: list[tuple[int, int]]
    expected: tuple[float, float] | None = None


class StepBar(Struct, frozen=True):
    """A stay in a state: from, to, the state and what followed. What lasts has the end of what is known, and no next
    state. Stays within one column are one bar, with the worst state of them.
    """

    begin: float
    end: float
    state: DisplayState
    next: DisplayState | None


class StepBars(Struct, frozen=True):
    """One step: its state and since when it is in it, 0 if it never left its first one.

    `ready` is when nothing kept it from beginning but its place, 0 if that has not happened or is not known.
    """

    index: int
    step: str
    operation: str
    state: DisplayState
    since: float
    ready: float
    bars: tuple[StepBar, ...]
    failures: tuple[float, ...]


class Timeline(Struct, frozen=True):
    """What happened from `begin` to `end`, in `width` columns. Times are seconds since the epoch.

    `run_begin` and `now` are the whole of it. `columns` are runs of equal columns: the first one, and the newest event
    at its end. `steps_more` says how many rows of the opened operations follow.
    """

    run: str
    seq: int
    run_begin: float
    now: float
    begin: float
    end: float
    width: int
    axis: tuple[AxisPart, ...]
    columns: list[tuple[int, int]]
    lives: tuple[DriverLife, ...]
    marks: tuple[HistoryMark, ...]
    operations: tuple[OperationBand, ...]
    steps: tuple[StepBars, ...]
    steps_more: int


class TimelineQuery(Struct, frozen=True):
    """What is looked at: from when to when (None: all), in how many columns, and the operations that are opened.

    `fold` is the width of a folded pause, 0 for none; `first` is how many rows of steps were shown before. `ahead`: and
    the time that the rest may take, up to half of what has passed.
    """

    width: int = 1000
    begin: float | None = None
    end: float | None = None
    fold: int = 44
    opened: Collection[str] = ()
    first: int = 0
    rows: int = STEPS_MOST
    ahead: bool = False


def timeline(history: RunHistory, run: Run, now: float, query: TimelineQuery, *, driven: bool = True) -> Timeline:
    """The timeline of a run as it was after the event that `run` has got to; `now` is the time then."""
    seq = run.seq
    now = max(history.at(seq), run.ended_at if run.status in RUN_ENDED else now)
    began = run.created_at
    begin = began if query.begin is None else query.begin
    expected = expected_spans(run, history.shape, now)
    end = max(begin, now if query.end is None else query.end)
    if query.ahead and query.end is None and begin < now:
        end = max(end, min(max((one[1] for one in expected if one), default=now), now + (now - begin) / 2))
    lives = history.lives(seq, driven=driven)
    axis = TimeAxis(begin, end, query.width, [*history.quiet(seq, now), *_undriven(lives, now)], query.fold)
    opened = _opened(run, query)
    shown = opened[query.first : query.first + query.rows]
    ends: dict[int, float] = {}
    return Timeline(
        run=run.id,
        seq=seq,
        run_begin=began,
        now=now,
        begin=begin,
        end=end,
        width=query.width,
        axis=tuple(axis.parts),
        columns=_columns(history, seq, axis),
        lives=lives,
        marks=history.marks(seq),
        operations=_bands(history, run, now, axis, expected),
        steps=tuple(_bars(history, run, i, now, axis, _ready(run, i, ends)) for i in shown),
        steps_more=max(0, len(opened) - query.first - len(shown)),
    )


def _undriven(lives: Sequence[DriverLife], now: float) -> Iterator[tuple[float, float]]:
    """From when to when no process drove the run."""
    for n, life in enumerate(lives):
        if life.why:
            yield life.end, lives[n + 1].begin if n + 1 < len(lives) else now


def _columns(history: RunHistory, seq: int, axis: TimeAxis) -> list[tuple[int, int]]:
    columns: list[tuple[int, int]] = []
    times, number = history.times, 0
    shown = bisect_right(times, axis.end, 0, seq)
    while number < shown:
        column = axis.column(times[number])
        number = bisect_right(times, column, number, shown, key=axis.column)
        columns.append((column, number))
    return columns


def _opened(run: Run, query: TimelineQuery) -> list[int]:
    """The steps that have rows of their own."""
    if len(run.records) <= FEW_STEPS:
        return list(range(len(run.records)))
    wanted = frozenset(query.opened)
    return [i for op in run.plan.operations if op.id in wanted for i in run.operation_steps[run.operation_index[op.id]]]


# -- bands ----------------------------------------------------------------------------------------------------------


def _bands(
    history: RunHistory, run: Run, now: float, axis: TimeAxis, expected: Sequence[tuple[float, float] | None]
) -> tuple[OperationBand, ...]:
    counts = display_counts(run)
    bands = []
    for op, planned in enumerate(run.plan.operations):
        band = _Band(axis)
        for i in run.operation_steps[op]:
            band.add(history, i, run.seq, now)
        states, buckets, most = band.buckets()
        going = any(state in DRAWN or state is D.WAITING for state in counts[op])
        bands.append(
            OperationBand(
                operation=planned.id,
                state=operation_state(run, op, counts[op]),
                steps=sum(counts[op].values()),
                begin=band.begin,
                end=0.0 if going else band.end,
                most=most,
                states=states,
                buckets=buckets,
                failures=sorted(band.failures.items()),
                expected=expected[op],
            )
        )
    return tuple(bands)


def band_state(state: DisplayState, following: DisplayState | None) -> DisplayState:
    """What a band shows of a stay in a state that went on like this: a call that is over shows what became of it."""
    if following is None or state not in WELL:
        return state
    return PAST[state].get(following, WELL[state])


class _Band:
    """Gathers the steps of one operation: where the number in a state rises and falls."""

    def __init__(self, axis: TimeAxis) -> None:
        self.begin = self.end = 0.0
        self.failures: dict[int, int] = {}
        self._axis = axis
        self._changes: dict[DisplayState, dict[int, int]] = {}

    def add(self, history: RunHistory, i: int, seq: int, now: float) -> None:
        """Count a step once in each column in which it was in a state."""
        covered: dict[DisplayState, int] = {}
        for begin, end, state, following in history.spans(i, seq, now):
            if state in LOST:
                self._fail(begin)
            elif state in DRAWN:
                if not self.begin or begin < self.begin:
                    self.begin = begin
                if end > self.end:
                    self.end = end
                self._cover(begin, end, band_state(state, following), covered)

    def _cover(self, begin: float, end: float, shown: DisplayState, covered: dict[DisplayState, int]) -> None:
        where = self._axis.columns(begin, end)
        if where is None:
            return
        first, last = where
        if shown in covered:
            first = max(first, covered[shown])
            if first >= last:
                return
        covered[shown] = last
        changes = self._changes.setdefault(shown, {})
        changes[first] = changes.get(first, 0) + 1
        changes[last] = changes.get(last, 0) - 1

    def _fail(self, at: float) -> None:
        if self._axis.begin <= at <= self._axis.end:
            column = self._axis.column(at)
            self.failures[column] = self.failures.get(column, 0) + 1

    def buckets(self) -> tuple[tuple[DisplayState, ...], list[list[int]], int]:
        """The states that occur, the runs of equal columns, and the largest sum."""
        states = tuple(sorted(self._changes, key=RANK.__getitem__))
        changes: dict[int, list[int]] = {}
        for n, state in enumerate(states):
            for x, by in self._changes[state].items():
                if by:
                    changes.setdefault(x, [0] * len(states))[n] = by
        now, runs, most = [0] * len(states), list[list[int]](), 0
        for x in sorted(changes):
            now = [number + by for number, by in zip(now, changes[x], strict=True)]
            most = max(most, sum(now))
            runs.append([x, *now])
        return states, runs, most


# -- bars -----------------------------------------------------------------------------------------------------------


def _bars(history: RunHistory, run: Run, i: int, now: float, axis: TimeAxis, ready: float) -> StepBars:
    bars: list[StepBar] = []
    failures: list[float] = []
    since = 0.0
    place = -1  # the column in which the last bar began and ended
    for begin, end, state, following in history.spans(i, run.seq, now):
        since = begin
        if state in LOST:
            failures.append(begin)
        where = axis.columns(begin, end) if state in DRAWN else None
        if where is None:
            continue
        if where == (place, place + 1) and following is not None:
            last = bars[-1]
            state, following = min((last.state, last.next), (state, following), key=_badness)
            bars[-1] = StepBar(last.begin, end, state, following)
        else:
            bars.append(StepBar(begin, end, state, following))
        place = where[0] if where[1] == where[0] + 1 else -1
    step = run.plan.steps[i]
    failed = tuple(at for at in failures if axis.begin <= at <= axis.end)
    return StepBars(i, step.id, step.operation, display_state(run, i), since, ready, tuple(bars), failed)


def _ready(run: Run, i: int, ends: dict[int, float]) -> float:
    """When all that a step waits for had ended; `ends` remembers that of operations."""
    step, record = run.plan.steps[i], run.records[i]
    times = [run.started_at]
    for one in run.plan.operations[run.step_operation[i]].dependencies:
        if one.per is DependencyScope.OPERATION:
            op = run.operation_index[one.id]
            if op not in ends:
                ends[op] = _end(run, run.operation_steps[op])
            times.append(ends[op])
    if step.needs:
        times.append(_end(run, [run.index[need.step] for need in step.needs]))
    ready = max(times) if all(times) else 0.0
    return ready if not record.started_at or ready <= record.started_at else 0.0  # something was undone since


def _end(run: Run, steps: list[int]) -> float:
    ends = [run.records[i].ended_at for i in steps if run.records[i].state in STEP_ENDED]
    return max(ends, default=0.0) if len(ends) == len(steps) else 0.0


def _badness(stay: tuple[DisplayState, DisplayState | None]) -> int:
    return RANK[band_state(*stay)]
