"""Undoing and sweeping at the ports: a fresh look first, bounded patience, and never what is not this run's."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from batchwright.engine import effects, reports
from batchwright.engine.limits import CallClass, Lane
from batchwright.engine.performer import STRAYS_AT_ONCE
from batchwright.engine.read_retry import OUTAGE_SECONDS, PAUSE_MAX
from batchwright.engine.server_convergence import CALLS_SECONDS
from batchwright.errors import ProviderUnavailable
from batchwright.model import events as ev
from batchwright.model.call_outcome import Applied, Going, Gone, Observed, ServerState, Unknown
from batchwright.model.fault import FaultClass
from batchwright.model.lifecycle import RunState
from tests.unit.engine.bench import Bench, in_doubt, made, rolling_back, staged
from tests.unit.engine.hand import fault, refusal
from tests.unit.engine.scripted import broken, gone_astray, silence, too_often


def test_a_server_is_destroyed_until_it_is_gone() -> None:
    async def play(bench: Bench) -> None:
        made(bench)
        rolling_back(bench, "up/a")
        assert await bench.undo() == reports.UndoReport(0, 1)

    bench = staged(play, destroy_seconds=20.0)
    assert not bench.world.servers()
    assert bench.took >= 20.0


@pytest.mark.parametrize("run", ["another", ""])
def test_a_server_that_no_longer_carries_the_runs_label_is_left_alone(run: str) -> None:
    async def play(bench: Bench) -> None:
        made(bench).run = run
        rolling_back(bench, "up/a")
        report = await bench.undo()
        assert report.fault is not None
        assert report.fault.kind is FaultClass.CONFLICT
        assert "label" in report.fault.message

    assert staged(play).provider.script.count("destroy") == 0


def test_a_look_that_is_throttled_is_waited_for_and_slows_the_destroys() -> None:
    async def play(bench: Bench) -> None:
        made(bench)
        rolling_back(bench, "up/a")
        bench.provider.script.next["describe"] = [too_often]
        undoing = asyncio.ensure_future(bench.undo())
        await bench.clock.sleep(3.0)
        assert bench.limits.lanes["upcloud"].available(CallClass.DESTROY, bench.clock.now()) == 0
        assert (await undoing).fault is None

    bench = staged(play)
    assert bench.took >= 7.0
    assert not bench.world.servers()


def test_a_throttled_look_inside_a_destroy_ends_it_for_now() -> None:
    async def play(bench: Bench) -> None:
        made(bench)
        rolling_back(bench, "up/a")
        bench.provider.script.always["destroy"] = too_often
        report = await bench.undo()
        assert report.fault is not None
        assert (report.fault.kind, report.fault.retry_after) == (FaultClass.THROTTLE, 7.0)

    assert staged(play).provider.script.count("destroy") == 1


def test_a_throttled_look_for_what_is_in_doubt_slows_the_destroys() -> None:
    async def play(bench: Bench) -> None:
        in_doubt(bench)
        rolling_back(bench, "up/a")
        bench.provider.script.next["find"] = [too_often]
        undoing = asyncio.ensure_future(bench.undo())
        await bench.clock.sleep(3.0)
        assert bench.limits.lanes["upcloud"].available(CallClass.DESTROY, bench.clock.now()) == 0
        assert (await undoing).fault is None

    staged(play)


def test_one_that_is_gone_already_is_not_destroyed_again() -> None:
    async def play(bench: Bench) -> None:
        server = made(bench)
        server.gone_at = server.destroy_requested_at = bench.clock.now()
        rolling_back(bench, "up/a")
        assert (await bench.undo()).fault is None

    assert staged(play).provider.script.count("destroy") == 0


def test_one_that_is_not_listed_is_gone_only_after_the_settle_time() -> None:
    async def play(bench: Bench) -> None:
        made(bench).visible_at = bench.clock.now() + 5.0
        rolling_back(bench, "up/a")
        assert (await bench.undo()).fault is None

    bench = staged(play, list_lag=8.0)
    assert bench.provider.script.count("destroy") >= 1, "it was only out of sight"

    async def vanished(bench: Bench) -> None:
        made(bench).visible_at = bench.clock.now() + 1e9
        rolling_back(bench, "up/a")
        assert (await bench.undo()).fault is None

    assert staged(vanished, list_lag=8.0).took >= bench.provider.capabilities.settle_seconds


@pytest.mark.parametrize("answer", [Going, lambda: Unknown("502"), broken, lambda: refusal(FaultClass.BUSY)])
def test_a_destroy_that_never_ends_is_given_up_in_time(answer: Any) -> None:
    async def play(bench: Bench) -> None:
        made(bench)
        bench.provider.script.always["destroy"] = answer
        rolling_back(bench, "up/a")
        report = await bench.undo()
        assert report.fault is not None
        assert report.fault.kind in (FaultClass.TIMEOUT, FaultClass.BUSY)

    assert CALLS_SECONDS <= staged(play).took < CALLS_SECONDS + PAUSE_MAX + 10.0


@pytest.mark.parametrize("kind", [FaultClass.THROTTLE, FaultClass.AUTH, FaultClass.CONFLICT])
def test_a_refused_destroy_is_for_the_machine_to_judge(kind: FaultClass) -> None:
    async def play(bench: Bench) -> None:
        made(bench)
        bench.provider.script.next["destroy"] = [lambda: refusal(kind)]
        rolling_back(bench, "up/a")
        assert (await bench.undo()).fault == fault(kind)
        assert (bench.limits.lanes["upcloud"].buckets[CallClass.DESTROY].blocked_until > 0) is (
            kind is FaultClass.THROTTLE
        )

    staged(play)


@pytest.mark.parametrize("trouble", [broken, silence, gone_astray])
@pytest.mark.parametrize("method", ["describe", "find"])
def test_a_look_that_fails_is_waited_out_and_costs_no_attempt(method: str, trouble: Any) -> None:
    """E3: an outage of minutes inside a destroy."""

    async def play(bench: Bench) -> None:
        in_doubt(bench) if method == "find" else made(bench)
        bench.provider.script.always[method] = trouble
        rolling_back(bench, "up/a")
        undoing = asyncio.ensure_future(bench.undo())
        await bench.clock.sleep(600.0)
        assert "upcloud" in bench.performer.looks.unheard(), "what is waited for is said"
        del bench.provider.script.always[method]
        assert (await undoing).fault is None

    bench = staged(play)
    assert not bench.world.servers()
    assert bench.took < 600.0 + PAUSE_MAX + 200.0


@pytest.mark.parametrize("trouble", [broken, silence, gone_astray])
@pytest.mark.parametrize("method", ["describe", "find"])
def test_a_look_that_never_works_again_is_given_up_in_time(method: str, trouble: Any) -> None:
    """E3: there is an end to waiting, and it is reported as what it is."""

    async def play(bench: Bench) -> None:
        in_doubt(bench) if method == "find" else made(bench)
        bench.provider.script.always[method] = trouble
        rolling_back(bench, "up/a")
        report = await bench.undo()
        assert report.fault is not None
        assert report.fault.kind is FaultClass.TRANSIENT
        assert "did not answer for" in report.fault.message

    bench = staged(play)
    assert bench.provider.script.count("destroy") == 0
    assert OUTAGE_SECONDS <= bench.took < OUTAGE_SECONDS + 2 * bench.provider.capabilities.call_timeout + PAUSE_MAX


def test_a_look_that_is_refused_for_good_is_not_repeated() -> None:
    """E3: credentials that were revoked do not come back by waiting."""

    def revoked() -> Any:
        raise ProviderUnavailable("the token was revoked", passing=False)

    async def play(bench: Bench) -> None:
        made(bench)
        bench.provider.script.always["describe"] = revoked
        rolling_back(bench, "up/a")
        report = await bench.undo()
        assert report.fault is not None
        assert report.fault.message == "the token was revoked"

    assert staged(play).provider.script.count("describe") == 1


@pytest.mark.parametrize("answer", [lambda: Unknown("503"), lambda: refusal(FaultClass.TRANSIENT)])
def test_a_destroy_that_is_not_answered_for_minutes_is_one_attempt(answer: Any) -> None:
    """E3: the loop has its own end, so an answer that may be another in a moment does not end it."""

    async def play(bench: Bench) -> None:
        made(bench)
        bench.provider.script.always["destroy"] = answer
        rolling_back(bench, "up/a")
        undoing = asyncio.ensure_future(bench.undo())
        await bench.clock.sleep(400.0)
        del bench.provider.script.always["destroy"]
        assert (await undoing).fault is None

    bench = staged(play)
    assert not bench.world.servers()
    assert bench.provider.script.count("destroy") < 40, "the pauses grow"


def test_a_call_in_doubt_is_looked_for_by_its_token_and_what_it_made_is_destroyed() -> None:
    async def play(bench: Bench) -> None:
        in_doubt(bench)
        bench.plant("s1", token=bench.run.token(0), visible=5.0)
        bench.plant("s2", token=bench.run.token(0), visible=5.0)
        bench.plant("other", token=bench.run.token(1))
        rolling_back(bench, "up/a")
        assert (await bench.undo()).fault is None

    bench = staged(play, list_lag=8.0)
    assert [server.ref for server in bench.world.servers()] == ["other"]


def test_a_call_in_doubt_that_made_nothing_is_undone_once_that_is_certain() -> None:
    async def play(bench: Bench) -> None:
        in_doubt(bench)
        rolling_back(bench, "up/a")
        assert (await bench.undo()).fault is None

    bench = staged(play, list_lag=8.0)
    assert bench.took >= bench.provider.capabilities.settle_seconds


def test_what_was_to_be_replaced_goes_too() -> None:
    async def play(bench: Bench) -> None:
        now = bench.clock.now()
        made(bench)
        record = bench.run.record("up/a")
        record.stale = bench.plant("s0").ref
        rolling_back(bench, "up/a")
        assert (await bench.undo()).fault is None
        assert bench.clock.now() > now

    assert not staged(play).world.servers()


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (Applied, None),
        (lambda: Applied(changed=False), None),
        (lambda: refusal(FaultClass.BUSY), FaultClass.BUSY),
        (lambda: refusal(FaultClass.THROTTLE), FaultClass.THROTTLE),
        (lambda: Unknown("lost"), FaultClass.IN_DOUBT),
        (broken, FaultClass.IN_DOUBT),
        (silence, FaultClass.IN_DOUBT),
    ],
)
def test_a_removal(answer: Any, kind: FaultClass | None) -> None:
    async def play(bench: Bench) -> None:
        made(bench)
        bench.start("svc/a/redis")
        bench.happen(ev.StepSucceeded(bench.clock.now(), "svc/a/redis"))
        bench.runner.script.next["remove"] = [answer]
        rolling_back(bench, "svc/a/redis")
        report = await bench.undo("svc/a/redis")
        assert (report.fault.kind if report.fault else None) is kind
        assert (bench.limits.lanes["taskservs"].buckets[CallClass.DESTROY].blocked_until > 0) is (
            kind is FaultClass.THROTTLE
        )

    staged(play)


# -- the closing sweep --------------------------------------------------------------------------------------------


def test_a_sweep_tells_apart_what_the_journal_knows() -> None:
    async def play(bench: Bench) -> None:
        made(bench)
        bench.plant("x1", token=bench.run.token(0))
        bench.plant("x2", run="another", token=bench.run.token(0))
        bench.plant("x3").gone_at = bench.clock.now()
        assert await bench.perform(effects.Sweep("upcloud", 1)) == [reports.SweepReport("upcloud", 1, (("x1", "a"),))]

    staged(play)


def test_what_is_listed_although_it_is_gone_is_no_stray() -> None:
    async def play(bench: Bench) -> None:
        listing = [Observed("x1", ServerState.GONE, run="run"), Observed("x2", ServerState.STOPPING, "b", run="run")]
        bench.provider.script.next["find"] = [lambda: listing]
        assert await bench.perform(effects.Sweep("upcloud", 1)) == [reports.SweepReport("upcloud", 1, (("x2", "b"),))]

    staged(play)


def test_in_a_rollback_only_what_could_not_be_removed_is_known() -> None:
    async def play(bench: Bench) -> None:
        made(bench)
        made(bench, "s2", "up/b")
        rolling_back(bench, "up/a", "up/b")
        now = bench.clock.now()
        bench.happen(ev.UndoFailed(now, "up/a", 1, fault(FaultClass.AUTH)), ev.StepUndone(now, "up/b"))
        assert bench.run.status is RunState.ROLLING_BACK
        assert await bench.perform(effects.Sweep("upcloud", 1)) == [reports.SweepReport("upcloud", 1, (("s2", "a"),))]

    staged(play)


@pytest.mark.parametrize("doubtful", [False, True])
def test_a_sweep_after_a_doubt_looks_until_the_settle_time_has_passed(doubtful: bool) -> None:
    async def play(bench: Bench) -> None:
        if doubtful:
            in_doubt(bench)
        assert await bench.perform(effects.Sweep("upcloud", 1)) == [reports.SweepReport("upcloud", 1)]

    bench = staged(play, list_lag=8.0)
    assert (bench.took >= bench.provider.capabilities.settle_seconds) is doubtful


def test_a_sweep_waits_out_an_outage_and_says_so_when_it_has_no_end() -> None:
    """E3: the closing sweep."""

    async def play(bench: Bench) -> None:
        bench.provider.script.next["find"] = [broken] * 20
        assert await bench.perform(effects.Sweep("upcloud", 1)) == [reports.SweepReport("upcloud", 1)]
        bench.provider.script.always["find"] = broken
        (report,) = await bench.perform(effects.Sweep("upcloud", 2))
        assert isinstance(report, reports.SweepReport)
        assert report.fault is not None
        assert "connection was reset" in report.fault.message

    assert staged(play).took >= OUTAGE_SECONDS


@pytest.mark.parametrize("concurrency", [3, 50])
def test_strays_are_destroyed_a_few_at_a_time_and_only_with_the_runs_label(concurrency: int) -> None:
    async def play(bench: Bench) -> None:
        most, now_going = 0, 0

        async def slow() -> Gone:
            nonlocal most, now_going
            now_going += 1
            most = max(most, now_going)
            await bench.clock.sleep(5.0)
            now_going -= 1
            return Gone()

        bench.provider.script.always["destroy"] = slow
        bench.limits.lanes["upcloud"] = Lane(concurrency)
        for i in range(40):
            bench.plant(f"x{i}")
            bench.performer.perform(effects.DestroyOrphan("upcloud", f"x{i}"))
        while len(bench.said) < 40:
            await bench.clock.sleep(1.0)
        assert most == min(STRAYS_AT_ONCE, concurrency)
        bench.plant("y", run="another")
        (report,) = await bench.perform(effects.DestroyOrphan("upcloud", "y"))
        assert isinstance(report, reports.OrphanReport)
        assert report.fault is not None
        assert report.fault.kind is FaultClass.CONFLICT

    assert not staged(play).errors


def test_strays_keep_to_the_rate_of_destroys() -> None:
    async def play(bench: Bench) -> None:
        lane = bench.limits.lanes["upcloud"] = Lane(5, 100.0, 100, 0.5, 1)
        for i in range(3):
            bench.plant(f"x{i}")
            bench.performer.perform(effects.DestroyOrphan("upcloud", f"x{i}"))
        while len(bench.said) < 3:
            await bench.clock.sleep(0.1)
        assert lane.in_flight == 0
        assert lane.buckets[CallClass.CREATE].tokens == 100.0
        bench.took = bench.clock.now() - bench.run.created_at

    assert staged(play, destroy_seconds=0.0, answer_seconds=0.1).took >= 4.0, "two more after the first, 2 s apart"


def test_each_further_step_towards_a_servers_end_counts_as_a_destroy() -> None:
    async def play(bench: Bench) -> None:
        lane = bench.limits.lanes["upcloud"] = Lane(5, 1.0, 9)
        made(bench)
        bench.provider.script.next["destroy"] = [lambda: Going("stopping"), lambda: Going("deleting"), Gone]
        rolling_back(bench, "up/a")
        assert (await bench.undo()).fault is None
        assert (lane.buckets[CallClass.DESTROY].tokens, lane.buckets[CallClass.CREATE].tokens) == (6.0, 9.0)

    staged(play)
