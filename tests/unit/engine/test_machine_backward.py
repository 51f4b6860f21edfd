"""The rollback by hand: what is undone, in which order, what stays, and what is left."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from batchwright.engine import effects, reports
from batchwright.engine.policy import THROTTLES_MAX
from batchwright.engine.rollback_preview import PlannedUndo, preview_rollback
from batchwright.errors import NotAllowed
from batchwright.model import events as ev
from batchwright.model.actions import Undo
from batchwright.model.call_outcome import Applied, Created, Unknown
from batchwright.model.fault import FaultClass
from batchwright.model.lifecycle import RunState
from batchwright.model.plan import Plan
from batchwright.model.run_signal import SignalKind
from batchwright.model.workflow import Retry
from tests.unit.engine.hand import Hand, fault, kinds
from tests.unit.engine.stage import QUICK, installs, keeps, plan_of, servers


def done(plan: Plan, *lanes: str) -> Hand:
    """The run of a plan in which everything succeeds, swept and ended."""
    hand = Hand(plan)
    for step in plan.steps:
        match step.action:
            case "create":
                hand.make(step.id)
            case "keep":
                hand.looked(step.id)
            case "install":
                hand.answer(step.id, Applied())
    for lane in lanes:
        hand.swept(lane=lane)
    assert hand.machine.ended
    return hand


def roll_back(hand: Hand) -> list[PlannedUndo]:
    """Begin; gives what the preview said before."""
    preview = preview_rollback(hand.run)
    hand.commands.clear()
    hand.take(hand.machine.rollback(hand.now, "user"))
    hand.decide()
    return preview


def undoing(hand: Hand) -> set[str]:
    return {step.id for step in hand.run.plan.steps if hand.state(step.id) == "undoing"}


def undone_later(hand: Hand, since: int) -> list[str]:
    return [event.step for event in hand.history[since:] if isinstance(event, ev.StepUndone)]


def undo_all(hand: Hand, *lanes: str) -> None:
    while left := sorted(undoing(hand)):
        hand.undid(left[0])
    for lane in lanes:
        hand.swept(lane=lane)


def layered(undo: Undo = Undo.WITH_SERVER) -> Plan:
    up, aws = servers("up", "a", "b"), servers("aws", "c", provider="aws", after=["up"])
    return plan_of(QUICK, up, aws, installs("svc", up, "one", "two", after=["up", "aws"], undo=undo))


def test_servers_go_in_reverse_and_take_what_is_on_them_along() -> None:
    hand = done(layered(), "upcloud", "aws")
    preview, since = roll_back(hand), len(hand.history)
    assert undoing(hand) == {"aws/c"}
    hand.undid("aws/c")
    assert undoing(hand) == {"up/a", "up/b"}
    undo_all(hand, "upcloud", "aws")
    assert hand.run.status is RunState.ROLLED_BACK
    assert [(line.step, line.what) for line in preview] == [
        ("aws/c", "destroy"), ("up/a", "destroy"), ("svc/a/one", "with-server"),
        ("svc/a/two", "with-server"), ("up/b", "destroy"), ("svc/b/one", "with-server"),
        ("svc/b/two", "with-server"),
    ]  # fmt: skip
    assert sorted(undone_later(hand, since)) == sorted(line.step for line in preview)
    assert {event.step for event in hand.events(ev.StepUndone) if event.with_server} == {
        f"svc/{server}/{name}" for server in "ab" for name in ("one", "two")
    }


def test_what_asks_to_be_removed_first_is_removed_first_last_one_first() -> None:
    hand = done(layered(Undo.REMOVE), "upcloud", "aws")
    preview = roll_back(hand)
    assert [line.what for line in preview] == ["remove"] * 4 + ["destroy"] * 3
    assert undoing(hand) == {"svc/a/two", "svc/b/two"}
    hand.undid("svc/a/two")
    assert undoing(hand) == {"svc/a/one", "svc/b/two"}
    hand.undid("svc/a/one")
    assert undoing(hand) == {"svc/b/two"}, "the servers wait for all that is on them"
    undo_all(hand, "upcloud", "aws")
    assert hand.run.status is RunState.ROLLED_BACK


def test_a_removal_waits_for_a_later_one_even_if_nothing_between_them_is_removed() -> None:
    kept = keeps("up", {"a": "r1"})
    plan = plan_of(QUICK, kept, installs("svc", kept, "one", "two", "three", after=["up"], undo=Undo.REMOVE))
    hand = Hand(plan)
    hand.looked("up/a")
    for name, changed in (("one", True), ("two", False), ("three", True)):
        hand.answer(f"svc/a/{name}", Applied(changed))
    preview = roll_back(hand)
    assert [(line.step, line.what) for line in preview] == [
        ("svc/a/three", "remove"), ("svc/a/one", "remove"), ("up/a", "stays"), ("svc/a/two", "stays"),
    ]  # fmt: skip
    assert undoing(hand) == {"svc/a/three"}
    hand.undid("svc/a/three")
    assert undoing(hand) == {"svc/a/one"}


def test_what_was_there_before_is_never_undone() -> None:
    kept = keeps("up", {"a": "r1"})
    hand = Hand(plan_of(QUICK, kept, installs("svc", kept, "redis", after=["up"], undo=Undo.REMOVE)))
    hand.looked("up/a")
    hand.answer("svc/a/redis", Applied(changed=False))
    assert hand.run.status is RunState.COMPLETED
    preview = roll_back(hand)  # nothing is undone, and the run before it is the newest again
    assert {line.what.value for line in preview} == {"stays"}
    assert hand.run.status is RunState.ROLLED_BACK
    assert not [one for one in hand.history if isinstance(one, ev.UndoStarted)]


def test_a_run_that_did_nothing_cannot_be_rolled_back() -> None:
    hand = Hand(plan_of(QUICK, keeps("up", {"a": "r1"})))
    hand.looked("up/a")
    assert hand.run.status is RunState.COMPLETED
    with pytest.raises(NotAllowed, match="created nothing"):
        hand.machine.rollback(hand.now, "user")


def test_an_install_that_failed_half_way_is_removed_wherever_it_was_left() -> None:
    def failed(hand: Hand) -> None:
        hand.answer("svc/a/redis", FaultClass.PERMANENT)

    def retrying(hand: Hand) -> None:
        hand.answer("svc/a/redis", FaultClass.TRANSIENT)
        hand.wish(SignalKind.CANCEL)

    def reopened(hand: Hand) -> None:
        failed(hand)
        hand.take(hand.machine.reopen(hand.now, "user"))
        hand.wish(SignalKind.CANCEL)

    def in_flight(hand: Hand) -> None:
        hand.wish(SignalKind.FORCE_CANCEL)

    ends: list[Callable[[Hand], None]] = [failed, retrying, reopened, in_flight]
    for end in ends:
        kept = keeps("up", {"a": "r1"})
        hand = Hand(plan_of(QUICK, kept, installs("svc", kept, "redis", after=["up"], undo=Undo.REMOVE)))
        hand.looked("up/a")
        end(hand)
        roll_back(hand)
        assert undoing(hand) == {"svc/a/redis"}, end.__name__


def test_a_server_in_doubt_and_one_that_was_to_be_replaced_are_undone() -> None:
    hand = Hand(plan_of(QUICK, servers("up", "a", "b", "c")))
    hand.answer("up/a", Unknown("reset"))
    hand.answer("up/b", Created("r2"))
    hand.looked("up/b", fault(FaultClass.TIMEOUT))
    hand.answer("up/c", FaultClass.PERMANENT)
    hand.wish(SignalKind.FORCE_CANCEL)
    preview = roll_back(hand)
    assert undoing(hand) == {"up/a", "up/b"}, "c created nothing, and that is certain"
    assert "in doubt" in next(line.note for line in preview if line.step == "up/a")


def test_a_step_reopened_with_something_left_of_before_can_be_undone() -> None:
    hand = Hand(plan_of(QUICK, servers("up", "a", retry=Retry(max_attempts=1))))
    hand.answer("up/a", Created("r1"))
    hand.looked("up/a", fault(FaultClass.TIMEOUT))
    hand.swept(fault=fault(FaultClass.TRANSIENT))  # a clean one would have found it
    hand.take([*hand.machine.reopen(hand.now, "user"), ev.CancelRequested(hand.now, "user")])
    hand.decide()
    hand.swept(fault=fault(FaultClass.TRANSIENT))
    assert (hand.run.status, hand.state("up/a"), hand.run.records[0].stale) == (RunState.CANCELLED, "waiting", "r1")
    roll_back(hand)
    assert undoing(hand) == {"up/a"}


def test_an_undo_is_retried_then_named_as_residue_and_holds_nobody_up() -> None:
    hand = done(plan_of(QUICK, servers("up", "a"), servers("top", "b", after=["up"])), "upcloud")
    roll_back(hand)
    waits = []
    for _ in range(2):
        (again,) = [e for e in hand.undid("top/b", fault(FaultClass.TRANSIENT)) if isinstance(e, ev.UndoRetrying)]
        waits.append(again.until - hand.now)
        hand.later(again.until - hand.now)
    assert waits[0] < waits[1] + 0.5
    assert "UndoFailed" in kinds(hand.undid("top/b", fault(FaultClass.TRANSIENT)))
    assert undoing(hand) == {"up/a"}
    undo_all(hand, "upcloud")
    assert hand.run.status is RunState.ROLLBACK_INCOMPLETE
    assert hand.run.residue == ("top/b: server ref-top/b on upcloud: it is transient",)


def test_a_second_rollback_tries_what_is_left_and_says_so_before() -> None:
    hand = done(plan_of(QUICK, servers("up", "a", "b")), "upcloud")
    roll_back(hand)
    hand.undid("up/a", fault(FaultClass.PERMANENT))
    hand.undid("up/b")
    hand.swept()
    assert hand.run.status is RunState.ROLLBACK_INCOMPLETE
    preview = roll_back(hand)
    assert [(line.step, line.what) for line in preview] == [("up/a", "destroy")]
    assert undoing(hand) == {"up/a"}
    undo_all(hand, "upcloud")
    assert (hand.run.status, hand.run.residue) == (RunState.ROLLED_BACK, ())


def test_throttles_on_the_way_back_use_up_no_attempts_either() -> None:
    hand = done(plan_of(QUICK, servers("up", "a", retry=Retry(max_attempts=2))), "upcloud")
    roll_back(hand)
    for _ in range(5):
        hand.undid("up/a", fault(FaultClass.THROTTLE))
    hand.undid("up/a", fault(FaultClass.TRANSIENT))
    hand.later(60.0)
    assert (hand.state("up/a"), hand.run.throttles, hand.run.retries) == ("undoing", 5, 1)
    for _ in range(THROTTLES_MAX + 1):
        hand.undid("up/a", fault(FaultClass.THROTTLE))
    assert hand.state("up/a") == "undo_failed", "but not for ever"


def test_a_crash_sends_open_undos_again_and_doubts_nothing_new() -> None:
    hand = done(layered(), "upcloud", "aws")
    roll_back(hand)
    hand = hand.crash()
    assert hand.commands == [effects.UndoStep(hand.run.step("aws/c"), 1)]
    assert not hand.run.record("aws/c").doubt
    assert not hand.run.doubtful
    hand.undid("aws/c")
    undo_all(hand, "upcloud", "aws")
    assert hand.run.status is RunState.ROLLED_BACK


def test_a_crash_between_the_server_and_what_was_on_it() -> None:
    hand = done(layered(), "upcloud", "aws")
    roll_back(hand)
    hand.undid("aws/c")
    a = hand.run.step("up/a")
    hand.take(hand.machine.accept(reports.UndoReport(a, 1), hand.now))
    assert hand.state("svc/a/one") == "succeeded"
    hand = hand.crash()
    assert [line.what for line in preview_rollback(hand.run) if line.step == "svc/a/one"] == ["with-server"]
    hand.decide()
    assert hand.state("svc/a/one") == "undone"


def test_undos_keep_to_the_limits() -> None:
    plan = plan_of(QUICK, servers("up", *"abcdef"), servers("aws", *"uvw", provider="aws"), limit=4)
    hand = done(plan, "upcloud", "aws")
    hand.take(hand.machine.rollback(hand.now, "user"))
    assert len(hand.machine.decide(hand.now, {"upcloud": 1, "aws": 0})) == 1
    hand = done(plan, "upcloud", "aws")
    roll_back(hand)
    assert len(undoing(hand)) == 4


def test_a_forced_cancel_in_the_middle_lists_a_step_in_doubt_once_and_in_its_place() -> None:
    hand = Hand(plan_of(QUICK, servers("up", "a", "b"), servers("top", "c", after=["~up"])))
    hand.make("up/a")
    hand.answer("up/b", FaultClass.PERMANENT)
    hand.make("top/c")
    hand.swept()
    hand.take(hand.machine.reopen(hand.now, "user"))
    hand.decide()
    hand.wish(SignalKind.FORCE_CANCEL)
    assert hand.state("up/b") == "started"
    assert [line.step for line in preview_rollback(hand.run)] == ["top/c", "up/a", "up/b"]
