"""The fold: what events add up to, and snapshots that say the same as the events."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import pytest

from batchwright.errors import IllegalTransition, StepNotFound
from batchwright.journal.base import Snapshot
from batchwright.journal.memory import MemoryJournal
from batchwright.journal.replay import catch_up, load_run
from batchwright.model import events as ev
from batchwright.model.actions import Action
from batchwright.model.call_outcome import Observed, ServerState
from batchwright.model.fault import Fault, FaultClass
from batchwright.model.ids import step_token
from batchwright.model.lifecycle import RunState, StepState
from batchwright.model.run import Run, made_something
from batchwright.model.run_snapshot import encode_snapshot, restore_run
from batchwright.testing.virtual_clock import run_virtual
from tests.unit.engine.stage import QUICK, checks, installs, keeps, plan_of, retires, runs, servers, updates

SLOW = Fault(FaultClass.THROTTLE, "too fast")
AGAIN = Fault(FaultClass.TRANSIENT, "not now")
UP = servers("up", "a", "b")
PLAN = plan_of(
    QUICK,
    UP,
    servers("aws", "c", provider="aws"),
    keeps("old", {"k": "kept-1"}),
    installs("svc", UP, "redis", after=["up"]),
    runs("do"),
    retires("(retire server_batch)", {"gone": "r9"}),
    updates("big", {"u": "r8"}, plan="2xCPU-4GB"),
    checks("port"),
)
CREATED = ev.RunCreated(100.0, "run", PLAN, "somebody")


def folded(*events: ev.AnyEvent) -> Run:
    return Run.replay([CREATED, *events])


def started(step: str = "up/a", at: float = 110.0, attempt: int = 1) -> ev.StepStarted:
    return ev.StepStarted(at, step, attempt, "t")


def busy() -> list[ev.AnyEvent]:
    """A bit of everything."""
    return [
        ev.DriverStarted(101.0, "first", 1), ev.RunStarted(102.0), started(), started("up/b"), started("aws/c"),
        ev.StepCreated(111.0, "up/a", "r1"), ev.StepSucceeded(112.0, "up/a", "r1", "addr"),
        ev.StepInDoubt(112.0, "up/b", 1, "reset"), ev.StepRetrying(113.0, "up/b", 1, 120.0, AGAIN),
        ev.StepRetrying(113.0, "aws/c", 1, 115.0, SLOW, counted=False), ev.RunPaused(114.0, "x"),
        ev.RunResumed(115.0, "x"), started("aws/c", 116.0, 2), ev.StepCreated(117.0, "aws/c", "r3"),
        ev.DriverStarted(118.0, "second", 2), ev.StepRetrying(119.0, "aws/c", 2, 121.0, AGAIN, replace=True),
        started("up/b", 120.0, 2), ev.StepFailed(121.0, "up/b", 2, Fault(FaultClass.QUOTA, "full")),
        ev.ProviderStopped(121.0, "upcloud", Fault(FaultClass.QUOTA, "full")), ev.RunStopping(121.0, "up/b", True),
        ev.StepSkipped(122.0, "svc/a/redis", "because", "up"), ev.CancelRequested(122.0, "x"),
        ev.SweepStarted(123.0, "upcloud"), ev.OrphanFound(123.0, "upcloud", "x1", "b"),
        ev.OrphanRemovalEnded(124.0, "upcloud", "x1"),
        ev.SweepStarted(124.0, "upcloud"), ev.SweepEnded(125.0, "upcloud"),
        ev.SweepStarted(125.0, "aws"), ev.SweepEnded(126.0, "aws", AGAIN),
        ev.RunEnded(127.0, RunState.CANCELLED, "why"),
        ev.RollbackStarted(130.0, "y"), ev.UndoStarted(131.0, "up/a", 1),
        ev.UndoRetrying(132.0, "up/a", 1, 133.0, AGAIN), ev.UndoStarted(133.0, "up/a", 2), ev.StepUndone(134.0, "up/a"),
        ev.UndoStarted(134.0, "aws/c", 1), ev.UndoFailed(135.0, "aws/c", 1, AGAIN),
        ev.RollbackEnded(136.0, RunState.ROLLBACK_INCOMPLETE, ("aws/c: left",)),
    ]  # fmt: skip


def test_a_bit_of_everything_adds_up() -> None:
    run = folded(*busy())
    assert (run.status, run.driver, run.restarts) == (RunState.ROLLBACK_INCOMPLETE, "second", 1)
    assert (run.created_at, run.started_at, run.ended_at, run.updated_at) == (100.0, 102.0, 136.0, 136.0)
    assert (run.retries, run.throttles, run.strays_found, run.residue) == (3, 1, 0, ("aws/c: left",))
    forward = busy()[: next(i for i, event in enumerate(busy()) if isinstance(event, ev.RollbackStarted))]
    assert folded(*forward).strays_found == 1  # a rollback counts its own
    assert run.provider_retries == {"upcloud": 2, "aws": 1}
    assert run.provider_throttles == {"aws": 1}
    assert run.seq == len(busy()) + 1
    assert not run.in_flight
    record = run.record("aws/c")
    assert (record.stale, record.ref, record.generation, record.attempt, record.undo_failures) == ("r3", "", 1, 2, 1)
    assert (run.count(StepState.UNDONE), run.count(StepState.FAILED, StepState.SKIPPED)) == (1, 2)


def test_a_snapshot_anywhere_and_the_rest_of_the_events_say_the_same() -> None:
    events = busy()
    whole = folded(*events)
    for cut in range(len(events) + 1):
        restored = restore_run(CREATED, encode_snapshot(folded(*events[:cut])))
        for event in events[cut:]:
            restored.apply(event)
        assert vars(restored).keys() == vars(whole).keys()
        for name in vars(whole).keys() - {"counts"}:
            assert getattr(restored, name) == getattr(whole, name), (cut, name)
        assert [restored.count(state) for state in StepState] == [whole.count(state) for state in StepState]
        assert encode_snapshot(restored) == encode_snapshot(whole)
        assert type(restored.status) is RunState


def test_a_snapshot_of_another_fold_is_left_aside_and_the_events_fold_again() -> None:
    async def play() -> None:
        journal, run = MemoryJournal(), folded(*busy())
        await journal.create(CREATED, run.summary("memory"))
        lease = await journal.acquire("run", "elsewhere:1:1", 0.0)
        await journal.append(lease, 1, busy())
        other = {**msgspec.json.decode(encode_snapshot(run)), "fold": 0, "records": "of another shape"}
        for body in (msgspec.json.encode(other), encode_snapshot(run)[:-20], b"\x00damaged"):
            await journal.save_snapshot(lease, Snapshot(run.seq, body))
            assert encode_snapshot(await load_run(journal, "run")) == encode_snapshot(run)
        await journal.save_snapshot(lease, Snapshot(run.seq, encode_snapshot(run)))
        again = await load_run(journal, "run")
        assert encode_snapshot(again) == encode_snapshot(run)
        assert await catch_up(journal, again) == 0

    run_virtual(play())


def test_what_is_in_flight_when_a_driver_dies_is_in_doubt_unless_it_is_known() -> None:
    run = folded(
        ev.RunStarted(102.0), started("up/a"), started("up/b"), started("old/k"), ev.StepCreated(111.0, "up/b", "r2"),
        ev.DriverStarted(120.0, "second", 2),
    )  # fmt: skip
    assert [run.record(step).doubt for step in ("up/a", "up/b", "old/k")] == [True, False, False]
    assert (run.record("up/a").doubt_at, run.record("up/a").crashed, run.doubtful) == (120.0, True, {"upcloud": 120.0})


def test_an_undo_in_flight_when_a_driver_dies_is_no_doubt_about_a_create() -> None:
    run = folded(
        ev.RunStarted(102.0), started("up/a"), ev.StepSucceeded(112.0, "up/a", "r1"),
        ev.RunEnded(113.0, RunState.FAILED), ev.RollbackStarted(114.0), ev.UndoStarted(115.0, "up/a", 1),
        ev.DriverStarted(120.0, "second", 2),
    )  # fmt: skip
    assert (run.record("up/a").doubt, run.doubtful, list(run.in_flight)) == (False, {}, [0])


@pytest.mark.parametrize(
    "end",
    [
        ev.StepCreated(130.0, "up/a", "r1", settled=True),
        ev.StepSucceeded(130.0, "up/a", "r1", settled=True),
        ev.StepRetrying(130.0, "up/a", 1, 131.0, AGAIN),
        ev.StepFailed(130.0, "up/a", 1, AGAIN),
    ],
)
def test_an_outcome_ends_a_doubt_but_the_lane_is_swept_with_care(end: ev.AnyEvent) -> None:
    run = folded(ev.RunStarted(102.0), started(), ev.StepInDoubt(120.0, "up/a", 1, "reset"), end)
    assert not run.record("up/a").doubt
    assert run.doubtful == {"upcloud": 120.0}


def test_a_doubt_that_could_not_be_settled_stays() -> None:
    doubt = ev.StepInDoubt(120.0, "up/a", 1, "reset")
    for end in (
        ev.StepRetrying(130.0, "up/a", 1, 131.0, AGAIN, doubt=True), ev.StepFailed(130.0, "up/a", 1, AGAIN, doubt=True),
    ):  # fmt: skip
        run = folded(ev.RunStarted(102.0), started(), doubt, end)
        assert run.record("up/a").doubt
        assert made_something(run, 0)


def test_only_a_clean_sweep_clears_doubts_and_only_of_its_lane() -> None:
    events: list[ev.AnyEvent] = [ev.RunStarted(102.0)]
    for step in ("up/a", "aws/c"):
        events += [started(step), ev.StepInDoubt(120.0, step, 1, "reset"), ev.StepFailed(121.0, step, 1, AGAIN, True)]
    events += [started("up/b"), ev.StepInDoubt(121.0, "up/b", 1, "reset")]
    events += [ev.SweepStarted(122.0, "upcloud"), ev.SweepStarted(122.0, "aws"), ev.SweepEnded(123.0, "aws", AGAIN)]
    run = folded(*events)
    assert (run.swept, set(run.doubtful)) == ({"aws"}, {"upcloud", "aws"})
    run.apply(ev.SweepEnded(124.0, "upcloud"))
    assert (run.record("up/a").doubt, run.record("aws/c").doubt, set(run.doubtful)) == (False, True, {"aws"})
    assert run.record("up/b").doubt, "its call is still open"


def reopened(*before: ev.AnyEvent) -> Run:
    return folded(ev.RunStarted(102.0), *before, ev.RunEnded(130.0, RunState.FAILED, "why"), ev.RunReopened(131.0))


def test_a_reopened_run_forgets_its_end_and_gives_new_attempts() -> None:
    run = reopened(
        ev.StepSkipped(110.0, "svc/a/redis", "because", "up"), started("up/a"), ev.StepFailed(111.0, "up/a", 1, AGAIN),
        started("up/b"), ev.StepRetrying(111.0, "up/b", 1, 500.0, AGAIN), ev.CancelRequested(112.0),
        ev.RunStopping(112.0, "up/a", True), ev.ProviderStopped(112.0, "upcloud", AGAIN),
        ev.SweepStarted(113.0, "upcloud"), ev.SweepEnded(114.0, "upcloud", AGAIN),
    )  # fmt: skip
    assert (run.status, run.reason, run.cancelling, run.stopping, run.ended_at) == (RunState.RUNNING, "", "", "", 0.0)
    assert (run.rollback_after_stop, run.stopped_lanes, run.swept, run.sweep_faults) == (False, {}, set(), {})
    states = {step: run.record(step).state.value for step in ("up/a", "up/b", "svc/a/redis")}
    assert states == {"up/a": "waiting", "up/b": "retrying", "svc/a/redis": "waiting"}
    assert (run.record("up/b").failures, run.record("up/b").until, run.record("svc/a/redis").because) == (0, 0.0, "")


def test_a_server_that_was_no_good_gets_another_token_when_its_run_is_reopened() -> None:
    first = Run(CREATED).token(0)
    run = reopened(started(), ev.StepCreated(111.0, "up/a", "r1"), ev.StepFailed(112.0, "up/a", 1, AGAIN))
    assert (run.record("up/a").stale, run.record("up/a").ref, run.token(0) == first) == ("r1", "", False)
    assert made_something(run, 0), "it is still to be destroyed"


def test_a_server_that_could_not_be_changed_stays_the_same_one_when_its_run_is_reopened() -> None:
    run = reopened(started("big/u"), ev.StepCreated(111.0, "big/u", "r8"), ev.StepFailed(112.0, "big/u", 1, AGAIN))
    record = run.record("big/u")
    assert (record.stale, record.ref, record.generation) == ("", "r8", 0)
    assert made_something(run, run.step("big/u")), "it may be changed, and is to be restored"


GONE = "(retire server_batch)/gone"
MADE: list[tuple[str, Sequence[ev.AnyEvent], bool]] = [
    ("waiting", [], False),
    ("started", [started()], True),
    ("created", [started(), ev.StepCreated(111.0, "up/a", "r1")], True),
    ("succeeded", [started(), ev.StepSucceeded(111.0, "up/a", "r1")], True),
    ("refused", [started(), ev.StepFailed(111.0, "up/a", 1, AGAIN)], False),
    ("no good", [started(), ev.StepCreated(111.0, "up/a", "r1"), ev.StepFailed(112.0, "up/a", 1, AGAIN)], True),
    ("skipped", [ev.StepSkipped(111.0, "up/a", "because", "of")], False),
    ("undone", [started(), ev.StepSucceeded(111.0, "up/a", "r1"), ev.StepUndone(112.0, "up/a")], False),
    ("service waits", [], False),
    ("service tried", [started("svc/a/redis"), ev.StepRetrying(111.0, "svc/a/redis", 1, 112.0, AGAIN)], True),
    ("service failed", [started("svc/a/redis"), ev.StepFailed(111.0, "svc/a/redis", 1, AGAIN)], True),
    ("service made", [started("svc/a/redis"), ev.StepSucceeded(111.0, "svc/a/redis")], True),
    ("service there", [started("svc/a/redis"), ev.StepSucceeded(111.0, "svc/a/redis", made=False)], False),
    ("kept", [started("old/k"), ev.StepSucceeded(111.0, "old/k", "kept-1", made=False)], False),
    ("kept, looked at", [started("old/k")], False),
    ("removal waits", [], False),
    ("removal begun", [started(GONE)], True),
    ("removal tried", [started(GONE), ev.StepRetrying(111.0, GONE, 1, 112.0, AGAIN)], True),
    ("removal turned away", [started(GONE), ev.StepRetrying(111.0, GONE, 1, 112.0, SLOW, counted=False)], False),
    ("removal refused", [started(GONE), ev.StepFailed(111.0, GONE, 1, Fault(FaultClass.CONFLICT, "not ours"))], False),
    ("removal failed", [started(GONE), ev.StepFailed(111.0, GONE, 1, AGAIN)], True),
    ("removal done", [started(GONE), ev.StepSucceeded(111.0, GONE)], False),
]


@pytest.mark.parametrize(("case", "events", "wanted"), MADE, ids=[case for case, _, _ in MADE])
def test_whether_there_is_anything_to_undo(case: str, events: Sequence[ev.AnyEvent], wanted: bool) -> None:
    run = folded(ev.RunStarted(102.0), *events)
    step = {"service": "svc/a/redis", "kept": "old/k", "kept,": "old/k", "removal": GONE}.get(case.split()[0], "up/a")
    assert made_something(run, run.step(step)) is wanted


def test_tokens_are_the_same_in_every_process_and_differ_between_steps_and_runs() -> None:
    run, other = Run(CREATED), Run(ev.RunCreated(0.0, "other", PLAN))
    tokens = [run.token(i) for i in range(len(PLAN.steps))] + [other.token(0)]
    assert len(set(tokens)) == len(tokens)
    assert Run(CREATED).token(0) == run.token(0)


def test_a_summary_counts() -> None:
    summary = folded(*busy()).summary("memory")
    assert (summary.steps, summary.failed, summary.undone, summary.skipped) == (len(PLAN.steps), 2, 1, 1)
    assert (summary.restarts, summary.simulated, summary.status) == (1, True, RunState.ROLLBACK_INCOMPLETE)
    assert summary.providers["aws"] == {"steps": 1, "succeeded": 0, "failed": 0, "retries": 1, "throttles": 1}


def test_a_journal_begins_with_its_first_event_and_knows_its_steps() -> None:
    with pytest.raises(IllegalTransition, match="begins with run_created"):
        Run.replay([ev.RunStarted(1.0)])
    with pytest.raises(StepNotFound, match="no step 'up/z'"):
        folded(ev.RunStarted(102.0), started("up/z"))
    assert {step.action for step in PLAN.steps} == set(Action) - {Action.GATE, Action.ASK}


def test_a_run_made_only_what_carries_its_label_and_a_token_of_a_step_of_its() -> None:
    """E1: labels copied or edited by hand make nothing ours."""
    run = folded(*busy())
    assert run.record("aws/c").generation == 1
    index = run.index["aws/c"]
    ours = [run.token(index), step_token("run", "aws/c", 0), step_token("run", "up/a", 0)]
    others = ["", "t", step_token("run", "aws/c", 2), step_token("other", "up/a", 0)]
    for token in (*ours, *others):
        for seen in (Observed("x", ServerState.READY, run="run", token=token),
                     Observed("disk:x", ServerState.READY, run="run", made_with=token)):  # fmt: skip
            assert run.made(seen) is (token in ours)
            assert not run.made(msgspec.structs.replace(seen, run="other"))
    assert run.made(Observed("key:1", ServerState.READY, run="run", needed_by=""))


def test_a_summary_that_an_older_version_wrote_is_what_the_events_fold_to() -> None:
    """D6: `store check` called every run damaged that version 0.1.0 left, since its rows do not say who made it."""
    told = folded(*busy()).summary("memory")
    assert told.by == "somebody"
    assert told.is_of(told)
    assert msgspec.structs.replace(told, by="").is_of(told)
    assert not msgspec.structs.replace(told, by="another").is_of(told)
    assert not msgspec.structs.replace(told, by="", retries=told.retries + 1).is_of(told)
