"""The view of a run: what is done, runs, waits and why, failed, exists, and what to do next."""

from __future__ import annotations

import msgspec
import pytest
from tests.unit.views.story import BAD, DOWN, T0, Story, fleet

from batchwright.model import events as ev
from batchwright.model.fault import Fault, FaultClass
from batchwright.model.lifecycle import RunState
from batchwright.model.run import Run
from batchwright.testing.plans import servers, taskservs
from batchwright.views.run import RunView, ViewBounds, run_view
from batchwright.views.wait_reasons import Circumstances

ALONE = Circumstances(driven=False)


def shown(story: Story, at: float, around: Circumstances | None = None) -> RunView:
    return run_view(story.run, T0 + at, around=around)


def reasons(view: RunView) -> dict[str, int]:
    return {waiting.reason: waiting.steps for waiting in view.waiting}


def test_a_run_on_its_way() -> None:
    story = fleet().begin(1).start("web/a", "web/b", at=1).succeed("web/a", at=4)
    view = shown(story, 5)
    assert (view.status, view.elapsed, view.done, view.total) == (RunState.RUNNING, 4.0, 1, 7)
    assert [(op.id, op.state, op.done, op.total) for op in view.operations] == [
        ("web", "running", 1, 2),
        ("kube", "waiting", 0, 4),
        ("late", "waiting", 0, 1),
    ]
    assert view.operations[1].waiting_for == ("web",)
    assert [(p.name, p.done, p.total) for p in view.providers] == [("upcloud", 1, 3), ("aws", 0, 4)]
    (running,) = view.running
    assert (running.step, running.doing, running.since, running.attempt) == ("web/b", "creating", 4.0, 1)
    assert reasons(view) == {
        "waits for operation web (1 of 2 done)": 4,
        "waits for operation kube (0 of 4 done)": 1,
    }
    assert view.next == "watch it with: batchwright monitor abcdefghijkl"


def test_an_open_operation_waits_for_places_and_for_its_own_steps() -> None:
    story = fleet(parallel_limit=1).begin().start("web/a", at=0).succeed("web/a", at=1)
    assert reasons(shown(story, 1))["starts as soon as the limits of upcloud allow"] == 1
    throttled = Circumstances(lanes={"upcloud": "throttled, again in 2 s"})
    assert reasons(shown(story, 1, throttled))["waits for upcloud: throttled, again in 2 s"] == 1
    story.start("web/b", at=1).succeed("web/b", at=2).start("kube/a/containerd", at=2)
    waiting = reasons(shown(story, 3))
    assert waiting["waits for a free slot: parallel_limit 1 is reached"] == 1
    assert waiting["waits for an earlier step on its server"] == 2


def test_retries_tell_when_and_why() -> None:
    story = fleet().begin().start("web/a", "web/b", at=0).retry("web/a", at=1, until=6).retry("web/b", at=1, until=4)
    view = shown(story, 2)
    assert reasons(view)["retry in 2.0 s: transient: the service is not available"] == 2
    assert (view.retries, view.providers[0].retries, view.operations[0].state) == (2, 2, "retrying")
    assert (
        reasons(shown(story, 9))["waits for a free slot to try again, after transient: the service is not available"]
        == 2
    )


@pytest.mark.parametrize(
    ("event", "reason"),
    [
        (ev.RunPaused(T0 + 1), "paused"),
        (ev.CancelRequested(T0 + 1), "will not start: the run is being cancelled"),
        (ev.RunStopping(T0 + 1, "web/a"), "will not start: step web/a failed"),
    ],
)
def test_a_halted_run_says_why_nothing_starts(event: ev.AnyEvent, reason: str) -> None:
    view = shown(fleet().begin().tell(event), 2)
    assert reasons(view)[reason] == 2
    assert view.eta is None


def test_a_run_nobody_drives_says_so_and_how_to_go_on() -> None:
    story = fleet().begin(1).start("web/a", at=2)
    view = shown(story, 900, ALONE)
    assert view.driven is False
    assert view.elapsed == 1.0  # until the last event, not until now
    assert reasons(view)["no process drives the run"] == 1
    assert view.next == "no process drives this run; continue it with: batchwright resume abcdefghijkl"


def test_a_rollback_leaves_the_failures_before_it_to_history() -> None:
    story = fleet().begin().start("web/a", "web/b", at=0).succeed("web/a", at=1).fail("web/b", at=2)
    story.skip("late/c", 2, "operation kube did not succeed", "kube").tell(ev.CancelRequested(T0 + 3))
    story.end(RunState.CANCELLED, 3).tell(ev.RollbackStarted(T0 + 4, "ada"))
    view = shown(story, 5)
    assert (view.failed, view.failed_more, view.skipped, view.providers[0].failed) == ((), 0, (), 0)


