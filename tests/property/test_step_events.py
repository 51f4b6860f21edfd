"""Few events explain a step: the same is said as from all of them."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from batchwright.model import events as ev
from batchwright.model.fault import FaultClass
from batchwright.model.run import Run
from batchwright.views.run_history import RunHistory, history_of
from batchwright.views.step_events import step_event_numbers
from batchwright.views.step_explanation import Explanation, explained
from tests.property.histories import journals
from tests.support.examples import share

Journal = list[ev.AnyEvent]
FEW = settings(max_examples=share(60), deadline=None)


def from_all(run: Run, history: RunHistory, journal: Journal, step: str) -> Explanation:
    return explained(run, history, enumerate(journal, 1), step, journal[-1].at)


def from_few(run: Run, history: RunHistory, journal: Journal, step: str, upto: int) -> Explanation:
    numbers = step_event_numbers(history, run.step(step), upto)
    return explained(run, history, [(seq, journal[seq - 1]) for seq in (1, *numbers)], step, journal[upto - 1].at)


@FEW
@given(journals())
def test_few_events_explain_each_step_as_all_of_them_do(journal: Journal) -> None:
    run, history = Run.replay(journal), history_of(journal)
    for step in run.plan.steps:
        assert from_few(run, history, journal, step.id, len(journal)) == from_all(run, history, journal, step.id)


@FEW
@given(journals(), st.data())
def test_an_earlier_moment_is_explained_as_it_was_then(journal: Journal, data: st.DataObject) -> None:
    upto = data.draw(st.integers(1, len(journal)))
    run, step = Run.replay(journal[:upto]), data.draw(st.sampled_from(Run.replay(journal).plan.steps)).id
    then = from_few(run, history_of(journal[:upto]), journal, step, upto)
    assert from_few(run, history_of(journal), journal, step, upto) == then


@FEW
@given(journals())
def test_the_history_knows_when_slots_were_full_and_lanes_throttled(journal: Journal) -> None:
    history, run = history_of(journal), Run.replay(journal[:1])
    full, throttled = 0.0, dict.fromkeys(run.plan.lanes, 0.0)
    for seq, event in enumerate(journal[1:], 2):
        if len(run.in_flight) >= run.plan.parallel_limit:
            full = event.at
        i = run.apply(event)
        if isinstance(event, ev.StepRetrying) and event.fault.kind is FaultClass.THROTTLE and i is not None:
            throttled[run.lane(i)] = event.at
        assert history.full_at(seq) == full
        assert {lane: history.throttled_at(lane, seq) for lane in throttled} == throttled
