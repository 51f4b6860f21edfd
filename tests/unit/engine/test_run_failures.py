"""Failures of a run on a simulated world: what is tried again, what stops, and who is not held up."""

from __future__ import annotations

from typing import Any

import pytest

from batchwright.engine.policy import POLICIES
from batchwright.model import events as ev
from batchwright.model.fault import FaultClass
from batchwright.model.lifecycle import RunState
from batchwright.model.run import Run
from batchwright.model.workflow import OnFailure, Retry
from batchwright.testing.virtual_clock import run_virtual
from tests.unit.engine.stage import RETRY, Part, Settings, Stage, installs, keeps, reopen, servers, states


def driven(*parts: Part, settings: Settings, limit: int = 10) -> tuple[Stage, Run]:
    """A run and where it was played."""

    async def play() -> tuple[Stage, Run]:
        stage = Stage(*parts, settings=settings, limit=limit)
        return stage, await stage.drive()

    return run_virtual(play())


@pytest.mark.parametrize(
    ("policy", "status", "rest"),
    [
        (OnFailure.CONTINUE, RunState.FAILED, "succeeded"),
        (OnFailure.STOP, RunState.FAILED, "waiting"),
        (OnFailure.ROLLBACK, RunState.ROLLED_BACK, "waiting"),
    ],
)
def test_on_failure(policy: OnFailure, status: RunState, rest: str) -> None:
    parts = (
        servers("first", "a"),
        servers("bad", "b", after=["first"], on_failure=policy),
        servers("then", "c", after=["~bad"]),
    )
    stage, run = driven(*parts, settings={"fail": "b"}, limit=1)
    assert (run.status, states(run)["then/c"]) == (status, rest)
    if policy is OnFailure.ROLLBACK:
        assert (run.reason, run.rolled_back_by) == ("step bad/b failed", "on_failure")
        assert not run_virtual(stage.names())


@pytest.mark.parametrize("kind", ["transient", "busy", "capacity"])
def test_faults_that_pass_are_tried_again_later_each_time(kind: str) -> None:
    stage, run = driven(servers("up", "a", "b", retry=Retry(5, 1.0, 60.0)), settings={"fail": f"*={kind}:3"})
    assert (run.status, run.retries) == (RunState.COMPLETED, 6)
    retries = [e for e in run_virtual(stage.events(ev.StepRetrying)) if e.step == "up/a"]
    waits = [event.until - event.at for event in retries]
    slower = POLICIES[FaultClass(kind)].slower
    assert [0.5 * 2**n <= wait / slower <= 2**n for n, wait in enumerate(waits)] == [True] * 3
    others = [e.until - e.at for e in run_virtual(stage.events(ev.StepRetrying)) if e.step == "up/b"]
    assert waits != others, "jitter"
    assert [event.fault.kind for event in retries] == [FaultClass(kind)] * 3


@pytest.mark.parametrize("kind", ["invalid", "not_found", "conflict", "permanent"])
def test_faults_that_stay_are_not_tried_again(kind: str) -> None:
    stage, run = driven(servers("up", "a"), settings={"fail": f"a={kind}"})
    assert (run.status, len(stage.asked("create"))) == (RunState.FAILED, 1)


@pytest.mark.parametrize("kind", ["quota", "billing", "auth"])
def test_an_account_that_is_used_up_stops_its_lane_and_no_other(kind: str) -> None:
    up, aws = servers("up", *"abcd"), servers("aws", *"wxyz", provider="aws")
    stage, run = driven(up, aws, settings={"fail": f"b={kind}"}, limit=2)
    ends = states(run)
    assert [ends[f"aws/{name}"] for name in "wxyz"] == ["succeeded"] * 4
    assert (ends["up/a"], ends["up/b"]) == ("succeeded", "failed"), "what exists is kept"
    skipped = [record for record in run.records if record.state == "skipped"]
    assert skipped
    assert all(record.because == "upcloud" and "simulated" in record.reason for record in skipped)

    async def again() -> None:
        stage.behave(fail="")
        assert (await stage.drive(reopen)).status is RunState.COMPLETED

    run_virtual(again())


def test_a_throttle_slows_the_lane_and_uses_up_no_attempts() -> None:
    stage, run = driven(
        servers("up", *[f"s{i}" for i in range(30)], retry=Retry(1, 1.0, 1.0)), settings={"rate": 2.0, "burst": 2}
    )
    assert (run.status, run.retries) == (RunState.COMPLETED, 0)
    assert run.throttles > 0
    assert len(stage.asked("create")) == 30 + run.throttles


def makespan(settings: Settings, *providers: str) -> dict[str, float]:
    """When each provider's last server was ready."""
    parts = [servers(p, *[f"{p}{i}" for i in range(40)], provider=p) for p in providers]
    _, run = driven(*parts, settings=settings, limit=8)
    assert run.status is RunState.COMPLETED
    return {
        p: max(r.ended_at for s, r in zip(run.plan.steps, run.records, strict=True) if s.provider == p) - run.created_at
        for p in providers
    }