def test_a_failed_run_tells_causes_skips_and_what_exists() -> None:
    story = fleet().begin().start("web/a", "web/b", at=0).succeed("web/a", at=1).fail("web/b", at=2)
    for step in ("kube/a/containerd", "kube/a/kubernetes", "kube/b/containerd", "kube/b/kubernetes"):
        story.skip(step, 2, "operation web did not succeed", "web")
    story.skip("late/c", 2, "operation kube did not succeed", "kube").end(RunState.FAILED, 3, "1 failed, 5 skipped")
    view = shown(story, 100, ALONE)
    assert [op.state for op in view.operations] == ["failed", "skipped", "skipped"]
    (failed,) = view.failed
    assert (failed.step, failed.kind, failed.message, failed.hint) == ("web/b", "invalid", BAD.message, BAD.hint)
    assert [(s.reason, s.steps) for s in view.skipped] == [
        ("operation web did not succeed", 4),
        ("operation kube did not succeed", 1),
    ]
    assert [(s.name, s.ref, s.address, s.ready) for s in view.servers] == [("a", "ref-a", "10.0.0.1", True)]
    assert (view.elapsed, view.waiting, view.eta) == (3.0, (), None)
    assert "batchwright resume abcdefghijkl" in view.next
    assert "batchwright rollback abcdefghijkl" in view.next


def test_a_soft_dependency_that_failed_is_named() -> None:
    story = Story(servers("db", "a"), servers("web", "b", soft=["db"]))
    story.begin().start("db/a", at=0)
    assert shown(story, 0).operations[1].despite == ()
    story.fail("db/a", at=1).start("web/b", at=1)
    assert shown(story, 1).operations[1].despite == ("db",)


def test_doubts_are_named_wherever_the_step_is() -> None:
    story = fleet().begin().start("web/a", "web/b", at=0)
    story.tell(ev.StepInDoubt(T0 + 1, "web/a", 1, "no answer"))
    view = shown(story, 2)
    assert view.doubts == ("web/a",)
    assert view.running[0].doing == "in doubt: asking upcloud whether the call took effect"
    story.tell(ev.StepFailed(T0 + 3, "web/a", 1, DOWN, doubt=True))
    assert shown(story, 3).doubts == ("web/a",)


def test_a_restart_is_counted_and_what_was_in_flight_is_in_doubt() -> None:
    story = fleet().begin().start("web/a", at=0).tell(ev.DriverStarted(T0 + 60, "host:2:2", 2))
    view = shown(story, 61)
    assert (view.restarts, view.doubts) == (1, ("web/a",))


def test_a_rollback_counts_what_is_to_be_undone() -> None:
    story = fleet().begin().start("web/a", at=0).succeed("web/a", at=1)
    story.tell(ev.CancelRequested(T0 + 2)).end(RunState.CANCELLED, 2).tell(ev.RollbackStarted(T0 + 3, "ada"))
    view = shown(story, 3)
    assert [(op.state, op.done, op.total) for op in view.operations] == [
        ("to undo", 0, 1),
        ("nothing to undo", 0, 0),
        ("nothing to undo", 0, 0),
    ]
    assert reasons(view) == {"waits for its turn": 1}
    slow = Circumstances(lanes={"upcloud": "rate 5/s"})
    assert reasons(shown(story, 3, slow)) == {"waits for upcloud: rate 5/s": 1}
    story.tell(ev.UndoStarted(T0 + 4, "web/a", 1))
    assert shown(story, 5).operations[0].state == "undoing"
    assert shown(story, 5).running[0].doing == "destroying"
    story.tell(ev.UndoRetrying(T0 + 5, "web/a", 1, T0 + 9, DOWN))
    assert reasons(shown(story, 6)) == {"retry in 3.0 s: transient: the service is not available": 1}
    story.tell(ev.UndoStarted(T0 + 9, "web/a", 2))
    story.tell(ev.UndoFailed(T0 + 6, "web/a", 1, DOWN))
    story.tell(ev.RollbackEnded(T0 + 7, RunState.ROLLBACK_INCOMPLETE, ("web/a: server ref-a on upcloud: ...",)))
    view = shown(story, 8, ALONE)
    assert [failed.step for failed in view.failed] == ["web/a"]
    assert (view.operations[0].state, view.residue) == ("not undone", ("web/a: server ref-a on upcloud: ...",))
    assert view.next.endswith("batchwright rollback abcdefghijkl")


@pytest.mark.parametrize(("enabled", "words"), [(True, "batchwright rollback"), (False, "nothing is left to do")])
def test_a_completed_run_is_torn_down_where_that_is_allowed(enabled: bool, words: str) -> None:
    story = Story(servers("web", "a"), rollback_enabled=enabled).begin().start("web/a", at=0).succeed("web/a", at=1)
    assert words in shown(story.end(RunState.COMPLETED, 2), 3).next


