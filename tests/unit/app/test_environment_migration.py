"""An environment moves to another store as a whole, whatever dies on the way."""

from __future__ import annotations

import copy
from contextlib import suppress
from pathlib import Path

import pytest
from msgspec.structs import replace

from batchwright.app.environment_reader import all_environments
from batchwright.app.environment_transfer import MovedEnvironment, MovedRun
from batchwright.app.lease_takeover import renewed
from batchwright.app.runs import Runs, StoredRun
from batchwright.app.store_transfer import migrate
from batchwright.errors import EnvironmentElsewhere, RunHeld, RunMoved, RunNotFound, ServerBorrowed, UsageError
from batchwright.journal.base import Journal
from batchwright.journal.environment_state import environment_problems
from batchwright.model.environment import Environment, EnvironmentKey, copy_of
from batchwright.model.lifecycle import RunState
from batchwright.model.plan import Plan
from batchwright.model.run import Run
from batchwright.model.run_summary import RunSummary
from batchwright.testing.crash_points import CrashPoint, ProcessDied, When
from tests.unit.app.store_pair import FOLDER, SQLITE, StorePair
from tests.unit.app.test_borrowed_servers import apps
from tests.unit.app.test_environment_state import SHOP, done, planned, shop
from tests.unit.app.test_runs import House, housed


class TwoStores(House):
    """One state folder with two stores. The shop has three runs in the first; the newest was rolled back."""

    def __init__(self, folder: Path, pair: StorePair | None = None) -> None:
        super().__init__(folder)
        self.stores = self.pair = pair or StorePair.fresh(self.clock)  # type: ignore[assignment]
        self.runs = Runs(self.settings, self.pair, self.clock, self.limits)

    @classmethod
    async def with_history(cls, folder: Path) -> TwoStores:
        house = cls(folder)
        await done(house, replace(shop("a"), storage_backend=SQLITE))
        await done(house, replace(shop("a", "b"), storage_backend=SQLITE))
        last = await done(house, replace(shop("a", "b", "c"), storage_backend=SQLITE))
        assert (await house.rollback(last.id, "ada")).status is RunState.ROLLED_BACK
        return house

    def of(self, store: str) -> Journal:
        return self.pair.journals[store]

    async def moved(self, *words: str, back: bool = False) -> list[MovedRun | MovedEnvironment]:
        origin, destination = (FOLDER, SQLITE) if back else (SQLITE, FOLDER)
        return [one async for one in migrate(self.pair, self.clock, origin, destination, words)]

    async def plan_in(self, store: str) -> Plan:
        """To be made where the environment lives, whatever store the plan then names."""
        home = SQLITE if await self.lives_in(SQLITE) else FOLDER
        plan = await planned(self, replace(shop("a", "b", "d"), storage_backend=home))
        return replace(plan, storage_backend=store)

    async def lives_in(self, store: str) -> bool:
        row = await self.of(store).environment(SHOP)
        return row is not None and not row.store

    async def create_in(self, store: str) -> StoredRun:
        return await self.runs.create(await self.plan_in(store), "ada")

    async def sound(self, home: str) -> None:
        """The environment is in that store only, all its runs are seen there once, and its rows are their fold."""
        other = SQLITE if home == FOLDER else FOLDER
        row = await self.of(home).environment(SHOP)
        assert row is not None
        assert (row.store, row.turn, row.tenant, row.through) == ("", 4, "", 4)
        assert [one.key for one in await self.of(home).resources(SHOP)] == [
            "server//a", "server//b", "taskserv/a/nginx", "taskserv/b/nginx"]  # fmt: skip
        assert await self.of(other).resources(SHOP) == []
        for store in (SQLITE, FOLDER):
            assert await environment_problems(self.of(store)) == []
        rows = await self.pair.summaries()
        assert [(one.store, one.turn) for one in rows] == [(home, 4), (home, 2), (home, 1)]


def test_an_environment_moves_with_its_runs_and_lives_on(tmp_path: Path) -> None:
    async def play(_: House) -> None:
        house = await TwoStores.with_history(tmp_path)
        *runs, environment = await house.moved("shop")
        assert environment == MovedEnvironment("simulated", "shop", 4)
        assert [type(one) for one in runs] == [MovedRun] * 3
        await house.sound(FOLDER)
        with pytest.raises(EnvironmentElsewhere, match="was moved, to the store surrealdb"):
            await house.create_in(SQLITE)
        new = await house.create_in(FOLDER)
        assert new.run is not None
        assert new.run.turn == 5
        assert (await house.runs.drive(new).finished()).status is RunState.COMPLETED
        assert (await house.rollback(new.id, "ada")).status is RunState.ROLLED_BACK
        before = (await house.pair.summaries())[-2]
        assert (await house.rollback(before.run, "ada")).status is RunState.ROLLED_BACK
        assert house.alive() == ["a"]
        assert await environment_problems(house.of(FOLDER)) == []

    housed(tmp_path, play)


