"""An environment goes on in another account: what is in the former one is named, and no run touches or forgets it."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from batchwright.app.environment_destroy import plan_destruction
from batchwright.app.environment_drift import find_drift
from batchwright.app.environment_reader import find_home
from batchwright.errors import PlanRefused
from batchwright.model.actions import Action
from batchwright.model.environment import Resource
from batchwright.model.lifecycle import RunState
from batchwright.model.workflow import Changes, Permission, Workflow
from batchwright.providers.simulated import Simulated, World
from tests.unit.app.test_environment_state import SIMULATION, check_kept, done, kept, planned, shop
from tests.unit.app.test_runs import House, housed


def use_account(monkeypatch: pytest.MonkeyPatch, account: str) -> None:
    """The credentials of every provider are those of another account from now on."""
    opened = Simulated.__init__

    def init(self: Simulated, *given: Any, **more: Any) -> None:
        opened(self, *given, **more)
        self._account = account

    monkeypatch.setattr(Simulated, "__init__", init)


def moving(*names: str) -> Workflow:
    return replace(shop(*names), changes=Changes(retire=Permission.REQUESTED, other_account=True))


def standing(house: House) -> list[tuple[str, str]]:
    """The accounts and names of the servers that exist."""
    now = house.clock.now()
    with closing(World(house.settings.world_file)) as world:
        return sorted((one.account, one.name) for one in world.servers() if one.exists(now))


OLD = [("simulated-upcloud", name) for name in "abc"]


def test_servers_are_created_in_the_new_account_and_those_of_the_old_one_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def play(house: House) -> None:
        first = await done(house, shop("a", "b", "c"))
        use_account(monkeypatch, "moved")
        with pytest.raises(PlanRefused) as refused:
            await planned(house, shop("a", "b"))
        (problem,) = [one for one in refused.value.diagnostics if one.severity == "error"]  # type: ignore[attr-defined]
        assert problem.code == "account-changed"
        assert "--other-account" in problem.hint

        run = await done(house, moving("a", "b"))
        assert run.status is RunState.COMPLETED
        assert {one.action for one in run.plan.steps} == {Action.CREATE, Action.INSTALL}
        assert [one.code for one in run.plan.warnings] == ["account-left"]
        assert "a, b and c cannot be reached" in run.plan.warnings[0].message
        assert standing(house) == [("moved", "a"), ("moved", "b"), *OLD]
        await check_kept(house)
        now = await kept(house)
        assert {key: one.left_by for key, one in now.items() if one.left_by} == {"server//c": run.id}
        assert [one.account for one in now["server//a"].leftovers] == ["simulated-upcloud"]

        again = await planned(house, replace(shop("a", "b"), changes=Changes(retire=Permission.REQUESTED)))
        assert {one.action for one in again.steps} == {Action.KEEP}, "what was allowed once needs not be said again"
        found = await find_drift(house.settings, house.stores, house.clock, "shop")
        assert found.ok
        assert sorted((one.kind, one.name) for one in found.items if one.state == "accepted") == [
            ("leftover", "a"), ("leftover", "b"), ("server", "c"),
        ]  # fmt: skip
        assert first.id != run.id

    housed(tmp_path, play)


def test_destroy_ends_with_what_it_cannot_reach(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def play(house: House) -> None:
        await done(house, shop("a", "b", "c"))
        use_account(monkeypatch, "moved")
        await done(house, moving("a", "b"))
        home = await find_home(house.stores, "shop", simulated=True)
        async with house.runs.adapters(SIMULATION) as around:
            found = await plan_destruction(house.settings, around, home)
        assert found.plan is not None
        assert {one.code for one in found.diagnostics} == {"account-left", "leftover-stays"}
        run = await house.runs.drive(await house.runs.create(found.plan, "ada")).finished()
        assert run.status is RunState.COMPLETED
        assert standing(house) == OLD
        await check_kept(house)
        left: dict[str, Resource] = await kept(house)
        assert set(left) == {"server//a", "server//b", "server//c", "taskserv/c/nginx"}
        assert [bool(left[f"server//{name}"].leftovers) for name in "abc"] == [True, True, False]

    housed(tmp_path, play)


def test_a_rollback_leads_back_to_the_old_account(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def play(house: House) -> None:
        await done(house, shop("a", "b", "c"))
        before = await kept(house)
        with monkeypatch.context() as patched:
            use_account(patched, "moved")
            run = await done(house, moving("a", "b"))
            assert (await house.rollback(run.id, "ada")).status is RunState.ROLLED_BACK
            assert await kept(house) == before
            await check_kept(house)
            with pytest.raises(PlanRefused):
                await planned(house, shop("a", "b", "c"))
        assert standing(house) == OLD
        assert {one.action for one in (await planned(house, shop("a", "b", "c"))).steps} == {Action.KEEP}

    housed(tmp_path, play)


def test_no_run_destroys_them_even_if_the_old_account_is_used_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def play(house: House) -> None:
        await done(house, shop("a", "c"))
        with monkeypatch.context() as patched:
            use_account(patched, "moved")
            await done(house, moving("a"))
            assert (await kept(house))["server//c"].left_by
        with pytest.raises(PlanRefused) as refused:
            await planned(house, shop("a", "c"))
        assert "account-changed" in {one.code for one in refused.value.diagnostics}  # type: ignore[attr-defined]
        back = await planned(house, moving("a", "c"))
        assert {one.id: one.action for one in back.steps if one.id.startswith("up/")}["up/c"] is Action.KEEP
        assert Action.RETIRE not in {one.action for one in back.steps}

    housed(tmp_path, play)


def test_an_account_that_only_has_another_name_is_not_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A token of the same project was replaced. The servers would be created a second time, beside those that run."""

    async def renamed(_provider: Simulated) -> str:
        return "token-2"

    async def play(house: House) -> None:
        await done(house, shop("a"))
        monkeypatch.setattr(Simulated, "account", renamed)
        with pytest.raises(PlanRefused) as refused:
            await planned(house, moving("a"))
        found = {one.code: one.hint for one in refused.value.diagnostics}  # type: ignore[attr-defined]
        assert "server-orphan" not in found
        assert "same account under another name" in found["account-changed"]
        assert "simulated-upcloud" in found["account-changed"]

    housed(tmp_path, play)
