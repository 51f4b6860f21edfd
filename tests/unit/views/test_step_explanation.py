"""Why a step ran, waited, was skipped, retried or undone."""

from __future__ import annotations

import pytest
from tests.unit.views.story import T0, Story, fleet

from batchwright.errors import StepNotFound
from batchwright.model import events as ev
from batchwright.model.fault import Fault, FaultClass
from batchwright.model.lifecycle import RunState, StepState
from batchwright.testing.plans import command, servers
from batchwright.views.step_explanation import Explanation, explain
from batchwright.views.steps import step_named
from batchwright.views.wait_reasons import Circumstances


def told(story: Story, step: str, at: float, *, driven: bool = True) -> Explanation:
    return explain(story.run, story.history, step, T0 + at, Circumstances(driven))


def chain(explanation: Explanation) -> list[tuple[float, str]]:
    return [(round(link.after, 1), link.text) for link in explanation.chain]


def test_the_dependency_that_ended_last_opened_the_way() -> None:
    story = fleet(parallel_limit=2).begin().start("web/a", "web/b", at=0).succeed("web/b", at=1).succeed("web/a", at=4)
    story.start("kube/a/containerd", "kube/b/containerd", at=4).succeed("kube/a/containerd", at=5)
    story.start("kube/a/kubernetes", at=7)
    explanation = told(story, "kube/a/containerd", 8)
    assert chain(explanation)[1:3] == [
        (4.0, "web/a succeeded: the last step that it waited for"),
        (4.0, "started"),
    ]
    assert explanation.summary == "succeeded in 1.0 s"
    assert chain(told(story, "kube/a/kubernetes", 8))[1:] == [
        (5.0, "kube/a/containerd succeeded: the last step that it waited for"),
        (7.0, "waited another 2.0 s for the limits of taskservs"),
        (7.0, "started"),
    ]


def test_values_are_told_with_where_they_came_from() -> None:
    give = command("give", "x", after=["db"], outputs=("url",))
    words = ("${servers.a.address}", "${operations.db.names}", "${outputs.give.url}", "${run.id}")
    story = Story(servers("db", "a", "b"), give, command("use", "echo", *words, after=["give"], targets=("a", "b")))
    story.begin().start("db/a", "db/b", at=0).succeed("db/a", "db/b", at=1).start("give/run", at=1)
    values = {
        "servers.a.address": "10.0.0.1",
        "operations.db.names": ("a", "b"),
        "outputs.give.url": "u",
        "run.id": "r",
    }
    story.tell(ev.StepSucceeded(T0 + 2, "give/run", outputs={"url": "u"}))
    story.tell(ev.OperationOpened(T0 + 2, "use", values)).start("use/a", "use/b", at=2)
    for step in ("use/a", "use/b"):
        explanation = told(story, step, 3)
        assert [text for _, text in chain(explanation)[-4:]] == [
            "${operations.db.names} is a,b, from the servers of db",
            "${outputs.give.url} is u, from give/run",
            "${run.id} is r",
            "${servers.a.address} is 10.0.0.1, from db/a",
        ]
        assert {one.reference: one.step for one in explanation.values} == {
            "operations.db.names": "", "outputs.give.url": "give/run", "run.id": "", "servers.a.address": "db/a"
        }  # fmt: skip


def test_a_full_run_is_why_a_step_had_to_wait() -> None:
    story = fleet(parallel_limit=1).begin().start("web/a", at=0).succeed("web/a", at=3).start("web/b", at=3)
    assert chain(told(story, "web/b", 4))[1:3] == [
        (0.0, "it depends on nothing: it could start with the run"),
        (3.0, "waited another 3.0 s for a free slot: parallel_limit 1 was reached"),
    ]


def test_throttling_is_why_a_step_had_to_wait() -> None:
    story = fleet().begin().start("web/a", at=0)
    story.retry("web/a", at=1, until=5, fault=Fault(FaultClass.THROTTLE, "slow"), counted=False).start("web/b", at=3)
    assert (3.0, "waited another 3.0 s because upcloud throttled") in chain(told(story, "web/b", 4))


