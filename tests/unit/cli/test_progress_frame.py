"""The picture of a live run: what it shows, and that it fits."""

from __future__ import annotations

import pytest
from tests.unit.views.story import BAD, DOWN, T0, Story, fleet

from batchwright.cli.progress_frame import bar, frame
from batchwright.cli.text_layout import labelled
from batchwright.model import events as ev
from batchwright.model.lifecycle import RunState
from batchwright.testing.plans import servers, taskservs
from batchwright.views.run import LIVE, RunView, run_view
from batchwright.views.wait_reasons import Circumstances


def lines(view: RunView, width: int = 80, height: int = 20) -> list[str]:
    return [line.plain for line in frame(view, width, height)]


def busy(operations: int, each: int) -> Story:
    """Of every kind of step some, in many operations with long names."""
    batches = [
        servers(f"operation_with_a_rather_long_name_{n:03}", *(f"server-{n:03}-{i:04}" for i in range(each)))
        for n in range(operations)
    ]
    batches.append(servers("last", "z", after=[batches[0].id]))
    story = Story(*batches, parallel_limit=50).begin()
    ids = [step.id for step in story.run.plan.steps]
    story.start(*ids[:45], at=0)
    for step in ids[:10]:
        story.succeed(step, at=1)
    for step in ids[10:20]:
        story.fail(step, at=2)
    for step in ids[20:30]:
        story.retry(step, at=3, until=9)
    story.tell(ev.StepInDoubt(T0 + 3, ids[31], 1, "no answer"))
    return story.tell(ev.ProviderStopped(T0 + 3, "upcloud", BAD)).tell(ev.OrphanFound(T0 + 3, "upcloud", "r"))


@pytest.mark.parametrize("width", [60, 80, 120])
@pytest.mark.parametrize(("operations", "each"), [(1, 60), (12, 100), (60, 20)])
def test_it_fits_whatever_the_number_of_steps(operations: int, each: int, width: int) -> None:
    throttled = Circumstances(lanes={"upcloud": "throttled, again in 12 s"})
    view = run_view(busy(operations, each).run, T0 + 5, around=throttled, bounds=LIVE)
    for height in (20, 10, 3):
        shown = lines(view, width, height)
        assert len(shown) <= height
        assert max(map(len, shown)) <= width


def test_it_tells_what_runs_what_waits_and_why() -> None:
    story = fleet().begin().start("web/a", "web/b", at=0).succeed("web/a", at=3).retry("web/b", at=3, until=9)
    shown = "\n".join(lines(run_view(story.run, T0 + 4, bounds=LIVE), 100))
    assert "tested 1.0.0" in shown
    assert "abcdefghijkl  Running  4.0 s, about " in shown
    assert "1 of 7 steps done, 1 retry" in shown
    assert "1 of 2  1 to retry" in shown
    assert "providers upcloud 1 of 3, 1 retried; aws 0 of 4" in shown
    assert "waiting   1  retry in 5.0 s: transient: the service is not available" in shown
    assert "4  waits for operation web (1 of 2 done)" in shown


def test_failures_that_are_alike_stand_together() -> None:
    story = Story(servers("web", "a", "b", "c", "d"), parallel_limit=9).begin()
    story.start("web/a", "web/b", "web/c", "web/d", at=0)
    story.fail("web/a", at=1).fail("web/b", at=1).fail("web/c", at=1, fault=DOWN)
    shown = lines(run_view(story.run, T0 + 2, bounds=LIVE))
    assert "  failed    web/a and 1 more: invalid: no such plan" in shown
    assert "            web/c: transient: the service is not available" in shown


def test_a_run_being_cancelled_says_so() -> None:
    story = fleet().begin().start("web/a", at=0).tell(ev.CancelRequested(T0 + 1))
    assert "Cancelling" in lines(run_view(story.run, T0 + 2))[0]


def test_a_run_nobody_drives_says_so() -> None:
    story = fleet().begin().start("web/a", at=0)
    assert "Running (no process drives it)" in lines(run_view(story.run, T0 + 2, around=Circumstances(driven=False)))[0]


def test_a_rollback_counts_what_is_undone() -> None:
    story = fleet().begin().start("web/a", at=0).succeed("web/a", at=1).tell(ev.CancelRequested(T0 + 2))
    story.end(RunState.CANCELLED, 2).tell(ev.RollbackStarted(T0 + 3, "ada")).tell(ev.UndoStarted(T0 + 3, "web/a", 1))
    shown = "\n".join(lines(run_view(story.run, T0 + 4), 100))
    assert "0 of 1 step undone" in shown
    assert "web/a  destroying 1.0 s" in shown


def test_many_operations_are_summed_up() -> None:
    story = Story(*(servers(f"op{n}", f"s{n}") for n in range(30)), taskservs("x", "redis", after=["op29"])).begin()
    story.start("op20/s20", at=0)
    shown = lines(run_view(story.run, T0 + 1))
    assert any("op20 " in line and "1 in flight" in line for line in shown)
    assert "  and 26 more operations: 26 waiting" in shown


@pytest.mark.parametrize(("done", "total", "full"), [(0, 0, 0), (0, 9, 0), (999, 1000, 9), (1000, 1000, 10)])
def test_a_bar_is_full_only_at_the_end(done: int, total: int, full: int) -> None:
    assert bar(done, total, 10).plain == "━" * full + "─" * (10 - full)


def test_long_texts_are_wrapped_at_words_under_their_label() -> None:
    text = "go on with: batchwright resume abcdefghijkl, or undo it with: batchwright rollback abcdefghijkl"
    shown = [line.plain for line in labelled("next", [text], width=60)]
    assert shown == [
        "  next      go on with: batchwright resume abcdefghijkl, or",
        "            undo it with: batchwright rollback abcdefghijkl",
    ]
