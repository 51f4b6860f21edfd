"""Why a run does not go on, and all about one step."""

from __future__ import annotations

from tests.unit.views.story import BAD, DOWN, T0, Story, fleet

from batchwright.model import events as ev
from batchwright.model.lifecycle import RunState
from batchwright.testing.plans import command
from batchwright.views.run_history import history_of
from batchwright.views.run_why import RunWhy, run_why
from batchwright.views.step_card import StepCard, step_card
from batchwright.views.wait_reasons import Circumstances


def why(story: Story, at: float, *, driven: bool = True) -> RunWhy:
    return run_why(story.run, history_of(story.history), T0 + at, Circumstances(driven))


def card(story: Story, step: str, at: float) -> StepCard:
    return step_card(
        story.run, history_of(story.history), [*enumerate(story.history, 1)], step, T0 + at, Circumstances()
    )


def test_one_sentence_says_what_a_run_does() -> None:
    story = fleet(parallel_limit=9)
    assert why(story, 0).sentence == "It has not begun."
    story.begin().start("web/a", "web/b", at=0)
    assert why(story, 1).sentence == "It goes on: 2 steps in flight."
    assert why(story, 1, driven=False).sentence == "No process drives this run, so nothing goes on."
    story.succeed("web/a", at=2).retry("web/b", at=3, until=9, fault=DOWN)
    told = why(story, 4)
    assert told.sentence == "Nothing is in flight. 1 step: retry in 5.0 s: transient: the service is not available."
    assert [one.step for one in told.in_flight] == []
    story.tell(ev.RunPaused(T0 + 5, "ada"))
    assert why(story, 6).sentence == "It is paused: 0 steps in flight, and no new one starts."
    assert why(story, 6).marks[-1].text == "run paused by ada: no new steps are started"
    story.tell(ev.RunResumed(T0 + 7)).start("web/b", at=9).fail("web/b", at=10, fault=BAD)
    story.skip("kube/b/containerd", 10, "its server failed", "web/b").end(RunState.FAILED, 11, "1 step failed")
    told = why(story, 12)
    assert told.sentence == "It has ended, Failed (1 step failed): 1 of 7 steps done."
    assert [(cause.kind, cause.count) for cause in told.failures] == [("invalid", 1)]
    assert "batchwright resume" in told.next
    story.tell(ev.RollbackStarted(T0 + 20, "ada")).tell(ev.UndoStarted(T0 + 20, "web/a", 1))
    assert why(story, 21).sentence == "It rolls back: 1 step in flight."
    story.tell(ev.StepUndone(T0 + 22, "web/a")).tell(ev.RollbackEnded(T0 + 23, RunState.ROLLED_BACK))
    assert why(story, 24).sentence == "It was rolled back: 1 step undone."


def test_steps_that_are_not_wanted_are_not_counted() -> None:
    story = fleet(parallel_limit=9).begin().start("web/a", "web/b", at=0).succeed("web/a", at=2).fail("web/b", at=3)
    story.tell(ev.StepNotWanted(T0 + 3, "kube/b/containerd", "its server failed", "web/b")).end(RunState.COMPLETED, 9)
    assert why(story, 10).sentence == "It has ended, Completed: 1 of 6 steps done."


def test_a_card_has_what_a_step_needs_and_what_needs_it() -> None:
    story = (
        fleet(parallel_limit=9).begin().start("web/a", "web/b", at=0).retry("web/a", at=3, until=5).start("web/a", at=5)
    )
    story.succeed("web/a", at=9)
    told = card(story, "web/a", 10)
    assert (told.row.state, told.row.server, told.undoable, told.undo) == ("succeeded", "a", True, "destroy")
    assert [(one.begin - T0, one.state, one.next) for one in told.stays] == [
        (0, "started", "retrying"), (3, "retrying", "started"), (5, "started", "succeeded"), (9, "succeeded", None)
    ]  # fmt: skip
    assert told.needs == ()
    assert [(one.operation, one.step) for one in told.then] == [
        ("kube", ""), ("kube", "kube/a/containerd"), ("kube", "kube/a/kubernetes")
    ]  # fmt: skip
    on = card(story, "kube/a/kubernetes", 10)
    assert [(one.operation, one.step, one.state) for one in on.needs] == [
        ("web", "", "started"), ("kube", "kube/a/containerd", "waiting"), ("web", "web/a", "succeeded")
    ]  # fmt: skip
    assert on.does == "install kubernetes 1.34 on a"
    assert on.why.summary.startswith("has not started")
    assert on.commands == (
        "batchwright explain abcdefghijkl kube/a/kubernetes",
        "batchwright logs abcdefghijkl kube/a/kubernetes",
    )


def test_a_card_has_the_lines_that_decide_about_a_command_in_doubt() -> None:
    story = Story(command("run", "x")).begin().start("run/run", at=0).end(RunState.CANCELLED, 5)
    assert card(story, "run/run", 6).commands[2:] == (
        "batchwright resume abcdefghijkl --redo run/run",
        "batchwright resume abcdefghijkl --skip run/run",
    )