def test_a_skip_is_followed_to_its_root() -> None:
    story = fleet().begin().start("web/a", "web/b", at=0).succeed("web/a", at=1).fail("web/b", at=2)
    for step in ("kube/a/containerd", "kube/a/kubernetes", "kube/b/containerd", "kube/b/kubernetes"):
        story.skip(step, 2, "operation web did not succeed", "web")
    story.skip("late/c", 2, "operation kube did not succeed", "kube")
    explanation = told(story, "late/c", 3)
    assert [text for _, text in chain(explanation)[1:]] == [
        "web/b: failed after 1 attempt: invalid: no such plan",
        "kube/a/containerd: skipped: operation web did not succeed",
        "skipped: operation kube did not succeed",
    ]
    assert explanation.summary == (
        "skipped because operation kube did not succeed; "
        "the cause: web/b: failed after 1 attempt: invalid: no such plan"
    )


def test_a_stopped_provider_is_the_root_of_a_skip() -> None:
    story = fleet().begin().start("web/a", at=0)
    quota = Fault(FaultClass.QUOTA, "no more servers")
    story.fail("web/a", at=1, fault=quota).tell(ev.ProviderStopped(T0 + 1, "upcloud", quota))
    story.skip("web/b", 1, "nothing more can be created in upcloud: no more servers", "upcloud")
    assert "nothing more can be created in upcloud: quota: no more servers" in [
        text for _, text in chain(told(story, "web/b", 2))
    ]


def test_an_operation_called_like_its_lane_is_not_taken_for_it() -> None:
    """Ids and lanes are names of users and providers: `because` alone does not tell them apart."""
    quota = Fault(FaultClass.QUOTA, "no more servers")
    story = Story(servers("upcloud", "a"), servers("web", "b", after=["upcloud"]), servers("db", "c"))
    story.begin().start("upcloud/a", at=0).fail("upcloud/a", 1, quota)
    story.tell(ev.ProviderStopped(T0 + 1, "upcloud", quota))
    story.skip("web/b", 1, "operation upcloud did not succeed", "upcloud")
    story.skip("db/c", 1, "nothing more can be made in upcloud: no more servers", "upcloud")
    web, db = told(story, "web/b", 2), told(story, "db/c", 2)
    assert "the cause: upcloud/a: failed after 1 attempt" in web.summary
    assert "the cause: nothing more can be created in upcloud: quota" in db.summary


def test_retries_and_the_end_of_patience() -> None:
    story = fleet().begin().start("web/a", at=0).retry("web/a", at=1, until=2).start("web/a", at=2)
    story.retry("web/a", at=3, until=5)
    waiting = told(story, "web/a", 4)
    assert waiting.summary == ("attempt 2 failed; retry in 1.0 s: transient: the service is not available")
    story.start("web/a", at=5).fail("web/a", at=6, fault=Fault(FaultClass.TRANSIENT, "still down"))
    assert [text for _, text in chain(told(story, "web/a", 7))[2:]] == [
        "started",
        "attempt 1 failed (transient: the service is not available [503]): again in 1.0 s",
        "attempt 2 started",
        "attempt 2 failed (transient: the service is not available [503]): again in 2.0 s",
        "attempt 3 started",
        "failed after 3 attempts: transient: still down (max_attempts 3 is used up)",
    ]


def test_a_retry_that_was_due_may_have_to_wait() -> None:
    story = fleet(parallel_limit=1).begin().start("web/a", at=0).retry("web/a", at=1, until=2).start("web/b", at=1)
    story.succeed("web/b", at=5).start("web/a", at=5)
    assert chain(told(story, "web/a", 6))[-2:] == [
        (5.0, "waited another 3.0 s for a free slot: parallel_limit 1 was reached"),
        (5.0, "attempt 2 started"),
    ]


