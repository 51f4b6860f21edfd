"""Changing a server at the ports: a fresh look first, one step at a time, only what the environment's runs created."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from msgspec.structs import replace

from batchwright.engine import effects, reports
from batchwright.engine.limits import CallClass
from batchwright.engine.server_convergence import CALLS_SECONDS
from batchwright.errors import LeaseLost
from batchwright.model import events as ev
from batchwright.model.call_outcome import Created, Going, Rejected, Unknown
from batchwright.model.fault import Fault, FaultClass
from batchwright.providers.simulated.world_records import SimulatedServer
from batchwright.testing.virtual_clock import run_virtual
from tests.unit.engine.bench import Bench, rolling_back
from tests.unit.engine.hand import refusal
from tests.unit.engine.scripted import broken, too_often
from tests.unit.engine.stage import QUICK, plan_of, updates

BIG, LABELS = "2xCPU-4GB", {"team": "x"}
Play = Callable[[Bench, SimulatedServer], Awaitable[None]]


def changing(play: Play, run: str = "earlier", token: str = "token", **settings: Any) -> Bench:
    """Play it on a server that an earlier run created, which is to get another plan and a label."""

    async def main() -> Bench:
        part = updates("up", {"a": "s1"}, plan=BIG, labels=LABELS)
        bench = Bench(plan_of({**QUICK, **settings}, part), settings)
        server = bench.plant("s1", run=run, token=token)
        bench.happen(ev.RunStarted(bench.clock.now()))
        await play(bench, server)
        await bench.performer.aclose()
        return bench

    return run_virtual(main())


async def changed(bench: Bench) -> Created | Rejected:
    """The answer to the step."""
    bench.start()
    (report,) = await bench.perform(effects.DoStep(0, 1))
    assert isinstance(report, reports.CallReport)
    assert isinstance(report.outcome, Created | Rejected)
    return report.outcome


async def fault_of(bench: Bench) -> Fault:
    outcome = await changed(bench)
    assert isinstance(outcome, Rejected)
    return outcome.fault


def test_a_server_is_changed_until_it_has_what_is_asked_for() -> None:
    async def play(bench: Bench, server: SimulatedServer) -> None:
        assert isinstance(await changed(bench), Created)
        now = bench.world.server("s1")
        assert now is not None
        assert (now.request.plan, now.request.labels) == (BIG, LABELS)

    assert changing(play).provider.script.count("change") >= 3, "stopped, changed, started"


@pytest.mark.parametrize(("run", "token"), [("another", "token"), ("earlier", "another"), ("", "")])
def test_a_server_without_the_labels_of_the_run_that_created_it_is_left_alone(run: str, token: str) -> None:
    async def play(bench: Bench, server: SimulatedServer) -> None:
        server.token = token
        fault = await fault_of(bench)
        assert (fault.kind, fault.code) == (FaultClass.CONFLICT, "FOREIGN_LABELS")

    assert changing(play, run).provider.script.count("change") == 0


def test_a_borrowed_server_is_never_changed_whatever_a_plan_says() -> None:
    async def play(bench: Bench, server: SimulatedServer) -> None:
        step = bench.run.plan.steps[0]
        assert step.before is not None
        borrowed = replace(step, before=replace(step.before, run="", token=""))
        bench.run.plan = replace(bench.run.plan, steps=(borrowed,))
        server.token = server.run = ""
        assert (await fault_of(bench)).code == "FOREIGN_LABELS"

    assert changing(play).provider.script.count("change") == 0


@pytest.mark.parametrize("answer", [lambda: Unknown("reset"), broken, lambda: refusal(FaultClass.TRANSIENT), Going])
def test_what_may_not_have_arrived_is_sent_again(answer: Any) -> None:
    async def play(bench: Bench, server: SimulatedServer) -> None:
        bench.provider.script.next["change"] = [answer, answer]
        assert isinstance(await changed(bench), Created)

    assert changing(play).provider.script.count("change") >= 5


@pytest.mark.parametrize("kind", [FaultClass.INVALID, FaultClass.QUOTA, FaultClass.CAPACITY, FaultClass.THROTTLE])
def test_a_refusal_is_the_answer_to_the_step(kind: FaultClass) -> None:
    async def play(bench: Bench, server: SimulatedServer) -> None:
        bench.provider.script.next["change"] = [lambda: refusal(kind)]
        assert (await fault_of(bench)).kind is kind

    assert changing(play).provider.script.count("change") == 1


def test_a_change_that_never_ends_is_given_up_in_time() -> None:
    async def play(bench: Bench, server: SimulatedServer) -> None:
        bench.provider.script.always["change"] = Going
        fault = await fault_of(bench)
        assert (fault.kind, "was not changed after" in fault.message) == (FaultClass.TIMEOUT, True)
        assert CALLS_SECONDS <= bench.clock.now() - bench.run.created_at < CALLS_SECONDS + 60.0

    changing(play)


def test_a_throttled_answer_slows_the_calls_that_go_forward() -> None:
    async def play(bench: Bench, server: SimulatedServer) -> None:
        bench.provider.script.next["change"] = [too_often]
        assert (await fault_of(bench)).kind is FaultClass.THROTTLE
        assert bench.limits.lanes["upcloud"].available(CallClass.CREATE, bench.clock.now()) == 0

    changing(play)


def test_a_process_that_lost_the_run_sends_nothing() -> None:
    async def play(bench: Bench, server: SimulatedServer) -> None:
        bench.ours = False
        bench.start()
        bench.performer.perform(effects.DoStep(0, 1))
        await bench.clock.sleep(1.0)
        (error,) = bench.errors
        assert isinstance(error, LeaseLost)

    assert changing(play).provider.script.count("change") == 0


def test_a_server_that_is_gone_fails_the_step_and_counts_as_undone() -> None:
    async def play(bench: Bench, server: SimulatedServer) -> None:
        server.gone_at = server.destroy_requested_at = bench.clock.now()
        fault = await fault_of(bench)
        assert (fault.kind, "is gone" in fault.message) == (FaultClass.CONFLICT, True)
        rolling_back(bench, "up/a")
        assert await bench.undo() == reports.UndoReport(0, 1, gone=True)

    assert changing(play).provider.script.count("change") == 0


def test_a_server_is_changed_back_and_the_undo_ends_once_it_is_ready() -> None:
    async def play(bench: Bench, server: SimulatedServer) -> None:
        await changed(bench)
        bench.happen(ev.StepSucceeded(bench.clock.now(), "up/a", "s1", "addr"))
        rolling_back(bench, "up/a")
        began = bench.clock.now()
        assert await bench.undo() == reports.UndoReport(0, 1, address="addr")
        now = bench.world.server("s1")
        assert now is not None
        assert (now.request.plan, now.request.labels, now.true_state(bench.clock.now())) == ("1xCPU-2GB", {}, "ready")
        assert bench.clock.now() - began >= 8.0, "it has booted"

    changing(play, boot_seconds=8.0)


def test_a_stop_that_a_dead_process_sent_does_not_leave_the_server_off() -> None:
    """A look shows for a while that it runs, with its former plan: as if there were nothing to change back."""

    async def play(bench: Bench, server: SimulatedServer) -> None:
        bench.start()
        bench.happen(ev.DriverStarted(bench.clock.now(), "another", 2))
        assert bench.run.records[0].doubt
        rolling_back(bench, "up/a")

        async def stop() -> None:
            await bench.clock.sleep(bench.provider.capabilities.settle_seconds / 2)
            bench.world.stop("s1", bench.clock.now())

        stopping = asyncio.ensure_future(stop())
        assert (await bench.undo()).fault is None
        await stopping
        now = bench.world.server("s1")
        assert now is not None
        assert (now.request.plan, now.true_state(bench.clock.now())) == ("1xCPU-2GB", "ready")

    changing(play, late_commits=0.0001, late_max=20.0)


def test_one_that_does_not_come_up_again_is_not_changed_back() -> None:
    async def play(bench: Bench, server: SimulatedServer) -> None:
        await changed(bench)
        rolling_back(bench, "up/a")
        bench.provider.script.next["change"] = [lambda: Created("s1")]
        server.broken, server.stopped_at, server.ready_at = True, None, bench.clock.now()
        report = await bench.undo()
        assert report.fault is not None
        assert report.fault.kind is FaultClass.TRANSIENT

    changing(play)
