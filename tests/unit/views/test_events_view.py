"""Every event has words."""

from __future__ import annotations

import inspect
import json
import typing

import msgspec
import pytest
from tests.unit.views.story import BAD, DOWN, T0, fleet

from batchwright.model import events as ev
from batchwright.model.lifecycle import RunState
from batchwright.views.events import event_line, event_record

EVENTS: list[tuple[ev.AnyEvent, str]] = [
    (fleet().run.created, "run created by ada: tested 1.0.0, 7 steps in 3 operations"),
    (ev.DriverStarted(T0, "host:1:2", 3), "driven by process 1 on host (fence 3)"),
    (ev.RunStarted(T0), "run started"),
    (ev.RunPaused(T0, "ada"), "run paused by ada: no new steps are started"),
    (ev.RunResumed(T0, "ada"), "run resumed by ada"),
    (ev.CancelRequested(T0), "cancel requested: calls in flight may finish"),
    (ev.CancelRequested(T0, force=True), "cancel requested: without waiting for calls in flight"),
    (ev.RunStopping(T0, "s"), "run is stopping because step s failed: no new steps are started"),
    (
        ev.RunStopping(T0, "s", rollback=True),
        "run is stopping because step s failed: no new steps are started, then the run is rolled back",
    ),
    (ev.ProviderStopped(T0, "aws", BAD), "nothing more can be created in aws: invalid: no such plan"),
    (ev.RunEnded(T0, RunState.FAILED, "1 failed"), "run Failed: 1 failed"),
    (ev.RunReopened(T0), "run reopened: continuing with the unfinished steps"),
    (ev.RollbackStarted(T0, "on_failure", "step s failed"), "rollback started by on_failure because step s failed"),
    (ev.RollbackEnded(T0, RunState.ROLLBACK_INCOMPLETE, ("x", "y")), "run RollbackIncomplete: 2 things left"),
    (ev.RollbackEnded(T0, RunState.ROLLED_BACK), "run RolledBack"),
    (
        ev.OperationOpened(T0, "o", {"run.id": "r", "operations.web.names": ("a", "b")}),
        "o: its values are ${run.id} = r and ${operations.web.names} = a,b",
    ),
    (ev.StepStarted(T0, "s", 1, "t"), "s: started"),
    (ev.StepStarted(T0, "s", 2, "t"), "s: attempt 2 started"),
    (ev.StepInDoubt(T0, "s", 1, "no answer"), "s: in doubt: the outcome of attempt 1 is unknown (no answer)"),
    (ev.StepOutput(T0, "s", 1, ("one",)), "s: one"),
    (ev.StepOutput(T0, "s", 1, ("one", "two", "three")), "s: three (and 2 lines before)"),
    (ev.StepCreated(T0, "s", "r"), "s: created as r, waiting until it is ready"),
    (ev.StepCreated(T0, "s", "r", changed=True), "s: changed: r, waiting until it is ready"),
    (ev.StepCreated(T0, "s", "r", settled=True), "s: found again as r, waiting until it is ready"),
    (ev.StepSucceeded(T0, "s", "r", "10.0.0.1"), "s: succeeded (r, 10.0.0.1)"),
    (ev.StepSucceeded(T0, "s", made=False), "s: succeeded, existed before"),
    (ev.StepSucceeded(T0, "s", outputs={"url": "u", "port": "1"}), "s: succeeded, gave url and port"),
    (ev.StepFailed(T0, "s", 0, BAD), "s: failed before anything was started: invalid: no such plan"),
    (
        ev.StepRetrying(T0, "s", 1, T0 + 2, DOWN),
        "s: attempt 1 failed (transient: the service is not available [503]): again in 2.0 s",
    ),
    (
        ev.StepRetrying(T0, "s", 1, T0, BAD, replace=True),
        "s: attempt 1 failed (invalid: no such plan): again at once, the server is replaced",
    ),
    (
        ev.StepMoved(T0, "s", 1, 1, DOWN, ev.MoveReason.REFUSED, "upcloud", "2xCPU-4GB", "nl-ams1"),
        "s: attempt 1 was refused (transient: the service is not available [503]): "
        "it goes to upcloud 2xCPU-4GB nl-ams1 instead",
    ),
    (
        ev.StepMoved(T0, "s", 0, 2, BAD, ev.MoveReason.LANE_STOPPED, "hetzner", "cx22", "fsn1"),
        "s: goes to hetzner cx22 fsn1 instead: invalid: no such plan",
    ),
    (
        ev.StepMoved(T0, "s", 3, 0, BAD, ev.MoveReason.AGAIN, "aws", "t3.micro", "eu-west-1"),
        "s: no alternative is left: the next attempt begins with aws t3.micro eu-west-1 again",
    ),
    (ev.StepFailed(T0, "s", 2, BAD, doubt=True), "s: failed after 2 attempts, still in doubt: invalid: no such plan"),
    (ev.StepSkipped(T0, "s", "operation o did not succeed", "o"), "s: skipped: operation o did not succeed"),
    (ev.StepNotWanted(T0, "s", "probe answered no", "probe"), "s: not wanted: probe answered no"),
    (ev.OperationFailed(T0, "o", "s"), "operation o cannot succeed any more, because of step s"),
    (ev.GatePassed(T0, "g"), "g: the next wave begins"),
    (ev.HoldAsked(T0, "h", 1, "digest"), "h: waits for approval"),
    (ev.HoldAsked(T0, "h", 1, "digest", T0 + 60), "h: waits for approval; the question expires in 1 min 00 s"),
    (ev.HoldAnswered(T0, "h", 1, True, "t1", "ada", comment="well\ndone"), "h: approved by ada: well done"),
    (ev.HoldAnswered(T0, "h", 1, False, "root@host"), "h: refused by root@host"),
    (ev.HoldGranted(T0, "h", 1), "h: approved"),
    (ev.HoldPassed(T0, "h", 1), "h: nobody answered in time; the run continues as planned for that case"),
    (ev.HoldRefused(T0, "h", 1, BAD), "h: not approved: no such plan"),
    (ev.HoldExpired(T0, "h", 1, BAD), "h: not approved: no such plan"),
    (ev.UndoStarted(T0, "s", 1), "s: undo started"),
    (ev.UndoRetrying(T0, "s", 1, T0 + 3, BAD), "s: undo failed (invalid: no such plan): again in 3.0 s"),
    (ev.StepUndone(T0, "s"), "s: undone"),
    (ev.StepUndone(T0, "s", gone=True), "s: nothing to undo: the server no longer exists"),
    (ev.StepUndone(T0, "s", with_server=True), "s: undone together with its server"),
    (ev.UndoFailed(T0, "s", 3, BAD), "s: could not be undone after 3 attempts: invalid: no such plan"),
    (
        ev.DoubtForgotten(T0, "aws", "ada", ("web-1", "web-2")),
        "calls of unknown outcome in aws were forgotten by ada: web-1 and web-2 may exist there; "
        "look in the provider's console",
    ),
    (ev.DoubtForgotten(T0, "aws"), "calls of unknown outcome in aws were forgotten"),
    (ev.SweepStarted(T0, "aws"), "closing sweep of aws: looking for orphans"),
    (ev.OrphanFound(T0, "aws", "r", "n"), "orphan found in aws: r (n); destroying it"),
    (ev.OrphanRemovalEnded(T0, "aws", "r"), "r in aws is gone"),
    (ev.OrphanRemovalEnded(T0, "aws", "r", BAD), "r in aws could not be removed: invalid: no such plan"),
    (ev.SweepEnded(T0, "aws"), "closing sweep of aws done: no orphans are left"),
    (ev.SweepEnded(T0, "aws", BAD), "closing sweep of aws could not finish: invalid: no such plan"),
]


@pytest.mark.parametrize(("event", "line"), EVENTS, ids=lambda value: type(value).__name__)
def test_words(event: ev.AnyEvent, line: str) -> None:
    assert event_line(event) == line


def test_no_event_is_without_words() -> None:
    told = {type(event) for event, _ in EVENTS}
    assert told == set(typing.get_args(ev.AnyEvent))
    assert all(inspect.isclass(one) for one in told)


def test_a_message_of_many_lines_stays_on_one() -> None:
    fault = msgspec.structs.replace(BAD, message="first\nsecond\t" + "x" * 1000)
    line = event_line(ev.StepFailed(T0, "s", 1, fault))
    assert "\n" not in line
    assert len(line) < 400


def test_a_record_is_the_journal_event_with_its_number() -> None:
    record = event_record("abc", 7, ev.StepFailed(T0, "s", 2, BAD))
    assert json.loads(msgspec.json.encode(record)) == {
        "run": "abc",
        "seq": 7,
        "type": "step_failed",
        "at": T0,
        "step": "s",
        "attempt": 2,
        "fault": {"kind": "invalid", "message": "no such plan", "hint": "Choose another plan."},
    }
