"""What holds of every list of steps, operations and failures: each step stands once, every number is the fold's."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from batchwright.errors import UsageError
from batchwright.model import events as ev
from batchwright.model.fault import Fault, FaultClass
from batchwright.model.lifecycle import StepState
from batchwright.model.run import Run
from batchwright.testing.plans import servers, taskservs
from batchwright.views.display_state import RANK, DisplayState, display_states
from batchwright.views.failure_causes import failure_causes
from batchwright.views.operation_strips import operation_strips
from batchwright.views.plan_index import plan_index
from batchwright.views.run_history import history_of
from batchwright.views.step_pages import StepOrder, StepPage, StepQuery, server_names, step_page
from tests.property.histories import journals
from tests.support.examples import share
from tests.unit.views.story import BAD, DOWN, Story, fleet

ANY = settings(max_examples=share(80), deadline=None, suppress_health_check=[HealthCheck.too_slow])
Journal = list[ev.AnyEvent]
D = DisplayState


def pages(run: Run, journal: Journal, limit: int, **query: object) -> list[StepPage]:
    history, found, cursor = history_of(journal), list[StepPage](), ""
    while True:
        asked = StepQuery(cursor=cursor, limit=limit, **query)  # type: ignore[arg-type]
        found.append(step_page(run, history, journal[-1].at, asked))
        if found[-1].next_cursor is None:
            return found
        cursor = found[-1].next_cursor


@ANY
@given(journals(), st.data())
def test_pages_show_each_step_that_fits_exactly_once(journal: Journal, data: st.DataObject) -> None:
    run = Run.replay(journal)
    states = display_states(run)
    wanted = data.draw(st.sets(st.sampled_from(DisplayState), max_size=3))
    operations = data.draw(st.sets(st.sampled_from([op.id for op in run.plan.operations]), max_size=2))
    order = data.draw(st.sampled_from(StepOrder))
    limit = data.draw(st.integers(1, 5))
    told = pages(run, journal, limit, states=wanted, operations=operations, order=order)
    fit = [i for i, step in enumerate(run.plan.steps) if not operations or step.operation in operations]
    right = [i for i in fit if not wanted or states[i] in wanted]
    if order is StepOrder.WORST:
        right.sort(key=lambda i: (RANK[states[i]], i))
    rows = [row for page in told for row in page.items]
    assert [row.index for row in rows] == right
    assert all(row.state is states[row.index] and row.step == run.plan.steps[row.index].id for row in rows)
    assert all(len(page.items) == limit for page in told[:-1])
    for page in told:
        assert (page.seq, page.total, page.matching) == (len(journal), len(run.records), len(right))
        assert page.counts == Counter(states[i] for i in fit)
        assert page.uncounted == len(run.records) - sum(sum(counts.values()) for counts in run.counts)
        assert page.matching_uncounted == sum(not run.plan.steps[i].counted for i in right)
    skipping = [
        row.index
        for first in range(0, len(right), limit)
        for row in step_page(
            run,
            history_of(journal),
            0.0,
            StepQuery(states=wanted, operations=operations, order=order, offset=first, limit=limit),
        ).items
    ]
    assert skipping == right


@ANY
@given(journals(), st.integers(0, 3))
def test_strips_have_the_states_of_the_fold_in_the_order_of_the_plan(journal: Journal, cells: int) -> None:
    run = Run.replay(journal)
    states, shape = display_states(run), plan_index(run.plan)
    told = operation_strips(run, shape, journal[-1].at, cells)
    assert [one.id for one in told.items] == [op.id for op in run.plan.operations]
    assert told.counts == Counter(state for i, state in enumerate(states) if run.plan.steps[i].counted)
    for op, one in enumerate(told.items):
        steps = shape.steps[op]
        drawn = [state for state, number in one.strip for _ in range(number)]
        assert drawn == ([states[i] for i in steps] if len(steps) <= cells else [])
        assert all(a[0] is not b[0] for a, b in zip(one.strip, one.strip[1:], strict=False))
        rows = step_page(run, history_of(journal), 0.0, StepQuery(operations=(one.id,), counted=True, limit=500)).items
        assert [row.index for row in rows] == list(steps)  # so a cell of the strip leads to its step
        assert one.counts == Counter(states[i] for i in steps)
        folded = {state.value: number for state, number in run.counts[op].items() if number}
        shown = dict(one.counts)
        for name, of in ((D.IN_DOUBT, D.STARTED), (D.NEVER_BEGAN, D.WAITING)):  # what the fold does not tell apart
            if name in shown:
                shown[of] = shown.get(of, 0) + shown.pop(name)
        assert {state.value: number for state, number in shown.items()} == folded
        worst = min(one.counts, key=RANK.__getitem__)
        if worst in (D.ASKING, D.FAILED, D.UNDO_FAILED, D.IN_DOUBT, D.RETRYING):
            assert one.state == worst


@ANY
@given(journals())
def test_every_failure_is_in_one_cause(journal: Journal) -> None:
    run = Run.replay(journal)
    bad = [step.id for step, record in zip(run.plan.steps, run.records, strict=True) if record.state in LOST]
    told = failure_causes(run)
    named = [step for cause in told.items for step in cause.steps]
    assert sorted(named) == sorted(bad)  # there are never more than twenty here
    assert told.failed == len(bad) == sum(cause.count for cause in told.items)
    assert told.skipped == run.count(StepState.SKIPPED)


LOST = (StepState.FAILED, StepState.UNDO_FAILED)


def test_failures_that_differ_only_in_names_are_one_cause() -> None:
    story = Story(servers("web", "web-1", "web-2"), taskservs("kube", "containerd", after=["web"]), parallel_limit=9)
    story.begin().start("web/web-1", "web/web-2", at=0)
    for name, digits in (("web-1", "4f1e2c31"), ("web-2", "99ff2c72")):
        words = f"no room for {name} in de-fra1 (request {digits}-77aa-4e1b-9c3d-0a1b2c3d4e5f, after {digits[-1]}.5 s)"
        story.fail(f"web/{name}", at=2, fault=Fault(FaultClass.CAPACITY, words, code="FULL", hint="Elsewhere."))
    story.skip("kube/web-1/containerd", 3, "its server failed", "web/web-1")
    told = failure_causes(story.run)
    (cause,) = told.items
    assert (cause.count, cause.kind, cause.code, cause.place) == (2, "capacity", "FULL", "de-fra1")
    assert cause.message.startswith("no room for web-1 in de-fra1")
    assert cause.steps == ("web/web-1", "web/web-2")
    assert (told.failed, told.skipped) == (2, 1)


def test_failures_of_another_size_are_another_cause() -> None:
    story = fleet(parallel_limit=9).begin().start("web/a", "web/b", at=0)
    story.fail("web/a", at=1, fault=Fault(FaultClass.CAPACITY, "no room for 4xCPU-8GB"))
    story.fail("web/b", at=1, fault=Fault(FaultClass.CAPACITY, "no room for 2xCPU-4GB"))
    assert [cause.count for cause in failure_causes(story.run).items] == [1, 1]


def test_steps_are_found_by_words_server_cause_and_time() -> None:
    story = fleet(parallel_limit=9).begin().start("web/a", "web/b", at=0)
    story.succeed("web/a", at=10).retry("web/b", at=12, until=20, fault=DOWN).start("kube/a/containerd", at=30)
    story.start("web/b", at=31).fail("web/b", at=40, fault=BAD)

    def found(**query: object) -> list[str]:
        return [row.step for page in pages(story.run, story.history, 2, **query) for row in page.items]

    on_a = ["web/a", "kube/a/containerd", "kube/a/kubernetes"]
    assert sorted(found(server="a")) == sorted(on_a)
    assert found(find="PLAN such") == ["web/b"]
    assert found(find="10.0.0.1") == ["web/a"]
    assert found(cause="invalid") == ["web/b"]
    t0 = story.run.created_at
    assert found(begin=t0 + 13, end=t0 + 19) == ["web/b"]
    assert found(begin=t0 + 30.5, end=t0 + 30.8) == ["web/b", "kube/a/containerd"]
    assert found(begin=t0 + 10.5, end=t0 + 11) == ["web/b"]
    assert found(begin=t0 + 39) == ["web/b", "kube/a/containerd"]
    assert server_names(story.run.plan) == ["a", "b", "a", "a", "b", "b", "c"]
    (nothing,) = pages(story.run, story.history, 5, find="containrd")
    assert (nothing.matching, nothing.items, nothing.suggestion) == (0, (), "containerd")


@pytest.mark.parametrize("cursor", ["worst-0-1", "plan-0", "plan-x-1", "plan-0-1-2", "plan--1"])
def test_a_cursor_of_something_else_is_refused(cursor: str) -> None:
    story: Story = fleet().begin()
    with pytest.raises(UsageError, match="cursor"):
        step_page(story.run, history_of(story.history), 0.0, StepQuery(cursor=cursor))
