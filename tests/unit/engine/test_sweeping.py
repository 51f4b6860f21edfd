"""The closing sweep by hand: lane by lane, round by round, until a round finds nothing."""

from __future__ import annotations

from batchwright.engine import effects, reports
from batchwright.engine.closing_sweep import ROUNDS_MAX
from batchwright.model import events as ev
from batchwright.model.call_outcome import Unknown
from batchwright.model.fault import FaultClass
from batchwright.model.lifecycle import RunState
from batchwright.model.run_signal import SignalKind
from batchwright.model.workflow import Retry
from batchwright.views.events import event_line
from tests.unit.engine.hand import Hand, fault, kinds
from tests.unit.engine.stage import QUICK, plan_of, servers


def ended(*, lanes: int = 1) -> Hand:
    """All steps have succeeded; the sweep has begun."""
    parts = [servers("up", "a"), servers("aws", "b", provider="aws")][:lanes]
    hand = Hand(plan_of(QUICK, *parts))
    hand.make(*(step.id for step in hand.run.plan.steps))
    return hand


def gone(hand: Hand, ref: str, kind: FaultClass | None = None) -> list[ev.AnyEvent]:
    return hand.say(reports.OrphanReport("upcloud", ref, fault(kind) if kind else None))


def test_every_lane_in_which_something_was_sent_is_swept() -> None:
    hand = ended(lanes=2)
    assert [c.lane for c in hand.taken(effects.Sweep)] == ["upcloud", "aws"]
    hand.swept(lane="aws")
    assert hand.run.status is RunState.RUNNING
    hand.swept(lane="upcloud")
    assert hand.run.status is RunState.COMPLETED


def test_strays_are_destroyed_and_looked_for_again() -> None:
    hand = ended()
    hand.commands.clear()
    assert kinds(hand.swept(("x1", "a"), ("x2", "a"))) == ["OrphanFound", "OrphanFound"]
    assert hand.taken(effects.DestroyOrphan) == [
        effects.DestroyOrphan("upcloud", "x1"),
        effects.DestroyOrphan("upcloud", "x2"),
    ]
    assert kinds(gone(hand, "x1")) == ["OrphanRemovalEnded"]
    assert kinds(gone(hand, "x2")) == ["OrphanRemovalEnded", "SweepStarted"]
    hand.swept()
    assert (hand.run.status, hand.run.strays_found) == (RunState.COMPLETED, 2)


def test_what_servers_had_in_common_is_removed_and_is_no_orphan() -> None:
    """C12: a run's own group and key were told as strays."""
    hand = ended()
    listed = reports.SweepReport(
        "upcloud", hand.run.sweeps["upcloud"], (("sg", "run x"), ("i", "late")), shared=frozenset({"sg"})
    )
    told = [event_line(event) for event in hand.say(listed)]
    assert told == [
        "sg (run x) in upcloud belonged to the run and is removed with its last server",
        "orphan found in upcloud: i (late); destroying it",
    ]
    gone(hand, "sg")
    gone(hand, "i")
    hand.swept()
    assert (hand.run.status, hand.run.strays_found) == (RunState.COMPLETED, 1)


def test_a_stray_that_resists_for_a_moment_is_tried_again_and_forgiven() -> None:
    for order in (("x1", "x2"), ("x2", "x1")):
        hand = ended()
        hand.swept(("x1", "a"), ("x2", "a"))
        for ref in order:
            gone(hand, ref, FaultClass.TRANSIENT if ref == "x1" else None)
        assert hand.swept(("x1", "a")), "it is found again"
        gone(hand, "x1")
        hand.swept()
        assert (hand.run.status, hand.run.sweep_faults) == (RunState.COMPLETED, {})