@pytest.mark.parametrize("published", [True, False])
def test_a_throttled_provider_holds_none_of_the_runs_places(published: bool) -> None:
    slow: Settings = {"upcloud.rate": 0.5, "upcloud.burst": 1, "upcloud.publish_rate": published}
    alone = makespan({}, "aws")["aws"]
    both = makespan(slow, "upcloud", "aws")
    assert both["upcloud"] > 60.0
    assert both["aws"] < alone * 1.35, "one place of eight is the throttled provider's share"


def test_a_published_rate_is_kept_to_without_a_refusal() -> None:
    _, run = driven(
        servers("up", *[f"s{i}" for i in range(20)]), settings={"rate": 2.0, "burst": 3, "publish_rate": True}
    )
    assert (run.status, run.throttles) == (RunState.COMPLETED, 0)


def test_the_parallel_limit_is_never_exceeded_in_the_world() -> None:
    up = servers("up", *[f"s{i}" for i in range(20)])
    parts = (
        up,
        servers("aws", *[f"t{i}" for i in range(20)], provider="aws"),
        installs("svc", up, "redis", after=["up"]),
    )
    stage, run = driven(*parts, settings={"spread": 0.5, "transient": 0.2}, limit=5)
    assert run.status is RunState.COMPLETED
    flying: set[str] = set()
    for event in run_virtual(stage.history()):
        if isinstance(event, ev.StepStarted):
            flying.add(event.step)
        elif isinstance(event, ev.StepSucceeded | ev.StepRetrying | ev.StepFailed):
            flying.discard(event.step)
        assert len(flying) <= 5
    sent = sorted(call.at for call in stage.calls if call.method in ("create", "install"))
    assert all(later - first >= 0.05 for first, later in zip(sent, sent[5:], strict=False)), "a sixth waits for an end"


def test_a_server_that_never_becomes_ready_is_replaced_under_another_token() -> None:
    stage, run = driven(servers("up", "a", timeout=10.0), settings={"fail": "a=never_ready:1"})
    assert run.status is RunState.COMPLETED
    tokens = [event.token for event in run_virtual(stage.events(ev.StepStarted))]
    assert len(set(tokens)) == 2
    methods = [call.method for call in stage.calls if call.method in ("create", "destroy")]
    assert methods[0] == "create"
    assert methods[-1] == "create"
    assert methods.index("destroy") < len(methods) - 1, "the first is gone before the second is made"
    assert run_virtual(stage.names()) == {"a": 1}


def test_a_broken_server_is_replaced_and_given_up_in_the_end() -> None:
    stage, run = driven(servers("up", "a"), settings={"fail": "a=broken"})
    assert (run.status, len(stage.asked("create"))) == (RunState.FAILED, RETRY.max_attempts)
    record = run.records[0]
    assert record.ref, "the last one is known, so that a rollback or a resume removes it"
    assert run_virtual(stage.names()) == {"a": 1}


def test_a_soft_dependency_is_waited_for_and_not_needed() -> None:
    _, run = driven(servers("up", "a"), servers("top", "b", after=["~up"]), settings={"fail": "a"})
    assert states(run) == {"up/a": "failed", "top/b": "succeeded"}
    assert run.record("top/b").started_at >= run.record("up/a").ended_at


def test_a_kept_server_that_has_vanished_fails_and_what_needs_it_is_skipped() -> None:
    kept = keeps("up", {"a": "nowhere"})
    stage, run = driven(kept, installs("svc", kept, "redis", after=["up"]), settings={})
    assert states(run) == {"up/a": "failed", "svc/a/redis": "skipped"}
    assert "has not been seen" in run.records[0].fault.message  # type: ignore[union-attr]
    assert run.ended_at - run.created_at < 2 * 60.0, "it was waited for once"
    assert not stage.asked("create")


def test_waiting_for_many_servers_costs_one_look_per_tick() -> None:
    settings: Settings = {"boot_seconds": 20.0}
    stage, run = driven(servers("up", *[f"s{i}" for i in range(200)]), settings=settings, limit=200)
    assert run.status is RunState.COMPLETED
    poll = stage.providers["upcloud"].capabilities.poll_seconds
    assert len(stage.asked("describe")) <= (run.ended_at - run.created_at) / poll + 2


@pytest.mark.parametrize(
    "settings",
    [
        {"lost_answers": 0.5},
        {"late_commits": 0.5, "list_lag": 2.0},
        {"lost_answers": 0.5, "guard": "unique_name"},
        {"lost_answers": 0.5, "late_commits": 0.3, "guard": "token"},
        {"read_errors": 0.5, "lost_answers": 0.3},
    ],
)
def test_lost_answers_and_late_servers_leave_no_duplicates(settings: dict[str, Any]) -> None:
    stage, run = driven(servers("up", *[f"s{i}" for i in range(40)], retry=Retry(20, 0.5, 2.0)), settings=settings)
    assert run.status is RunState.COMPLETED
    assert set(run_virtual(stage.names()).values()) == {1}
