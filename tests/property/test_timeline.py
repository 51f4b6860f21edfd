"""What holds of every timeline: no failure is lost, every number is the fold's, no bucket is wider than a column."""

from __future__ import annotations

import math

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from batchwright.model import events as ev
from batchwright.model.lifecycle import STEP_ENDED, RunState
from batchwright.model.run import Run
from batchwright.model.workflow import DependencyScope
from batchwright.views.display_state import BUSY, LOST, DisplayState, display_counts, display_states
from batchwright.views.run_history import RunHistory, history_of
from batchwright.views.timeline import DRAWN, Timeline, TimelineQuery, band_state, timeline
from tests.property.histories import journals
from tests.support.examples import share

ANY = settings(max_examples=share(80), deadline=None, suppress_health_check=[HealthCheck.too_slow])
Journal = list[ev.AnyEvent]


def spans(journal: Journal) -> list[list[tuple[float, float, DisplayState, DisplayState | None]]]:
    """What a step was at every moment, from one fold after each event; a killed process ends with its last event."""
    run, last = Run.replay(journal[:1]), journal[0].at
    known = display_states(run)
    found: list[list[tuple[float, float, DisplayState, DisplayState | None]]] = [[] for _ in known]
    since: list[float] = [0.0] * len(known)
    for event in journal[1:]:
        run.apply(event)
        at = last if isinstance(event, ev.DriverStarted) else event.at
        for i, state in enumerate(display_states(run)):
            if state is not known[i]:
                if since[i]:
                    found[i].append((since[i], at, known[i], state))
                known[i], since[i] = state, at
        last = event.at
    for i, state in enumerate(known):
        if since[i]:
            found[i].append((since[i], last, state, None))
    return found


def shown(journal: Journal, **query: object) -> tuple[Timeline, RunHistory, Run]:
    history, run = history_of(journal), Run.replay(journal)
    return timeline(history, run, journal[-1].at, TimelineQuery(**query)), history, run  # type: ignore[arg-type]


def columns_of(told: Timeline, begin: float, end: float) -> range:
    """The columns that a span touches, from the parts of the axis alone."""

    def x(at: float) -> float:
        part = next((one for one in reversed(told.axis) if one.begin <= at), told.axis[0])
        return part.x + (at - part.begin) * ((part.until - part.x) / (part.end - part.begin))

    if end < told.axis[0].begin or begin > told.axis[-1].end:
        return range(0)
    first = min(max(int(x(begin)), 0), told.width - 1)
    return range(first, min(max(first + 1, math.ceil(x(end))), told.width))


@ANY
@given(journals(), st.integers(1, 400), st.sampled_from([0, 1, 44]))
def test_each_bucket_counts_the_steps_that_were_in_a_state_in_its_column(
    journal: Journal, width: int, fold: int
) -> None:
    told, _, run = shown(journal, width=width, fold=fold)
    truth = spans(journal)
    for op, band in enumerate(told.operations):
        steps: dict[tuple[int, DisplayState], set[int]] = {}
        lost = 0
        for i in run.operation_steps[op]:
            for begin, end, state, following in truth[i]:
                lost += state in LOST
                for x in columns_of(told, begin, end) if state in DRAWN else ():
                    steps.setdefault((x, band_state(state, following)), set()).add(i)
        counted = {}
        for n, (x, *numbers) in enumerate(band.buckets):
            until = band.buckets[n + 1][0] if n + 1 < len(band.buckets) else width
            assert 0 <= x < until <= width or not any(numbers)
            for column in range(x, until):
                counted |= {(column, state): k for state, k in zip(band.states, numbers, strict=True) if k}
        assert counted == {key: len(which) for key, which in steps.items()}
        sums: dict[int, int] = {}
        for (x, _), number in counted.items():
            sums[x] = sums.get(x, 0) + number
        assert band.most == max(sums.values(), default=0)
        assert sum(number for _, number in band.failures) == lost  # decimation loses none
        assert all(0 <= x < width for x, _ in band.failures)


@ANY
@given(journals(), st.data())
def test_a_part_of_the_timeline_shows_the_failures_of_that_part(journal: Journal, data: st.DataObject) -> None:
    times = st.floats(journal[0].at, journal[-1].at + 5.0)
    begin, end = sorted((data.draw(times), data.draw(times)))
    told, _, run = shown(journal, width=data.draw(st.integers(1, 50)), begin=begin, end=end)
    truth = spans(journal)
    for op, band in enumerate(told.operations):
        there = [a for i in run.operation_steps[op] for a, _, state, _ in truth[i] if state in LOST]
        assert sum(n for _, n in band.failures) == sum(begin <= a <= end for a in there)