def test_an_environment_goes_back_and_forth(tmp_path: Path) -> None:
    async def play(_: House) -> None:
        house = await TwoStores.with_history(tmp_path)
        for back in (False, True, False, True):
            assert not [one for one in await house.moved(back=back) if one.left]
            await house.sound(SQLITE if back else FOLDER)
            assert await house.moved(back=back) == []
            assert await house.moved("simulated:shop", back=back) == [MovedEnvironment("simulated", "shop", 4)]
        with pytest.raises(EnvironmentElsewhere):
            await house.create_in(FOLDER)

    housed(tmp_path, play)


def test_a_run_of_an_environment_does_not_move_alone(tmp_path: Path) -> None:
    async def play(_: House) -> None:
        house = await TwoStores.with_history(tmp_path)
        run = (await house.pair.summaries())[0].run
        with pytest.raises(UsageError, match=f"run {run} belongs to the environment shop") as told:
            await house.moved(run[:8])
        assert told.value.hint == "batchwright store migrate --from filesystem --to surrealdb simulated:shop"
        with pytest.raises(RunNotFound):
            await house.moved("shop/staging")
        await house.sound(SQLITE)

    housed(tmp_path, play)


def test_a_name_in_both_spaces_is_refused_until_it_says_which(tmp_path: Path) -> None:
    async def play(_: House) -> None:
        house = await TwoStores.with_history(tmp_path)
        await house.of(SQLITE).write_environment(None, Environment("real", "shop"))
        with pytest.raises(UsageError, match="real:shop and simulated:shop"):
            await house.moved("shop")
        assert (await house.moved("simulated:shop"))[-1] == MovedEnvironment("simulated", "shop", 4)
        await house.sound(FOLDER)

    housed(tmp_path, play)


def test_an_environment_that_a_run_changes_stays_where_it_is(tmp_path: Path) -> None:
    async def play(_: House) -> None:
        house = await TwoStores.with_history(tmp_path)
        new = await house.create_in(SQLITE)
        left = await house.moved()
        words = f"run {new.id} has not ended; resume or cancel it first"
        assert left == [MovedEnvironment("simulated", "shop", left=words)]
        assert await house.of(FOLDER).environments() == []
        await house.cancel(new.id, "ada", force=False)
        assert not [one for one in await house.moved() if one.left]

    housed(tmp_path, play)


def test_an_environment_with_a_run_that_a_process_holds_stays_where_it_is(tmp_path: Path) -> None:
    async def play(_: House) -> None:
        house = await TwoStores.with_history(tmp_path)
        run = (await house.pair.summaries())[1].run
        lease = await house.of(SQLITE).acquire(run, "elsewhere:1:1", house.clock.now())
        async with renewed(house.of(SQLITE), lease, house.clock):
            [left] = await house.moved()
        assert left.left == f"run {run} is driven by process 1 on elsewhere"
        await house.sound(SQLITE)
        assert await house.of(FOLDER).environments() == []

    housed(tmp_path, play)


def test_a_store_that_has_such_an_environment_takes_no_other(tmp_path: Path) -> None:
    async def play(_: House) -> None:
        house = await TwoStores.with_history(tmp_path)
        for store in ("", copy_of("surrealdb-server")):
            there = await house.of(FOLDER).environment(SHOP)
            await house.of(FOLDER).write_environment(there, Environment(*_place(SHOP), turn=1, store=store))
            [left] = await house.moved()
            assert "another environment of this name" in left.left
        row = await house.of(SQLITE).environment(SHOP)
        assert row is not None
        assert row.store == ""

    housed(tmp_path, play)


def test_a_run_older_than_environments_is_not_moved_into_one(tmp_path: Path) -> None:
    async def play(_: House) -> None:
        house = await TwoStores.with_history(tmp_path)
        plan = replace(await house.plan_in(FOLDER), environment="")
        old = Run(replace((await house.create_in(SQLITE)).run.created, plan=plan, run="oldrunoldrun", turn=0))  # type: ignore[union-attr]
        await house.of(FOLDER).create(old.created, old.summary(FOLDER))
        [left] = await house.moved(back=True)
        assert left.left == "the store filesystem has an environment shop that this run is no part of"

    housed(tmp_path, play)


# -- environments that use servers of one another --------------------------------------------------------------------


async def with_borrowed(folder: Path) -> TwoStores:
    """The first store has the shop, and apps, which runs on a server of the shop."""
    house = TwoStores(folder)
    for workflow in (shop("a", "b"), apps("a")):
        assert (await done(house, replace(workflow, storage_backend=SQLITE))).status is RunState.COMPLETED
    return house


