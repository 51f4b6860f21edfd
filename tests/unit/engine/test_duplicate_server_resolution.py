"""Servers of one name of several stores: who gives way, when a look counts, and what a create looks at first."""

from __future__ import annotations

from itertools import pairwise

import pytest
from msgspec.structs import replace

from batchwright.engine import duplicate_server_resolution, effects, reports
from batchwright.engine.bucket import Bucket
from batchwright.model import events as ev
from batchwright.model.call_outcome import Created, Observed, ServerState
from batchwright.model.plan import Guard, Plan
from batchwright.model.run import Run
from batchwright.operations.server_batch import ServerRequest
from batchwright.providers.simulated.world_records import SimulatedServer
from batchwright.testing.virtual_clock import run_virtual
from tests.unit.engine.hand import Hand, kinds
from tests.unit.engine.scripted import broken
from tests.unit.engine.stage import QUICK, SIZES, Stage, keeps, plan_of, servers
from tests.unit.engine.test_watch import Bench

LAG = {**QUICK, "list_lag": 4.0}
LOOK = effects.ClearLook("a", "m", 4.0, 120.0)


def twin(token: str, state: ServerState = ServerState.READY, ref: str = "r9", run: str = "other") -> Observed:
    return Observed(ref, state, name="a", run=run, token=token)


@pytest.mark.parametrize(
    ("found", "contested", "gives_way"),
    [
        ((), 0.0, False),
        ((), 1000.0, False),
        ((twin("a"),), 0.0, True),
        ((twin("z"),), 0.0, False),
        ((twin("z"),), 119.9, False),
        ((twin("z"),), 120.0, True),
        ((twin("z"), twin("a")), 0.0, True),
        ((twin("a", ServerState.STARTING),), 0.0, True),
        ((twin("a", ServerState.STOPPING),), 0.0, False),
        ((twin("a", ServerState.STOPPING),), 120.0, True),
    ],
)
def test_who_gives_way(found: tuple[Observed, ...], contested: float, gives_way: bool) -> None:
    assert duplicate_server_resolution.gives_way(LOOK, found, contested) is gives_way


def test_only_managed_servers_of_other_runs_are_twins() -> None:
    disk = replace(twin("d"), needed_by="x")
    listed = [
        twin("z"),
        twin("b", run="run"),
        twin("c", run=""),
        disk,
        twin("g", ServerState.GONE),
        twin("k", ref="r1"),
    ]
    assert duplicate_server_resolution.of("run", {"r1"}, [*listed, twin("a")]) == (twin("a"), twin("z"))


@pytest.mark.parametrize("change", [{"semantics": 1}, {"guard": Guard.UNIQUE_NAME}, {"visible_seconds": 0.0}])
def test_a_server_that_needs_no_look_is_used_when_it_is_ready(change: dict[str, object]) -> None:
    plan = plan_of(LAG, servers("up", "a"))
    if "semantics" in change:
        plan = replace(plan, semantics=1)
    else:
        plan = replace(plan, providers=(replace(plan.providers[0], **change),))
    hand = Hand(plan)
    assert kinds(hand.answer("up/a", Created("r1", ready=True)))[0] == "StepSucceeded"


def test_a_server_is_used_only_once_it_is_clear() -> None:
    hand = Hand(_plan())
    assert kinds(hand.answer("up/a", Created("r1", ready=True))) == ["StepCreated"]
    assert hand.commands[-1] == effects.Await(0, 1, "r1", hand.now + 60.0, replace(LOOK, token=hand.run.token(0)))
    assert hand.say(reports.ServerReport(0, 1, "r1", "addr")) == []
    assert kinds(hand.say(reports.ServerReport(0, 1, "r1", "addr", clear=True)))[0] == "StepSucceeded"
    assert hand.say(reports.TwinReport(0, 1, "r1", (twin(""),), 0.0)) == [], "a clear server is never given up"


def test_a_server_that_was_found_after_doubt_is_looked_at_too() -> None:
    hand = Hand(_plan())
    hand.take([ev.StepInDoubt(hand.now, "up/a", 1, "lost")])
    assert kinds(hand.settled("up/a", Observed("r1", ServerState.READY, token=hand.run.token(0)))) == ["StepCreated"]


def test_the_one_that_gives_way_fails_and_its_server_is_destroyed() -> None:
    hand = Hand(_plan())
    hand.answer("up/a", Created("r1"))
    assert hand.say(reports.TwinReport(0, 1, "r1", (twin("~"),), 0.0)) == [], "it has the smaller token"
    assert hand.say(reports.TwinReport(0, 1, "r7", (twin(""),), 0.0)) == [], "of another server"
    failed, orphan = hand.say(reports.TwinReport(0, 1, "r1", (twin(""),), 0.0))
    assert isinstance(failed, ev.StepFailed)
    assert (failed.twin, failed.stale, failed.fault.code) == (ev.Twin("r9", "other"), True, "server-exists")
    assert orphan == ev.OrphanFound(hand.now, "upcloud", "r1", "a")
    record = hand.run.records[0]
    assert (record.ref, record.stale, record.generation) == ("", "r1", 1)
    assert hand.commands[-1] == effects.DestroyOrphan("upcloud", "r1")
    hand.say(reports.OrphanReport("upcloud", "r1"))
    assert not record.stale
    assert isinstance(hand.history[-1], ev.SweepStarted)


