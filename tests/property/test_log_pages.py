"""What holds of every log: pages hold each line once, and a search shows every line that holds the text."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from batchwright.model import events as ev
from batchwright.views.log_pages import LogEntry, LogPage, LogQuery, LogSearch, step_entries, step_log
from batchwright.views.run_history import RunHistory, history_of
from tests.property.histories import journals
from tests.support.examples import share
from tests.unit.views.story import DOWN, T0, Story, fleet

ANY = settings(max_examples=share(100), deadline=None, suppress_health_check=[HealthCheck.too_slow])
LINES = st.lists(st.sampled_from(["nothing", "an ERROR here", "error", "ok"]), max_size=30)


def entries(texts: list[str]) -> list[LogEntry]:
    return [LogEntry(n, n, 0.0, "step_output", "s", 1, text) for n, text in enumerate(texts, 1)]


@ANY
@given(LINES, st.sampled_from(["", "Error", "ok", "absent"]), st.integers(0, 3), st.integers(1, 4))
def test_pages_are_the_whole_search_cut_in_pieces(texts: list[str], find: str, context: int, limit: int) -> None:
    matches = {n for n, text in enumerate(texts, 1) if find.casefold() in text.casefold()}
    near = {n + k for n in matches for k in range(-context, context + 1)} if find else matches
    wanted = [(n, n in matches and bool(find)) for n in range(1, len(texts) + 1) if n in near]
    shown: list[tuple[int, bool]] = []
    after = 0
    while True:
        search = LogSearch(LogQuery(find, context, after, limit))
        search.take(entries(texts)[max(0, after - context) :])  # as a long log is searched: not from the beginning
        assert len(search.items) <= limit
        shown += [(one.n, one.match) for one in search.items]
        if not search.more:
            break
        after = search.items[-1].n
    assert shown == wanted


def of_step(history: RunHistory, journal: list[ev.AnyEvent], i: int, seq: int) -> list[tuple[int, ev.AnyEvent]]:
    return [(number, journal[number - 1]) for number in history.step_events[i] if number <= seq]


@ANY
@given(journals(), st.data())
def test_the_log_of_a_step_has_all_its_events_up_to_that_one(journal: list[ev.AnyEvent], data: st.DataObject) -> None:
    history = history_of(journal)
    seq = data.draw(st.integers(1, len(journal)))
    for i, step in enumerate(history.run.plan.steps):
        events = of_step(history, journal, i, seq)
        told = list(step_entries(history, i, seq, events))
        own = [n for n, event in enumerate(journal[:seq], 1) if getattr(event, "step", None) == step.id]
        assert [one.seq for one in told if one.type != "driver_started"] == own
        assert [one.n for one in told] == list(range(1, len(told) + 1))
        assert [one.seq for one in told] == sorted(one.seq for one in told)


def logged(story: Story, step: str, **query: object) -> LogPage:
    history = history_of(story.history)
    i = story.run.step(step)
    events = of_step(history, story.history, i, history.seq)
    return step_log(history, i, history.seq, events, LogQuery(**query))  # type: ignore[arg-type]


def test_a_log_says_when_the_process_died_and_how_it_went_on() -> None:
    story = fleet().begin().start("web/a", at=0)
    story.tell(ev.StepOutput(T0 + 1, "web/a", 1, ("one", "two"))).tell(ev.DriverStarted(T0 + 60, "host:2:2", 2))
    story.tell(ev.StepCreated(T0 + 61, "web/a", "ref-a", settled=True)).succeed("web/a", at=70)
    told = logged(story, "web/a")
    assert [(one.n, one.type, one.at - T0) for one in told.items] == [
        (1, "step_started", 0),
        (2, "step_output", 1),
        (3, "step_output", 1),
        (4, "driver_started", 1),
        (5, "step_created", 61),
        (6, "step_succeeded", 70),
    ]
    assert (told.total, told.matching, told.next_after) == (6, 6, None)
    assert told.items[3].text.startswith("the process that made this call is gone")
    found = logged(story, "web/a", find="TWO", context=1)
    assert [(one.n, one.match) for one in found.items] == [(2, False), (3, True), (4, False)]
    assert found.matching == 1


def test_what_is_beyond_the_page_is_counted() -> None:
    story = fleet().begin().start("web/a", at=0)
    story.tell(ev.StepOutput(T0 + 1, "web/a", 1, tuple(f"line {n}" for n in range(50)))).retry("web/a", 2, 3, DOWN)
    told = logged(story, "web/a", find="line", limit=7)
    assert (len(told.items), told.total, told.matching, told.next_after) == (7, 52, 50, 8)
    assert logged(story, "web/a", find="line", limit=7, after=49).next_after is None