@ANY
@given(journals(), st.data())
def test_every_number_is_that_of_the_fold_at_that_event(journal: Journal, data: st.DataObject) -> None:
    seq = data.draw(st.integers(1, len(journal)))
    history, run = history_of(journal), Run.replay(journal[:seq])
    now = journal[seq - 1].at
    told = timeline(history, run, now, TimelineQuery(width=200))
    assert (told.seq, told.now) == (seq, now)
    # what happened afterwards does not show
    assert told == timeline(history_of(journal[:seq]), run, now, TimelineQuery(width=200))
    states = display_states(run)
    counts = display_counts(run)
    for op, band in enumerate(told.operations):
        of_steps: dict[DisplayState, int] = {}
        for i in run.operation_steps[op]:
            if run.plan.steps[i].counted:
                of_steps[states[i]] = of_steps.get(states[i], 0) + 1
        assert counts[op] == of_steps
        assert band.steps == sum(of_steps.values())
    for row in told.steps:
        assert row.state is states[row.index]
    assert told.columns[-1][1] == seq
    taken = [event for event in journal[:seq] if isinstance(event, ev.DriverStarted)]
    assert len({life.n for life in told.lives}) == len(taken)


@ANY
@given(journals(), st.integers(1, 60))
def test_bars_of_a_step_are_in_order_and_hide_no_failure(journal: Journal, width: int) -> None:
    told, _, run = shown(journal, width=width, opened=[op.id for op in Run.replay(journal).plan.operations])
    truth = spans(journal)
    assert [row.index for row in told.steps] == list(range(len(run.records)))
    for row in told.steps:
        drawn = [one for one in truth[row.index] if one[2] in DRAWN]
        assert list(row.failures) == [begin for begin, _, state, _ in truth[row.index] if state in LOST]
        assert bool(row.bars) == bool(drawn)
        assert len(row.bars) <= len(drawn)
        if drawn:
            assert (row.bars[0].begin, row.bars[-1].end) == (drawn[0][0], drawn[-1][1])
        assert all(a.end <= b.begin for a, b in zip(row.bars, row.bars[1:], strict=False))
        bad = [one for one in drawn if band_state(one[2], one[3]) in LOST]
        covered = [bar for bar in row.bars if band_state(bar.state, bar.next) in LOST]
        assert all(any(bar.begin <= a and b <= bar.end for bar in covered) for a, b, _, _ in bad)


@ANY
@given(journals())
def test_a_step_is_ready_between_the_end_of_what_it_waits_for_and_its_beginning(journal: Journal) -> None:
    told, _, run = shown(journal)
    for row in told.steps:
        step, record = run.plan.steps[row.index], run.records[row.index]
        operation = run.plan.operations[run.step_operation[row.index]]
        before = [one.id for one in operation.dependencies if one.per is DependencyScope.OPERATION]
        waits = [i for i, other in enumerate(run.plan.steps) if other.operation in before]
        waits += [run.index[need.step] for need in step.needs]
        if row.ready:
            assert row.ready == max([run.started_at, *(run.records[i].ended_at for i in waits)])
            assert not record.started_at or row.ready <= record.started_at
        elif run.status is RunState.RUNNING:
            assert not run.started_at or any(run.records[i].state not in STEP_ENDED for i in waits)


@ANY
@given(journals(), st.integers(10, 300))
def test_only_pauses_in_which_nothing_happens_are_folded(journal: Journal, width: int) -> None:
    told, _, _ = shown(journal, width=width, fold=3)
    truth = [one for step in spans(journal) for one in step if one[2] in BUSY]
    lives = [(a.end, b.begin) for a, b in zip(told.lives, told.lives[1:], strict=False)]
    assert told.axis[0].begin == told.begin
    assert abs(told.axis[-1].until - width) < 1e-6
    for part in told.axis:
        if not part.idle:
            continue
        assert abs(part.until - part.x - 3) < 1e-6
        undriven = sum(max(0.0, min(b, part.end) - max(a, part.begin)) for a, b in lives)
        if undriven < part.end - part.begin - 1e-6:
            busy = [(a, b) for a, b, _, _ in truth if a < part.end and b > part.begin]
            gone = [any(max(a, part.begin) >= x and min(b, part.end) <= y for x, y in lives) for a, b in busy]
            assert all(gone)


@ANY
@given(journals(), st.integers(1, 400))
def test_what_is_expected_is_shown_up_to_half_of_what_has_passed(journal: Journal, width: int) -> None:
    told = shown(journal, width=width, ahead=True)[0]
    passed = told.now - told.begin
    assert told.now <= told.end <= told.now + passed / 2
    rest = [one.expected[1] for one in told.operations if one.expected]
    if passed and rest:
        assert told.end == min(max(*rest, told.now), told.now + passed / 2)
    else:
        assert told.end == told.now
    plain = shown(journal, width=width)[0]
    assert sum(n for one in told.operations for _, n in one.failures) == sum(
        n for one in plain.operations for _, n in one.failures
    )