def test_a_fault_that_is_never_retried_says_so() -> None:
    story = fleet().begin().start("web/a", at=0).fail("web/a", at=1)
    assert chain(told(story, "web/a", 2))[-1][1].endswith("(this kind of fault is not retried)")


def test_a_waiting_step_says_what_it_waits_for() -> None:
    story = fleet().begin().start("web/a", "web/b", at=0).succeed("web/a", at=1)
    assert told(story, "kube/b/containerd", 2).waits_for == ("operation web (1 of 2 done)",)
    story.succeed("web/b", at=3).start("kube/a/containerd", at=3)
    assert told(story, "kube/a/kubernetes", 4).waits_for == ("step kube/a/containerd (started)",)
    assert told(story, "kube/b/containerd", 4, driven=False).waits_for == ("no process drives the run",)


def test_a_step_that_never_started() -> None:
    story = fleet().begin().tell(ev.CancelRequested(T0 + 1, "ada")).end(RunState.CANCELLED, 2, "cancelled")
    explanation = told(story, "late/c", 3)
    assert explanation.summary == "never started: the run ended first (cancelled)"
    assert "cancel requested by ada: calls in flight may finish" in [text for _, text in chain(explanation)]


def test_a_crash_and_a_rollback_are_part_of_the_chain() -> None:
    story = fleet().begin().start("web/a", at=0).tell(ev.DriverStarted(T0 + 60, "host:2:2", 2))
    story.tell(ev.StepSucceeded(T0 + 61, "web/a", "ref-a", settled=True))
    story.tell(ev.CancelRequested(T0 + 62)).end(RunState.CANCELLED, 62).tell(ev.RollbackStarted(T0 + 70, "ada"))
    story.tell(ev.UndoStarted(T0 + 70, "web/a", 1)).tell(ev.StepUndone(T0 + 72, "web/a"))
    explanation = told(story, "web/a", 80)
    assert (explanation.state, explanation.summary) == (StepState.UNDONE, "undone by the rollback that ada asked for")
    assert [text for _, text in chain(explanation)[3:]] == [
        "the process that drove the run died while this step was in flight",
        "another process took over and finds out how it ended",
        "succeeded (ref-a), confirmed after doubt",
        "rollback started by ada",
        "undo started",
        "undone",
    ]


def test_a_reopened_run_forgets_the_old_causes() -> None:
    story = fleet().begin().start("web/a", "web/b", at=0).succeed("web/a", at=1).fail("web/b", at=2)
    story.skip("kube/a/containerd", 2, "operation web did not succeed", "web").end(RunState.FAILED, 3)
    story.tell(ev.RunReopened(T0 + 10, "ada")).start("web/b", at=10).succeed("web/b", at=11)
    story.start("kube/a/containerd", at=11)
    texts = [text for _, text in chain(told(story, "kube/a/containerd", 12))]
    assert texts[-3:] == [
        "run reopened by ada: continuing with the unfinished steps",
        "web/b succeeded: the last step that it waited for",
        "started",
    ]


def test_steps_are_found_by_any_part_that_only_one_has() -> None:
    run = fleet().run
    assert step_named(run, "web/a") == "web/a"
    assert step_named(run, "a/kubernetes") == "kube/a/kubernetes"
    assert step_named(run, "late") == "late/c"
    with pytest.raises(StepNotFound, match="2 steps of run abcdefghijkl match 'kubernetes'") as found:
        step_named(run, "kubernetes")
    assert found.value.hint == "They are: kube/a/kubernetes and kube/b/kubernetes"
    with pytest.raises(StepNotFound) as found:
        step_named(run, "kubernets")
    assert found.value.hint.startswith("Did you mean kube/")
    with pytest.raises(StepNotFound):
        step_named(run, "")


def test_the_step_must_exist() -> None:
    with pytest.raises(StepNotFound):
        told(Story(servers("web", "a")), "web/b", 1)