def test_a_run_that_made_nothing_is_not_torn_down() -> None:
    story = Story(servers("web", "a")).begin().start("web/a", at=0).fail("web/a", at=1)
    view = shown(story.end(RunState.FAILED, 2), 3)
    assert view.next == "fix the cause, then finish the remaining steps with: batchwright resume abcdefghijkl"


def test_lists_are_bounded_and_say_how_much_is_left_out() -> None:
    names = [f"s{i:03}" for i in range(30)]
    story = Story(servers("web", *names), parallel_limit=30).begin()
    story.start(*(f"web/{name}" for name in names), at=0)
    view = run_view(story.run, T0 + 1, bounds=ViewBounds(running=4))
    assert (len(view.running), view.running_more) == (4, 26)
    for name in names[:25]:
        story.fail(f"web/{name}", at=2)
    view = shown(story, 3)
    assert (len(view.failed), view.failed_more) == (20, 5)


def test_the_estimate_follows_what_was_observed() -> None:
    names = [f"s{i}" for i in range(10)]
    story = Story(servers("web", *names), parallel_limit=1).begin()
    story.start("web/s0", at=0)
    said = story.run.plan.steps[0].seconds
    assert shown(story, 0).eta == pytest.approx(10 * said)
    story.succeed("web/s0", at=2 * said).start("web/s1", at=2 * said)
    assert shown(story, 2 * said).eta == pytest.approx(9 * 2 * said)  # everything takes twice as long as was said
    assert shown(story, 3 * said).eta == pytest.approx(9 * 2 * said - said)


def test_an_estimate_that_is_not_kept_grows_and_is_not_told_again_at_each_attempt() -> None:
    """E9: ten minutes of "about 6.5 s left" three times over."""
    story = Story(servers("web", "a"), taskservs("on", "kubernetes", after=["web"]), parallel_limit=100)
    story.begin().start("web/a", at=0)
    said = story.run.plan.steps[0].seconds
    told = [shown(story, at).eta or 0.0 for at in (said + 60, said + 300, said + 600)]
    assert told == sorted(told)
    assert told[0] >= 60
    assert told[2] >= 600
    story.retry("web/a", at=601, until=602).start("web/a", at=602)
    assert (shown(story, 603).eta or 0.0) >= 600 - said


def test_the_estimate_is_never_shorter_than_the_longest_way_left() -> None:
    story = Story(servers("web", "a"), taskservs("on", "kubernetes", after=["web"]), parallel_limit=100)
    story.begin().start("web/a", at=0)
    seconds = story.run.plan.steps[0].seconds
    assert shown(story, 0).eta == pytest.approx(seconds + 20.0)


def test_the_estimate_follows_a_provider_that_lets_few_calls_through() -> None:
    names = [f"s{i:03}" for i in range(100)]
    story = Story(servers("web", *names), parallel_limit=100).begin()
    for i in range(20):  # one every ten seconds, although each is made in one
        story.start(f"web/s{i:03}", at=10 * i).succeed(f"web/s{i:03}", at=10 * i + 1)
    assert shown(story, 200).eta == pytest.approx(80 * 10, rel=0.1)
    assert (shown(story, 400).eta or 0) > 80 * 18  # nothing has ended for a while


def test_without_estimates_nothing_is_said_about_the_time_left() -> None:
    story = Story(servers("web", "a", "b"), parallel_limit=1)
    steps = tuple(msgspec.structs.replace(step, seconds=0.0) for step in story.run.plan.steps)
    created = msgspec.structs.replace(story.run.created, plan=msgspec.structs.replace(story.run.plan, steps=steps))
    assert run_view(Run.replay([created, ev.RunStarted(T0)]), T0).eta is None


def test_the_view_is_json_and_back() -> None:
    view = shown(fleet().begin().start("web/a", at=0), 1)
    assert msgspec.json.decode(msgspec.json.encode(view), type=RunView) == view


def test_every_prefix_of_a_story_has_a_view() -> None:
    story = fleet().begin().start("web/a", "web/b", at=0).succeed("web/a", at=1)
    story.retry("web/b", at=1, until=2, fault=Fault(FaultClass.THROTTLE, "slow"), counted=False)
    story.start("web/b", at=2).fail("web/b", at=3).end(RunState.FAILED, 4).tell(ev.RunReopened(T0 + 5, "ada"))
    story.start("web/b", at=6).succeed("web/b", at=7)
    for length in range(1, len(story.history) + 1):
        run = Run.replay(story.history[:length])
        view = run_view(run, T0 + 10)
        assert view.total == 7
        assert sum(view.counts.values()) == 7
