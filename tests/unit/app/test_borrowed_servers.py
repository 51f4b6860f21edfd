"""A server that two environments of one store use: neither takes it away from the other."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

from batchwright.app.plans import plan_loaded
from batchwright.errors import EnvironmentBusy, ServerBorrowed
from batchwright.journal.environment_state import environment_problems
from batchwright.loader import Loaded
from batchwright.model.environment import EnvironmentKey
from batchwright.model.lifecycle import RunState
from batchwright.model.workflow import Changes, Permission, Workflow
from batchwright.views.plan import plan_view
from tests.unit.app.test_environment_state import SIMULATION, check_kept, created, done, kept, planned, shop
from tests.unit.app.test_replacement import changed
from tests.unit.app.test_runs import House, housed


def apps(*names: str, port: int = 80) -> Workflow:
    """Another workflow, which installs on servers that `shop` made."""
    return replace(shop(*names, port=port), name="apps")


def test_a_server_that_another_environment_uses_is_not_destroyed(tmp_path: Path) -> None:
    """D3: neither by a rollback nor by a retire; once it is released it may go."""

    async def play(house: House) -> None:
        lender = await done(house, shop("a", "b"))
        user = await done(house, apps("a"))
        assert user.status is RunState.COMPLETED
        key = EnvironmentKey("simulated", "apps")
        assert (await kept(house, key))["server//a"].borrowed
        allowed = Changes(retire=Permission.ALLOWED)
        with pytest.raises(ServerBorrowed, match="the environment apps uses the server a"):
            await house.rollback(lender.id, "ada")
        with pytest.raises(ServerBorrowed):
            await created(house, replace(shop("b"), changes=allowed))
        assert house.alive() == ["a", "b"]
        assert (await done(house, replace(apps("c"), changes=allowed))).status is RunState.COMPLETED
        assert sorted(await kept(house, key)) == ["server//c", "taskserv/c/nginx"]
        assert (await done(house, replace(shop("b"), changes=allowed))).status is RunState.COMPLETED
        assert house.alive() == ["b", "c"]
        await check_kept(house)

    housed(tmp_path, play)


def test_a_server_is_not_borrowed_while_its_environment_is_changed(tmp_path: Path) -> None:
    async def play(house: House) -> None:
        await done(house, shop("a"))
        plan = await planned(house, apps("a"))
        await created(house, shop("a", "b"))
        with pytest.raises(EnvironmentBusy, match="to which servers of this plan belong"):
            await house.runs.create(plan, "ada")

    housed(tmp_path, play)


def test_a_rollback_of_what_borrowed_releases_it(tmp_path: Path) -> None:
    async def play(house: House) -> None:
        lender = await done(house, shop("a"))
        user = await done(house, apps("a", "z"))
        assert (await house.rollback(user.id, "ada")).status is RunState.ROLLED_BACK
        assert await kept(house, EnvironmentKey("simulated", "apps")) == {}
        assert (await house.rollback(lender.id, "ada")).status is RunState.ROLLED_BACK
        assert house.alive() == []
        assert await environment_problems(await house.journal()) == []

    housed(tmp_path, play)


def test_a_server_is_not_stopped_while_a_run_of_another_environment_uses_it(tmp_path: Path) -> None:
    def sized(plan: str, **labels: str) -> Workflow:
        return changed(shop("a", "b"), "a", allowed=True, plan=plan, labels=labels)

    async def play(house: House) -> None:
        await done(house, shop("a", "b"))
        await done(house, apps("a"))
        using = await created(house, apps("a", port=81))
        with pytest.raises(EnvironmentBusy, match="apps, which uses the server a: it cannot be stopped"):
            await created(house, sized("2xCPU-4GB"))
        relabelled = await done(house, sized("1xCPU-2GB", team="x"))
        assert relabelled.status is RunState.COMPLETED, "nothing is stopped for a label"
        await house.runs.drive(using).finished()
        larger = await done(house, sized("2xCPU-4GB", team="x"))
        assert larger.status is RunState.COMPLETED
        await created(house, replace(changed(apps("a", port=82), "a", plan="2xCPU-4GB"), name="apps"))
        with pytest.raises(EnvironmentBusy, match="it cannot be stopped now"):
            await house.rollback(larger.id, "ada")

    housed(tmp_path, play)


def test_a_plan_names_the_environment_whose_servers_it_uses(tmp_path: Path) -> None:
    """Now, and when they have been borrowed before."""

    async def play(house: House) -> None:
        await done(house, shop("a", "b"))
        for _ in range(2):
            plan = await planned(house, replace(shop("a", "b", "c"), name="other"))
            assert [(step.request.name, step.lender) for step in plan.steps if not step.server] == [
                ("a", "shop"),
                ("b", "shop"),
                ("c", ""),
            ]
            assert "uses a and b of the environment shop" in plan_view(plan).notes
            await done(house, replace(shop("a", "b", "c"), name="other"))
        assert {step.lender for step in (await planned(house, shop("a", "b"))).steps} == {""}

    housed(tmp_path, play)


def test_a_name_that_is_nearly_that_of_another_environment_is_told(tmp_path: Path) -> None:
    """A misspelt name would make a second environment."""

    async def warned(house: House, name: str) -> list[str]:
        workflow = replace(shop("x"), name=name)
        async with house.runs.adapters(SIMULATION) as around:
            found = await plan_loaded(house.settings, house.stores, around, Loaded(workflow), SIMULATION)
        return [one.hint for one in found.diagnostics if one.code == "environment-new"]

    async def play(house: House) -> None:
        assert await warned(house, "shpo") == [], "there is no other"
        await done(house, shop("a"))
        assert await warned(house, "shop") == []
        assert await warned(house, "billing") == []
        (hint,) = await warned(house, "shpo")
        assert hint.startswith("Did you mean shop?")

    housed(tmp_path, play)


def test_a_server_that_a_run_has_begun_to_use_is_not_destroyed(tmp_path: Path) -> None:
    """The run had ended before its environment had the server: until then the owner could destroy it."""

    async def play(house: House) -> None:
        lender = await done(house, shop("a", "b"))
        user = await created(house, apps("a"))
        with pytest.raises(ServerBorrowed, match=f"run {user.id} of the environment apps uses the server a"):
            await created(house, replace(shop("b"), changes=Changes(retire=Permission.ALLOWED)))
        with pytest.raises(ServerBorrowed):
            await house.rollback(lender.id, "ada")
        assert (await house.runs.drive(user).finished()).status is RunState.COMPLETED
        assert house.alive() == ["a", "b"]

    housed(tmp_path, play)


def test_a_retire_that_was_skipped_is_not_resumed_while_another_environment_uses_the_server(tmp_path: Path) -> None:
    async def play(house: House) -> None:
        await done(house, shop("a", "b"))
        allowed = Changes(retire=Permission.ALLOWED)
        failed = await done(house, replace(shop("a", "d"), changes=allowed), fail="d=permanent:1")
        assert failed.status is RunState.FAILED
        await done(house, apps("b"))
        with pytest.raises(ServerBorrowed, match="the environment apps uses the server b"):
            await house.resume(failed.id, "ada")
        assert await environment_problems(await house.journal()) == []

    housed(tmp_path, play)
