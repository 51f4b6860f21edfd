"""Waves in words, where a run is in them, and what is told of a run that lost a server."""

from __future__ import annotations

import msgspec
import pytest
from tests.unit.engine.stage import QUICK, plan_of
from tests.unit.engine.test_approval_gates import BROKEN, Hand, waves

from batchwright.model import events as ev
from batchwright.model.fault import Fault, FaultClass
from batchwright.model.guardrail_limits import Impact
from batchwright.model.lifecycle import RunState
from batchwright.model.plan import Hold
from batchwright.model.webhook import WebhookEvent
from batchwright.plan.policy_data import policy_data
from batchwright.views.eta import remaining_seconds
from batchwright.views.plan import plan_view
from batchwright.views.plan_index import plan_index
from batchwright.views.planned_waves import PlannedWaves
from batchwright.views.run import run_view
from batchwright.views.webhook_message import webhook_message


@pytest.mark.parametrize(
    ("planned", "words"),
    [
        (PlannedWaves(), ""),
        (PlannedWaves((1, 5, 4)), "in waves of 1, 5 and 4"),
        (PlannedWaves((1, 5, 4), (1,)), "in waves of 1, 5 and 4, asks after the first"),
        (PlannedWaves((1, 5, 4), (1, 2), 9, 10), "in waves of 1, 5 and 4, asks after each; 9 of 10 must succeed"),
        (PlannedWaves((1, 5, 4), (1,), asks="2 of ops"), "in waves of 1, 5 and 4, asks 2 of ops after the first"),
        (PlannedWaves((1,) * 300), "in 300 waves of 1, 1, 1, 1, 1, ..."),
        (PlannedWaves((), (), 18, 20), "18 of 20 must succeed"),
    ],
)
def test_waves_in_words(planned: PlannedWaves, words: str) -> None:
    assert planned.words == words


def test_gates_are_counted_nowhere() -> None:
    plan = plan_of(QUICK, waves("up", 1, 2, 1))
    view = plan_view(plan)
    assert (view.operations[0].steps, sum(view.counts.values()), sum(view.difference.values())) == (4, 4, 4)
    assert view.notes == ("up: in waves of 1, 2 and 1",)
    data = policy_data(plan, Impact(before=0, after=0, most=0), 0.0)
    assert (len(data["servers"]), data["approvals"], data["operations"][0]["waves"]) == (4, [], 3)


def test_what_is_left_of_the_waves_is_what_the_estimate_reckons_with() -> None:
    hand = Hand(plan_of(QUICK, waves("up", 1, 1, 1, 1)))
    shape = plan_index(hand.run.plan)
    hand.go()
    first = remaining_seconds(hand.run, shape, hand.now)
    hand.end("up/s0")
    hand.end("up/s1")
    later = remaining_seconds(hand.run, shape, hand.now)
    assert first is not None
    assert later is not None
    assert later < first
    view = run_view(hand.run, hand.now)
    assert (view.operations[0].wave, view.operations[0].waves) == (3, 4)


def test_a_degraded_run_is_told_as_such() -> None:
    hand = Hand(plan_of(QUICK, waves("up", 1, 3, min_success="75%")))
    hand.go()
    hand.end("up/s0", fault=BROKEN)
    hand.end("up/s1", "up/s2", "up/s3")
    assert hand.run.status is RunState.COMPLETED
    view = run_view(hand.run, hand.now)
    assert (view.degraded, view.operations[0].state, view.total) == (("up",), "degraded", 4)
    assert hand.run.summary("memory").degraded == 1
    assert "run the file again for what is missing" in view.next
    message = msgspec.json.decode(webhook_message(hand.run, hand.history[-1], WebhookEvent.RUN_COMPLETED))
    assert (message["data"]["degraded"], message["data"]["steps"]["total"]) == (["up"], 4)


def test_a_gate_that_people_refused_is_shown_as_what_failed() -> None:
    hand = Hand(plan_of(QUICK, waves("up", 1, 2, hold=Hold())))
    hand.go()
    hand.end("up/s0")
    refused = Fault(FaultClass.PERMANENT, "ada refused")
    hand.take([ev.HoldRefused(hand.now, "up/(wave 2)", 1, refused)])
    hand.go()
    view = run_view(hand.run, hand.now)
    assert [(one.step, one.message) for one in view.failed] == [("up/(wave 2)", "ada refused")]
    assert (view.failed_more, view.operations[0].state) == (0, "failed")