def test_a_stray_that_can_never_be_removed_ends_the_sweep_whatever_the_order() -> None:
    for order in (("x1", "x2"), ("x2", "x1")):
        hand = ended()
        hand.swept(("x1", "a"), ("x2", "a"))
        for ref in order:
            gone(hand, ref, FaultClass.PERMANENT if ref == "x1" else None)
        assert hand.run.status is RunState.FAILED
        assert hand.run.sweep_faults["upcloud"].kind is FaultClass.PERMANENT


def test_strays_that_keep_coming_end_the_sweep() -> None:
    hand = ended()
    for _ in range(ROUNDS_MAX - 1):
        hand.swept(("x1", "a"))
        gone(hand, "x1", FaultClass.TRANSIENT)
    hand.swept(("x1", "a"))
    assert hand.run.status is RunState.FAILED
    assert f"after {ROUNDS_MAX} sweeps" in hand.run.sweep_faults["upcloud"].message


def test_duplicate_and_outdated_reports_amount_to_nothing() -> None:
    hand = ended()
    hand.swept(("x1", "a"))
    assert hand.say(reports.SweepReport("upcloud", 1, (("x9", "z"),))) == []
    gone(hand, "x1")
    assert gone(hand, "x1") == []
    assert hand.say(reports.SweepReport("upcloud", 1)) == [], "of the round before"
    assert hand.say(reports.SweepReport("elsewhere", 1)) == []


def test_a_crash_sweeps_again_what_was_not_swept() -> None:
    hand = ended(lanes=2)
    hand.swept(lane="aws")
    hand.swept(("x1", "a"), lane="upcloud")
    hand = hand.crash()
    hand.decide()
    assert [(c.lane, c.round) for c in hand.taken(effects.Sweep)] == [("upcloud", 2)]
    assert gone(hand, "x1") == [], "asked for by the driver that died"
    hand.swept()
    assert hand.run.status is RunState.COMPLETED


def test_a_clean_sweep_is_the_proof_that_a_doubt_made_nothing() -> None:
    for found in ((), (("x1", "a"),)):
        hand = Hand(plan_of(QUICK, servers("up", "a", retry=Retry(1))))
        hand.answer("up/a", Unknown("reset"))
        hand.settled("up/a", fault=fault(FaultClass.IN_DOUBT))
        assert hand.run.records[0].doubt
        if found:
            hand.swept(*found)
            gone(hand, "x1")
        hand.swept()
        assert (hand.run.status, hand.run.records[0].doubt, hand.run.doubtful) == (RunState.FAILED, False, {})


def test_a_sweep_that_could_not_look_keeps_the_doubt() -> None:
    hand = Hand(plan_of(QUICK, servers("up", "a", retry=Retry(1))))
    hand.answer("up/a", Unknown("reset"))
    hand.settled("up/a", fault=fault(FaultClass.IN_DOUBT))
    hand.swept(fault=fault(FaultClass.TRANSIENT))
    assert hand.run.records[0].doubt
    assert hand.run.reason == "1 failed, 0 skipped; the closing sweep could not finish: upcloud"


def test_a_pause_during_the_sweep_holds_up_the_next_round_only() -> None:
    hand = ended()
    hand.wish(SignalKind.PAUSE)
    hand.swept(("x1", "a"))
    assert kinds(gone(hand, "x1")) == ["OrphanRemovalEnded"]
    assert kinds(hand.wish(SignalKind.RESUME)) == ["RunResumed", "SweepStarted"]


def test_a_rollback_that_cannot_sweep_is_incomplete_and_says_why() -> None:
    hand = ended()
    hand.swept()
    hand.take(hand.machine.rollback(hand.now, "user"))
    hand.decide()
    hand.undid("up/a")
    hand.swept(fault=fault(FaultClass.TRANSIENT))
    assert hand.run.status is RunState.ROLLBACK_INCOMPLETE
    assert hand.run.residue == ("upcloud: could not be searched for orphans: it is transient",)
    hand.take(hand.machine.rollback(hand.now, "user"))
    hand.decide()
    hand.swept()
    assert hand.run.status is RunState.ROLLED_BACK
