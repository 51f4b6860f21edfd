"""Open questions in words, in a run's view, its explanation, and a webhook's message."""

from __future__ import annotations

import msgspec
from tests.unit.engine.stage import QUICK, plan_of, servers
from tests.unit.engine.test_approval_gates import Hand, approval, waves

from batchwright.model import events as ev
from batchwright.model.plan import Hold
from batchwright.model.webhook import WebhookEvent
from batchwright.model.webhook_trigger import webhook_event
from batchwright.views.approvals import answer_line, expiry_words, given_words, open_questions, through_words
from batchwright.views.run import run_view
from batchwright.views.step_explanation import explain
from batchwright.views.wait_reasons import Circumstances, WaitCode
from batchwright.views.webhook_message import webhook_message


def asking(hold: Hold, count: int = 2) -> Hand:
    rest = servers("rest", *(f"s{n}" for n in range(count)), after=["ok"])
    hand = Hand(plan_of(QUICK, approval("ok", hold), rest))
    hand.go()
    return hand


def test_a_question_says_what_it_lets_through_for_whom_and_until_when() -> None:
    hand = asking(Hold(("ops", "lead"), quorum=2, expires=3600.0), 30)
    hand.answer("ok/ask", "ops")
    [one] = open_questions(hand.run)
    assert (one.question, one.counts, len(one.steps), one.steps_more) == ("Go on?", {"create": 30}, 20, 10)
    assert through_words(one).startswith("30 steps (create 30): rest/s0, ")
    assert through_words(one).endswith(" and 24 more")
    assert given_words(one) == "1 of 2 approvals given: ops"
    assert one.who == "2 of ops or lead"
    assert expiry_words(one, hand.now) == "open for another 1 h 00 min; then it counts as refused"
    assert answer_line(one).startswith("batchwright approve run ok/ask, or batchwright refuse run ok/ask")


def test_a_gate_lets_its_wave_through() -> None:
    hand = Hand(plan_of(QUICK, waves("up", 1, 2, 1, hold=Hold())))
    hand.go()
    hand.end("up/s0")
    [one] = open_questions(hand.run)
    assert (one.step, one.steps) == ("up/(wave 2)", ("up/s1", "up/s2", "up/s3")), "nobody is asked about wave 3"
    assert answer_line(one).startswith("batchwright approve run 'up/(wave 2)', or")


def test_a_run_that_asks_says_so_and_how_to_go_on() -> None:
    hand = asking(Hold())
    view = run_view(hand.run, hand.now)
    assert [op.state for op in view.operations] == ["asks", "waiting"]
    assert WaitCode.APPROVAL in [one.code for one in view.waiting]
    assert view.next == "answer it: batchwright approve run, or batchwright refuse run"
    left = run_view(hand.run, hand.now, around=Circumstances(driven=False))
    assert left.next.endswith("no process drives this run, so then: batchwright resume run")
    told = explain(hand.run, [hand.run.created, *hand.history], "ok/ask", hand.now)
    assert (told.summary, told.waits_for) == ("waits for approval", ("approval",))


def test_what_became_of_it_is_explained() -> None:
    hand = asking(Hold())
    hand.answer("ok/ask", "ada")
    past = [hand.run.created, *hand.history]
    assert explain(hand.run, past, "ok/ask", hand.now).summary == "approved by ada"
    assert "ok/ask let it go on" in explain(hand.run, past, "rest/s0", hand.now).chain[1].text
    hand = asking(Hold())
    hand.answer("ok/ask", "ada", yes=False)
    past = [hand.run.created, *hand.history]
    assert explain(hand.run, past, "ok/ask", hand.now).summary == "not approved: ada refused: not today"
    assert "ada refused: not today" in explain(hand.run, past, "rest/s0", hand.now).summary


def test_webhooks_are_told_the_question() -> None:
    hand = asking(Hold(("ops",), expires=60.0))
    event = hand.history[-1]
    assert isinstance(event, ev.HoldAsked)
    assert webhook_event(event) is WebhookEvent.RUN_ASKS
    data = msgspec.json.decode(webhook_message(hand.run, event, WebhookEvent.RUN_ASKS))["data"]
    assert data["question"] == {
        "step": "ok/ask", "text": "Go on?", "ask": 1, "hash": event.hash, "until": "1970-01-01T00:02:40.000Z",
        "of": ["ops"], "quorum": 1,
    }  # fmt: skip
    started = msgspec.json.decode(webhook_message(hand.run, hand.history[1], WebhookEvent.RUN_STARTED))
    assert "question" not in started["data"]
