"""What the machine decides about commands: run again, ask, taken as done, undone."""

from __future__ import annotations

import msgspec
import pytest
from msgspec.structs import replace

from batchwright.engine import effects
from batchwright.engine.rollback_preview import PlannedUndo, preview_rollback
from batchwright.errors import NotAllowed, StepNotFound
from batchwright.model import events as ev
from batchwright.model.call_outcome import Applied, Rejected, Unknown
from batchwright.model.fault import Fault, FaultClass
from batchwright.model.lifecycle import RunState
from batchwright.model.run import Run, unsettled
from batchwright.model.run_signal import SignalKind
from batchwright.model.run_snapshot import encode_snapshot
from batchwright.model.workflow import OnFailure, Retry
from tests.unit.engine.hand import Hand, kinds
from tests.unit.engine.stage import QUICK, Part, installs, plan_of, runs, servers

EXITED = Rejected(Fault(FaultClass.EXIT, "make exited with code 2"))
LOST = Unknown("the connection was lost")


def hand(*parts: Part) -> Hand:
    return Hand(plan_of(QUICK, *parts))


def failure(by_hand: Hand, step: str) -> ev.StepFailed:
    [failed] = [event for event in by_hand.events(ev.StepFailed) if event.step == step]
    return failed


def test_a_command_that_ends_well_succeeds_and_counts_as_made() -> None:
    one = hand(runs("do", undo=False), runs("then", after=["do"]))
    assert one.taken(effects.DoStep) == [effects.DoStep(0, 1)]
    one.answer("do/run", Applied())
    assert one.taken(effects.DoStep) == [effects.DoStep(1, 1)]
    one.answer("then/run", Applied())
    assert one.run.status is RunState.COMPLETED
    assert one.run.record("do/run").made


def test_an_idempotent_command_is_retried_whatever_became_of_it() -> None:
    one = hand(runs("do", idempotent=True, retry=Retry(3, 1.0, 8.0)))
    one.answer("do/run", EXITED)
    one.later(10)
    one.answer("do/run", LOST)
    assert one.run.record("do/run").doubt
    one.later(10)
    assert [c.attempt for c in one.taken(effects.DoStep)] == [1, 2, 3]
    one.answer("do/run", Applied())
    assert one.run.status is RunState.COMPLETED
    assert not one.run.record("do/run").doubt


def test_one_that_is_not_is_never_run_again_by_itself() -> None:
    for outcome, doubt in ((EXITED, False), (LOST, True)):
        one = hand(runs("do", retry=Retry(5, 1.0, 8.0)), runs("then", after=["do"]))
        one.answer("do/run", outcome)
        one.later(1_000)
        assert failure(one, "do/run").doubt is doubt
        assert one.state("then/run") == "skipped"
        assert (one.run.status, len(one.taken(effects.DoStep))) == (RunState.FAILED, 1)


def test_a_refusal_before_it_was_started_is_retried_all_the_same() -> None:
    one = hand(runs("do"))
    one.answer("do/run", FaultClass.TRANSIENT)
    one.later(10)
    one.answer("do/run", Applied())
    assert one.run.status is RunState.COMPLETED


def test_a_refusal_before_a_start_leaves_the_doubt_about_the_start_before_it() -> None:
    one = hand(runs("do", idempotent=True))
    one.answer("do/run", LOST)
    one.later(10)
    one.answer("do/run", FaultClass.TRANSIENT)
    assert one.run.record("do/run").doubt  # so what it may have left running is ended before the next start
    one.later(10)
    one.answer("do/run", EXITED)
    assert not one.run.record("do/run").doubt


def test_after_a_crash_an_idempotent_command_is_run_again_and_another_one_is_looked_for() -> None:
    one = hand(runs("again", idempotent=True), runs("once")).crash()
    assert one.taken(effects.DoStep) == [effects.DoStep(0, 1)]
    assert one.taken(effects.Settle) == [effects.Settle(1, 1)]
    one.settled("once/run", fault=Fault(FaultClass.IN_DOUBT, "still running as process 7"))
    failed = failure(one, "once/run")
    assert failed.doubt
    assert failed.fault.message == "still running as process 7"
    assert "batchwright resume run --redo once/run" in failed.fault.hint
    assert "--skip once/run" in failed.fault.hint
    one.answer("again/run", Applied())
    assert one.run.status is RunState.FAILED


def doubtful() -> Hand:
    """A run that failed because nobody knows how far two commands got."""
    one = hand(runs("a"), runs("b"), runs("c", after=["a", "b"]))
    one.answer("a/run", LOST)
    one.answer("b/run", LOST)
    assert one.run.status is RunState.FAILED
    one.taken(effects.DoStep)
    return one


def test_a_run_with_commands_in_doubt_does_not_just_go_on() -> None:
    one = doubtful()
    for redo, skip in (((), ()), (("a/run",), ()), ((), ("b/run",))):
        with pytest.raises(NotAllowed, match="it is unknown how far") as caught:
            one.machine.reopen(one.now, "user", redo, skip)
        assert "--redo STEP" in caught.value.hint
    with pytest.raises(NotAllowed, match=r"how far a/run, b/run got"):
        one.machine.reopen(one.now, "user")


def test_it_goes_on_once_it_is_said_for_each_what_to_do() -> None:
    one = doubtful()
    one.take(one.machine.reopen(one.now, "user", ["a/run"], ["b/run"]))
    assert (one.state("a/run"), one.state("b/run"), one.state("c/run")) == ("waiting", "succeeded", "waiting")
    assert one.run.record("b/run").reason == "marked as done by user"
    one.decide()
    assert one.taken(effects.DoStep) == [effects.DoStep(0, 2)]
    one.answer("a/run", Applied())
    one.answer("c/run", Applied())
    assert one.run.status is RunState.COMPLETED
    assert encode_snapshot(Run.replay(one.history)) == encode_snapshot(one.run)


