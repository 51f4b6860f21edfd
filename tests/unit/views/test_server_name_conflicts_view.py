"""What people read while a server waits until it is certain that no other store created one of its name."""

from __future__ import annotations

import pytest
from msgspec.structs import replace
from tests.unit.views.story import T0

from batchwright.model import events as ev
from batchwright.model.run import Run
from batchwright.testing.plans import plan_of, servers, workflow
from batchwright.views.plan import plan_view
from batchwright.views.run import run_view
from batchwright.views.step_explanation import explain
from batchwright.views.wait_reasons import WaitCode, WaitingSteps

MAKING_SURE = "making sure that nobody else created web-1, 12 s"


def created(**facts: object) -> Run:
    """A run whose server has been known since 10 s after its start and usually boots within 30 s."""
    plan = plan_of(workflow(servers("web", "web-1")), {})
    (known,) = plan.providers
    run = Run(ev.RunCreated(T0, "abcdefghijkl", replace(plan, providers=(replace(known, **facts),))))
    for event in (
        ev.DriverStarted(T0, "host:1:1", 1),
        ev.RunStarted(T0),
        ev.StepStarted(T0, "web/web-1", 1, "t"),
        ev.StepCreated(T0 + 10, "web/web-1", "r1"),
    ):
        run.apply(event)
    return run


@pytest.mark.parametrize("restarted", [False, True])
def test_a_wait_that_is_longer_than_a_boot_is_shown(restarted: bool) -> None:
    run = created(visible_seconds=60.0)
    now = T0 + 58
    if restarted:
        run.apply(ev.DriverStarted(T0 + 110, "host:2:2", 2))
        now = T0 + 158
    view = run_view(run, now)
    assert view.waiting == (WaitingSteps(MAKING_SURE, 1, WaitCode.TWIN),)
    assert [line.doing for line in view.running] == [MAKING_SURE]
    told = explain(run, [], "web/web-1", now)
    assert told.waits_for == (MAKING_SURE,)
    assert told.summary == f"created, not used yet: {MAKING_SURE}"


@pytest.mark.parametrize(("visible", "after"), [(60.0, 20.0), (60.0, 71.0), (0.0, 58.0)])
def test_a_server_that_still_boots_or_needs_no_look_is_waited_for(visible: float, after: float) -> None:
    view = run_view(created(visible_seconds=visible), T0 + after)
    assert view.waiting == ()
    assert [line.doing for line in view.running] == ["created, waiting until it is ready"]


def test_a_plan_says_what_is_assumed_about_the_account() -> None:
    assert plan_view(created(visible_seconds=60.0).plan).notes == ()
    (assumed,) = plan_view(created(visible_seconds=60.0, visible_promised=False).plan).notes
    assert "once a listing after 1 min 00 s shows no other of its name" in assumed
    (said,) = plan_view(created(exclusive=True).plan).notes
    assert "no other store creates servers in this account" in said
