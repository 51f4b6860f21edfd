"""Guardrails once there is a plan: before its run is recorded, before each create, and while it is undone."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest

from batchwright.app import guardrails
from batchwright.app.environment_destroy import plan_destruction
from batchwright.app.environment_reader import find_home
from batchwright.app.guardrail_settings import Guardrails
from batchwright.app.planned import Planned
from batchwright.app.runs import Runs
from batchwright.app.settings import Settings
from batchwright.errors import PlanRefused
from batchwright.model.diagnostic import Diagnostic
from batchwright.model.lifecycle import RunState
from batchwright.model.plan import Plan
from batchwright.model.run import Run
from tests.unit.app.test_environment_state import check_kept, done, planned, shop
from tests.unit.app.test_guardrails import REPLACING, RETIRING, but, codes, limits, set_limits
from tests.unit.app.test_runs import House, housed, small


def test_a_plan_is_judged_again_when_its_run_is_made(tmp_path: Path) -> None:
    """A plan may have been made long before, elsewhere, or under other limits."""

    async def play(house: House) -> None:
        plan = await planned(house, shop("a", "b"))
        set_limits(house, "[limits]\nservers = 1\n")
        with pytest.raises(PlanRefused) as refused:
            await house.runs.create(plan, "ada")
        assert [one.code for one in refused.value.diagnostics] == ["limit-exceeded"]
        assert await (await house.journal()).runs() == []

    housed(tmp_path, play)


async def driven(house: House, plan: Plan, text: str) -> Run:
    """The run of a plan that the operator tightens limits after."""
    stored = await house.runs.create(plan, "ada")
    set_limits(house, text)
    return await Runs(house.settings, house.stores, house.clock, house.limits).drive(stored).finished()


def faults(run: Run) -> list[str]:
    return [f"{record.fault.code}: {record.fault.message}" for record in run.records if record.fault is not None]


def test_a_limit_that_was_lowered_since_refuses_each_create_and_the_journal_says_why(tmp_path: Path) -> None:
    async def play(house: House) -> None:
        run = await driven(house, await planned(house, shop("a", "b")), "[limits]\nservers = 1\n")
        assert run.status is RunState.FAILED
        message = "not created: the environment would have 2 servers; config.toml sets limits.servers = 1"
        assert faults(run)[:2] == [f"limit-exceeded: {message}"] * 2
        assert house.alive() == []
        set_limits(house, "[limits]\nservers = 2\n")
        assert (await house.resume(run.id, "ada")).status is RunState.COMPLETED
        await check_kept(house)

    housed(tmp_path, play)


def test_a_limit_on_cost_that_came_after_the_plan_cannot_be_checked(tmp_path: Path) -> None:
    async def play(house: House) -> None:
        run = await driven(house, await planned(house, shop("a")), "[limits]\ncost_per_hour = { EUR = 9 }\n")
        assert "limit-unchecked" in faults(run)[0]
        assert "was not asked for; plan again" in faults(run)[0]

    housed(tmp_path, play)


def test_a_configuration_that_breaks_during_a_run_creates_nothing(tmp_path: Path) -> None:
    async def play(house: House) -> None:
        run = await driven(house, await planned(house, shop("a")), "[limits\n")
        assert run.status is RunState.FAILED
        assert faults(run)[0].startswith("config-invalid")
        assert house.alive() == []

    housed(tmp_path, play)


def test_a_server_whose_place_is_free_already_is_created_whatever_the_limit(tmp_path: Path) -> None:
    """The old one is destroyed by then: without the new one the environment would be short of a server."""

    async def play(house: House) -> None:
        await done(house, shop("a"))
        plan = await planned(house, but(shop("a", changes=REPLACING), zone="fi-hel1"))
        run = await driven(house, plan, "[limits]\nservers = 0\ncost_per_hour = { EUR = 0 }\n")
        assert run.status is RunState.COMPLETED
        assert house.alive() == ["a"]

    housed(tmp_path, play)


def test_few_plans_are_judged_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each takes a process with up to 1 GiB, and clients of a service ask for plans as they like."""
    lock, two, running = threading.Lock(), threading.Event(), [0, 0]

    def judge(*_: object) -> list[Diagnostic]:
        with lock:
            running[:] = running[0] + 1, max(running[1], running[0] + 1)
            if running[0] == 2:
                two.set()
        two.wait(60)
        with lock:
            running[0] -= 1
        return []

    monkeypatch.setattr(guardrails, "judge", judge)
    settings = Settings(Path("/nonexistent"), guardrails=Guardrails(policy=Path("policy.ncl")))

    async def play() -> None:
        plan = small()
        await asyncio.gather(*(guardrails.refuse_unguarded(settings, plan, (), 0.0) for _ in range(8)))

    asyncio.run(play())
    assert running == [0, 2]


# -- cleaning up ----------------------------------------------------------------------------------------------------


def test_a_rollback_is_never_limited(tmp_path: Path) -> None:
    async def play(house: House) -> None:
        run = await done(house, shop("a", "b"))
        set_limits(house, "[limits]\nservers = 0\ndestroys = 0\ncost_per_hour = { EUR = 0 }\n")
        assert (await house.rollback(run.id, "ada")).status is RunState.ROLLED_BACK
        assert house.alive() == []

    housed(tmp_path, play)


def test_the_destroy_of_an_environment_keeps_the_operators_limit_and_can_be_done_in_parts(tmp_path: Path) -> None:
    async def destruction(house: House) -> Planned:
        found = await find_home(house.stores, "shop", simulated=True)
        async with house.runs.adapters(found.plan.simulation) as around:
            return await plan_destruction(house.settings, around, found)

    async def play(house: House) -> None:
        await done(house, shop("a", "b", "c", limits=limits(destroys=0)))
        found = await destruction(house)
        assert found.plan is not None  # the file is not asked: its limit is for what the file no longer names
        set_limits(house, "[limits]\ndestroys = 2\n")
        assert codes(await destruction(house)) == ["limit-exceeded destroys"]
        with pytest.raises(PlanRefused):
            await house.runs.create(found.plan, "ada")
        await done(house, shop("a", "b", changes=RETIRING))
        assert codes(await destruction(house)) == []

    housed(tmp_path, play)