@pytest.mark.parametrize(
    ("redo", "skip", "words"),
    [
        (["a/run", "b/run"], ["a/run"], "cannot be both run again and skipped"),
        (["a/run", "b/run", "c/run"], [], "c/run is skipped and is not in doubt"),
    ],
)
def test_an_answer_that_fits_no_command_in_doubt_is_refused(redo: list[str], skip: list[str], words: str) -> None:
    one = doubtful()
    with pytest.raises(NotAllowed, match=words):
        one.machine.reopen(one.now, "user", redo, skip)
    with pytest.raises(StepNotFound):
        one.machine.reopen(one.now, "user", ["d/run"])


def test_what_becomes_of_a_server_is_not_for_a_person_to_say() -> None:
    one = hand(servers("up", "x"))
    one.answer("up/x", FaultClass.PERMANENT)
    one.swept()
    with pytest.raises(NotAllowed, match="up/x is not a command"):
        one.machine.reopen(one.now, "user", skip=["up/x"])


def test_a_command_that_plainly_failed_can_be_taken_as_done_or_done_again() -> None:
    one = hand(runs("do"))
    one.answer("do/run", EXITED)
    assert [type(e) for e in one.machine.reopen(one.now, "user")] == [ev.RunReopened]
    one.take(one.machine.reopen(one.now, "user", skip=["do/run"]))
    one.decide()
    assert one.run.status is RunState.COMPLETED


def test_what_was_running_when_a_run_was_cancelled_by_force_is_asked_about() -> None:
    one = hand(runs("do"))
    one.wish(SignalKind.FORCE_CANCEL)
    assert one.run.status is RunState.CANCELLED
    assert unsettled(one.run, 0)
    with pytest.raises(NotAllowed, match="do/run"):
        one.machine.reopen(one.now, "user")
    events = one.machine.reopen(one.now, "user", redo=["do/run"])
    assert kinds(events) == ["StepFailed", "RunReopened"]
    one.take(events)
    one.decide()
    assert one.taken(effects.DoStep)[-1] == effects.DoStep(0, 2)


def test_a_second_crash_while_it_is_done_again_asks_again() -> None:
    one = doubtful()
    one.take(one.machine.reopen(one.now, "user", ["a/run", "b/run"]))
    one.decide()
    two = one.crash()
    assert {c.step for c in two.taken(effects.Settle)} == {0, 1}


def test_a_rollback_runs_the_undo_of_what_ran_and_of_what_may_have_run() -> None:
    one = hand(runs("done"), runs("failed", after=["done"]), runs("lost", after=["done"]), runs("bare", undo=False))
    one.answer("done/run", Applied())
    one.answer("bare/run", Applied())
    one.answer("failed/run", EXITED)
    one.answer("lost/run", LOST)
    assert {(line.step, line.what, line.ref, line.note) for line in preview_rollback(one.run)} == {
        ("done/run", "run", "make clean", ""),
        ("failed/run", "run", "make clean", ""),
        ("lost/run", "run", "make clean", "it is unknown how far the command got"),
        ("bare/run", "stays", "", "it has no undo"),
    }
    one.take(one.machine.rollback(one.now, "user"))
    one.decide()
    assert sorted(c.step for c in one.taken(effects.UndoStep)) == [1, 2]
    one.undid("failed/run")
    one.undid("lost/run")
    assert one.taken(effects.UndoStep) == [effects.UndoStep(0, 1)]
    one.undid("done/run")
    assert one.run.status is RunState.ROLLED_BACK
    assert one.state("bare/run") == "succeeded"


def test_an_automatic_rollback_does_not_wait_for_an_answer() -> None:
    one = hand(runs("do", on_failure=OnFailure.ROLLBACK))
    one.answer("do/run", LOST)
    assert one.run.status is RunState.ROLLING_BACK
    assert one.taken(effects.UndoStep) == [effects.UndoStep(0, 1)]


def test_an_undo_that_fails_is_tried_again_and_then_left() -> None:
    one = hand(runs("do", retry=Retry(2, 1.0, 8.0)))
    one.answer("do/run", Applied())
    one.take(one.machine.rollback(one.now, "user"))
    one.decide()
    one.undid("do/run", Fault(FaultClass.EXIT, "it exited with code 2"))
    one.later(10)
    one.undid("do/run", Fault(FaultClass.EXIT, "it exited with code 2"))
    assert one.run.status is RunState.ROLLBACK_INCOMPLETE
    assert one.run.residue == ("do/run: its undo program: it exited with code 2",)


def test_an_undo_on_a_server_comes_before_the_server_goes() -> None:
    up = servers("up", "x")
    operation, [step] = runs("do", after=["up"])
    one = hand(up, installs("svc", up, "redis", after=["up"]), (operation, [replace(step, server="up/x")]))
    one.make("up/x")
    one.answer("svc/x/redis", Applied())
    one.answer("do/run", Applied())
    one.swept()
    one.take(one.machine.rollback(one.now, "user"))
    one.decide()
    assert one.taken(effects.UndoStep) == [effects.UndoStep(2, 1)]
    one.undid("do/run")
    assert one.taken(effects.UndoStep) == [effects.UndoStep(0, 1)]
    assert PlannedUndo("do/run", "", "run", "make clean") not in preview_rollback(one.run)


def test_a_journal_of_before_commands_still_folds() -> None:
    old = msgspec.json.decode(b'{"type":"run_reopened","at":1.0,"by":"user"}', type=ev.AnyEvent)
    assert old == ev.RunReopened(1.0, "user")