def test_environments_that_share_servers_move_together(tmp_path: Path) -> None:
    async def play(_: House) -> None:
        house = await with_borrowed(tmp_path)
        [left] = await house.moved("shop")
        assert left.left.endswith("--to surrealdb simulated:apps simulated:shop")
        assert await house.lives_in(SQLITE)
        moved = await house.moved("shop", "apps")
        assert [(one.name, one.left) for one in moved if isinstance(one, MovedEnvironment)] == [
            ("apps", ""),
            ("shop", ""),
        ]
        assert {one.store for one in await house.pair.summaries()} == {FOLDER}
        assert await environment_problems(house.of(FOLDER)) == []

    housed(tmp_path, play)


def test_nobody_borrows_from_an_environment_that_is_being_moved(tmp_path: Path) -> None:
    async def play(_: House) -> None:
        house = await TwoStores.with_history(tmp_path)
        plan = await planned(house, replace(apps("a"), storage_backend=SQLITE))
        row = await house.of(SQLITE).environment(SHOP)
        assert row is not None
        await house.of(SQLITE).write_environment(row, replace(row, store=FOLDER))
        with pytest.raises(EnvironmentElsewhere):
            await house.runs.create(plan, "ada")

    housed(tmp_path, play)


def test_a_borrowed_server_is_safe_wherever_a_move_dies(tmp_path: Path) -> None:
    async def play(_: House) -> None:
        house = await with_borrowed(tmp_path)
        lender = (await house.pair.summaries())[-1].run
        point = CrashPoint()
        await dies(point, house, lender)
        for when in When:
            for number in range(1, point.count + 1):
                await dies(CrashPoint(number, when), house, lender)

    async def dies(point: CrashPoint, before: TwoStores, lender: str) -> None:
        house = TwoStores(before.settings.state_dir, StorePair(copy.deepcopy(before.pair.journals), before.clock))
        with suppress(ProcessDied):
            [one async for one in migrate(house.pair.after(point), house.clock, SQLITE, FOLDER)]
        with pytest.raises((ServerBorrowed, EnvironmentElsewhere, RunMoved, RunHeld)):
            await house.rollback(lender, "ada")
        await house.clock.sleep(60)
        assert not [one for one in await house.moved() if one.left], point
        with pytest.raises(ServerBorrowed):
            await house.rollback(lender, "ada")
        assert await environment_problems(house.of(FOLDER)) == []

    housed(tmp_path, play)


def _place(key: EnvironmentKey) -> tuple[str, str]:
    return key.space, key.name


async def _dies_at(house: TwoStores, plans: tuple[Plan, Plan], point: CrashPoint) -> bool:
    """Whether the process got to the end; whatever it did, nothing is in both stores, and the next completes it."""
    house = TwoStores(house.settings.state_dir, StorePair(copy.deepcopy(house.pair.journals), house.clock))
    before = {one.run: one for one in await house.pair.summaries()}
    dying = house.pair.after(point)
    with suppress(ProcessDied):
        [one async for one in migrate(dying, house.clock, SQLITE, FOLDER)]
    await _seen_once(house, before)
    homes = [store for store in (SQLITE, FOLDER) if await house.lives_in(store)]
    assert len(homes) <= 1, point
    for plan in plans:
        if plan.storage_backend not in homes:
            with pytest.raises(EnvironmentElsewhere):
                await house.runs.create(plan, "ada")
    await house.clock.sleep(60)  # the dead process's leases end
    assert not [one.left for one in await house.moved() if one.left], point
    await house.sound(FOLDER)
    new = await house.runs.create(plans[1], "ada")
    assert new.run is not None
    assert new.run.turn == 5
    with pytest.raises(EnvironmentElsewhere):
        await house.runs.create(plans[0], "ada")
    return not point.dead


async def _seen_once(house: TwoStores, before: dict[str, RunSummary]) -> None:
    """The environment is listed once. Each run is in one store, or says with which command its move is completed."""
    rows = await house.pair.summaries()
    assert len({one.run for one in rows}) == len(rows)
    assert len(await all_environments(house.pair, house.clock)) == 1
    for run in before.keys() - {one.run for one in rows}:
        with pytest.raises(RunMoved) as told:
            await house.pair.find(run)
        assert told.value.hint.endswith("store migrate --from filesystem --to surrealdb simulated:shop")


def test_a_move_that_dies_anywhere_is_completed_by_the_next(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Scenario 30."""

    async def play(_: House) -> int:
        house = await TwoStores.with_history(tmp_path)
        plans = (await house.plan_in(SQLITE), await house.plan_in(FOLDER))
        point = CrashPoint()
        assert await _dies_at(house, plans, point)
        for when in When:
            for number in range(1, point.count + 1):
                assert not await _dies_at(house, plans, CrashPoint(number, when))
        return point.count

    count = housed(tmp_path, play)
    with capsys.disabled():
        print(f"\n{2 * count} crash points of an environment's move, always whole and in one store")
