"""Servers asked again: whether what a run has installed is well, and what a plan's installs would change."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

from msgspec.structs import replace

from batchwright.app.install_preview import preview_plan
from batchwright.app.workload_health import check_run
from batchwright.model.plan import Plan
from batchwright.model.run import Run
from batchwright.providers.simulated import World
from batchwright.testing.virtual_clock import run_virtual
from tests.unit.app.test_environment_state import done, planned, shop
from tests.unit.app.test_retirement import retired, retiring
from tests.unit.app.test_runs import House, housed
from tests.unit.engine.stage import QUICK, checks, installs, keeps, plan_of, servers

T = TypeVar("T")

UP = servers("up", "web-01", "web-02")
PLAN = plan_of(QUICK, UP, installs("cache", UP, "redis", after=["up"]))


def play(folder: Path, scenario: Callable[[House, Run], Awaitable[T]], plan: Plan = PLAN) -> T:
    """After a run that has put redis on two servers."""

    async def main() -> T:
        house = House(folder)
        return await scenario(house, await house.resume(await house.create(plan), "somebody"))

    return run_virtual(main())


def ref(run: Run, server: str) -> str:
    return run.record(f"up/{server}").ref


def change(house: House, what: Callable[[World], None]) -> None:
    """Somebody else does something to the servers."""
    world = World(house.settings.world_file)
    with world.turn:
        what(world)
    world.close()


def test_all_is_well_after_a_run(tmp_path: Path) -> None:
    async def scenario(house: House, run: Run) -> None:
        found = await check_run(house.settings, house.clock, run)
        assert found.ok
        assert [(one.step, one.server, one.taskserv, one.ok) for one in found.items] == [
            ("cache/web-01/redis", "web-01", "redis", True),
            ("cache/web-02/redis", "web-02", "redis", True),
        ]
        assert all(one.address for one in found.items)

    play(tmp_path, scenario)


LOOKING = plan_of(QUICK, UP, checks("port", after=["up"]), checks("never", after=["port"]))


def test_what_checks_look_at_is_looked_at_again(tmp_path: Path) -> None:
    async def scenario(house: House, run: Run) -> None:
        found = await check_run(house.settings, house.clock, run)
        assert (found.ok, found.items) == (True, ())
        assert [(one.step, one.subject, one.ok) for one in found.checks] == [
            ("port/check", "db-01:5432", True),
            ("never/check", "db-01:5432", True),
        ]
        failing = replace(run.plan, simulation={**QUICK, "fail_check": "never=transient:9"})
        run.plan = failing
        found = await check_run(house.settings, house.clock, run)
        assert [found.ok, *(one.ok for one in found.checks)] == [False, True, False]
        assert "temporarily unavailable" in found.checks[1].output

    play(tmp_path, scenario, LOOKING)


def test_after_a_rollback_nothing_is_looked_at(tmp_path: Path) -> None:
    async def scenario(house: House, run: Run) -> None:
        over = await house.rollback(run.id, "somebody")
        assert (await check_run(house.settings, house.clock, over)).checks == ()

    play(tmp_path, scenario, LOOKING)


def test_drift_on_one_server_is_seen(tmp_path: Path) -> None:
    async def scenario(house: House, run: Run) -> None:
        change(house, lambda world: world.remove(ref(run, "web-02"), "redis"))
        found = await check_run(house.settings, house.clock, run)
        assert not found.ok
        assert [one.ok for one in found.items] == [True, False]
        assert "nothing is installed" in found.items[1].checks[0].output

    play(tmp_path, scenario)


def test_after_a_rollback_there_is_nothing_to_check(tmp_path: Path) -> None:
    async def scenario(house: House, run: Run) -> None:
        over = await house.rollback(run.id, "somebody")
        found = await check_run(house.settings, house.clock, over)
        assert (found.ok, found.items) == (True, ())

    play(tmp_path, scenario)


def test_a_preview_tells_what_is_new_what_changes_and_what_does_not(tmp_path: Path) -> None:
    async def scenario(house: House, run: Run) -> None:
        change(house, lambda world: world.remove(ref(run, "web-02"), "redis"))
        kept = keeps("up", {name: ref(run, name) for name in ("web-01", "web-02")})
        more = servers("more", "web-03")
        cache, new = installs("cache", kept, "redis", after=["up"]), installs("new", more, "redis", after=["more"])
        changes = await preview_plan(house.settings, house.clock, plan_of(QUICK, kept, more, cache, new))
        assert [(one.server, one.new, one.changes) for one in changes] == [
            ("web-01", False, ()),
            ("web-02", False, ("install redis 1",)),
            ("web-03", True, ()),
        ]
        assert not any(one.trouble for one in changes)

    play(tmp_path, scenario)


def test_what_a_run_takes_away_is_neither_checked_nor_previewed_and_what_it_keeps_is(tmp_path: Path) -> None:
    async def play_both(house: House) -> None:
        await done(house, shop("a", "b"))
        without = retiring(replace(shop("a", "b"), operations=shop("a", "b").operations[:1]))
        plan = await planned(house, without)
        assert len(retired(plan)) == 2
        assert await preview_plan(house.settings, house.clock, plan) == ()
        unchanged = await planned(house, shop("a", "b"))
        looks = await preview_plan(house.settings, house.clock, unchanged)
        assert [(one.server, one.new, one.changes) for one in looks] == [("a", False, ()), ("b", False, ())]
        kept = await check_run(house.settings, house.clock, await done(house, shop("a", "b")))
        assert (kept.ok, len(kept.items)) == (True, 2)
        gone = await check_run(house.settings, house.clock, await done(house, without))
        assert (gone.ok, gone.items) == (True, ())

    housed(tmp_path, play_both)