def test_a_kept_server_that_no_run_has_seen_alone_is_looked_at_first() -> None:
    part = keeps("up", {"a": "r1"})
    plan = plan_of(LAG, part)
    assert Hand(plan).commands[-1].clear_look is None  # type: ignore[union-attr]
    hand = Hand(replace(plan, steps=(replace(plan.steps[0], unclear=True),)))
    ref = plan.steps[0].ref
    look = hand.commands[-1].clear_look  # type: ignore[union-attr]
    assert look is not None
    assert (look.name, look.token) == ("a", "")
    assert hand.say(reports.ServerReport(0, 1, ref, "addr")) == []
    assert hand.say(reports.TwinReport(0, 1, ref, (twin("a"),), 0.0)) == [], "the other may give way"
    failed, *rest = hand.say(reports.TwinReport(0, 1, ref, (twin("a"),), look.patience))
    assert isinstance(failed, ev.StepFailed)
    assert (failed.twin, failed.stale) == (ev.Twin("r9", "other"), False)
    assert "OrphanFound" not in kinds(rest), "it is not this run's to destroy"


def test_a_server_that_cannot_be_destroyed_does_not_keep_the_lane_from_being_swept() -> None:
    hand = Hand(_plan())
    hand.answer("up/a", Created("r1"))
    hand.say(reports.TwinReport(0, 1, "r1", (twin(""),), 0.0))
    stuck = duplicate_server_resolution.taken("a", (twin(""),))
    assert "SweepEnded" not in kinds(hand.say(reports.OrphanReport("upcloud", "r1", stuck)))
    assert hand.run.records[0].stale == "r1"
    assert isinstance(hand.history[-1], ev.SweepStarted)


def _plan() -> Plan:
    plan = plan_of(LAG, servers("up", "a"))
    return replace(plan, providers=(replace(plan.providers[0], settle_seconds=5.0),))


def watched(
    count: int, *, apart: float = 0.0, failing: int = 0
) -> tuple[list[tuple[float, reports.Report]], list[float]]:
    """Servers that are ready at once and clear after 4 s; gives what was reported and when listings began, in seconds.

    So many listings fail first.
    """
    listings: list[float] = []

    async def play() -> list[tuple[float, reports.Report]]:
        bench = Bench()
        find, bench.provider.script.next["find"] = bench.provider.find, [broken] * failing

        async def counted(run: str | None = None, token: str | None = None) -> list[Observed]:
            listings.append(bench.clock.now() - bench.began)
            return await find(run, token)

        bench.provider.find = counted  # type: ignore[method-assign]
        for i in range(count):
            bench.plant(f"s{i}")
            look = effects.ClearLook(f"s{i}", "m", 4.0, 120.0)
            bench.watch.wait_for(effects.Await(i, 1, f"s{i}", bench.clock.now() + 1.0, look))
            await bench.clock.sleep(apart)
        await bench.until(count)
        await bench.watch.aclose()
        return bench.said

    return run_virtual(play()), listings


def test_one_look_serves_all_servers_and_none_comes_too_early() -> None:
    said, listings = watched(200, apart=0.05)
    assert all(isinstance(report, reports.ServerReport) and report.clear for _, report in said)
    assert listings[0] >= 4.0
    assert all(later - earlier >= 1.0 for earlier, later in pairwise(listings))
    assert len(listings) <= 13, "every second while the last of them waits, and no more often"


def test_a_look_that_fails_is_no_look() -> None:
    said, listings = watched(1, failing=2)
    ((at, report),) = said
    assert report == reports.ServerReport(0, 1, "s0", "a", clear=True)
    assert len(listings) == 3
    assert at >= listings[-1]


def test_a_twin_that_is_known_before_the_create_keeps_it_from_being_sent() -> None:
    async def play() -> tuple[Stage, Run]:
        stage = Stage(servers("up", "a", "b"), settings=LAG)
        at = stage.clock.now() - 60.0
        request = ServerRequest("a", *SIZES["upcloud"])
        stage.world.plant(
            SimulatedServer("r9", "upcloud", "simulated-upcloud", "other", "t", request, "addr", at, at, at)
        )
        return stage, await stage.drive()

    stage, run = run_virtual(play())
    assert [record.state.value for record in run.records] == ["failed", "succeeded"]
    assert run.records[0].fault is not None
    assert run.records[0].fault.code == "server-exists"
    assert [call.about for call in stage.asked("create")] == ["b"]
    listings = [call for call in stage.asked("find") if not call.about]
    assert len(listings) <= 2, "one before the creates, one that clears"


def test_calls_that_were_put_off_do_not_exceed_the_rate() -> None:
    bucket = Bucket(50, rate=2.0, burst=3)
    assert bucket.available(100.0) == 3
    for _ in range(3):
        bucket.take()
    bucket.put_off(1.5)
    assert bucket.available(101.5) == 0
    assert bucket.available(102.0) == 1
