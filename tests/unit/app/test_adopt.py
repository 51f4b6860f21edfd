"""A server of another store, or a late one of a lost call, that an environment takes over."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest
from msgspec.structs import replace

from batchwright.app.environment_destroy import plan_destruction
from batchwright.app.environment_reader import find_home
from batchwright.app.plans import check
from batchwright.app.recorded_servers import RecordedServers
from batchwright.app.settings import Settings
from batchwright.app.workflow_source import Source
from batchwright.errors import PlanRefused, UsageError
from batchwright.model.call_outcome import Observed, ServerState
from batchwright.model.lifecycle import RunState
from batchwright.model.plan import FieldChange, Labels
from batchwright.model.workflow import Changes, Permission, Workflow
from batchwright.providers.simulated import World
from batchwright.views.plan import plan_view
from tests.unit.app.test_environment_state import check_kept, created, done, kept, planned, shop
from tests.unit.app.test_runs import House, housed

FOREIGN = Labels("zzzzzzzzzzzz", "foreign-token")


def adopting(*names: str, adopt: str = "a", **rest: object) -> Workflow:
    return shop(*names, changes=Changes(adopt=(adopt,), **rest))  # type: ignore[arg-type]


async def foreign(house: House, *names: str) -> None:
    """Servers of these names that a run of another store created, and whose environment is none of ours."""
    run = await done(house, shop(*names))
    with closing(World(house.settings.world_file)) as world:
        made = list(world.servers())
    await house.rollback(run.id, "ada")
    with closing(World(house.settings.world_file)) as world:
        for number, one in enumerate(made):
            world.plant(replace(one, ref=f"upcloud-9{number}", run=FOREIGN.run, token=FOREIGN.token))


def refused(error: PlanRefused) -> list[str]:
    return [one.code for one in error.diagnostics if one.severity == "error"]  # type: ignore[attr-defined]


def test_it_is_refused_with_the_way_on_then_taken_over_and_owned(tmp_path: Path) -> None:
    async def play(house: House) -> None:
        await foreign(house, "a")
        with pytest.raises(PlanRefused) as raised:
            await planned(house, shop("a"))
        assert refused(raised.value) == ["server-exists"]
        assert "--adopt a" in raised.value.diagnostics[0].hint  # type: ignore[attr-defined]
        run = await done(house, adopting("a"))
        assert run.status is RunState.COMPLETED
        step = run.plan.steps[run.index["up/a"]]
        assert (step.adopts, step.changes) == (FOREIGN, (FieldChange("run", FOREIGN.run),))
        (line,) = [one for one in plan_view(run.plan).lines if "nginx" not in one.what]
        assert (line.symbol, line.details) == (
            "~", (f"taken over from run {FOREIGN.run}, which this store does not use",)
        )  # fmt: skip
        own = (await kept(house))["server//a"]
        assert (own.run, own.token, own.made_by, own.borrowed) == (FOREIGN.run, FOREIGN.token, run.id, False)
        await check_kept(house)
        assert [step.adopts for step in (await planned(house, shop("a"))).steps] == [None, None], "it is one's own now"

    housed(tmp_path, play)


def test_whose_it_is_and_how_it_is_logged_in_to_is_known_by_its_new_environment(tmp_path: Path) -> None:
    """No run of this store created it, so its label alone tells nothing."""

    async def play(house: House) -> None:
        await foreign(house, "a")
        seen = Observed("upcloud-90", ServerState.READY, "a", FOREIGN.run, FOREIGN.token)
        stranger = replace(seen, ref="upcloud-99", run="yyyyyyyyyyyy")
        journal = await house.journal()
        assert await RecordedServers(journal).of("upcloud", [seen, stranger]) == {}
        run = await done(house, adopting("a", "b"))
        (made,) = [record.ref for record in run.records if record.ref not in ("", seen.ref)]
        found = await RecordedServers(journal).of("upcloud", [seen, stranger, replace(seen, ref=made, run=run.id)])
        told = [(ref, one.environment, one.operation, one.taskservs) for ref, one in found.items()]
        assert told == [(seen.ref, "shop", "up", ("nginx",)), (made, "shop", "up", ("nginx",))]

    housed(tmp_path, play)


def test_from_then_on_it_is_replaced_retired_and_destroyed_by_the_labels_it_carries(tmp_path: Path) -> None:
    async def play(house: House) -> None:
        await foreign(house, "a", "b")
        first = replace(adopting("a", "b"), changes=Changes(adopt=("a", "b")))
        assert (await done(house, first)).status is RunState.COMPLETED
        await done(house, shop("b", changes=Changes(retire=Permission.ALLOWED)))
        assert house.alive() == ["b"]
        home = await find_home(house.stores, "shop", simulated=True)
        async with house.runs.adapters(home.plan.simulation) as around:
            plan = (await plan_destruction(house.settings, around, home)).plan
        assert plan is not None
        assert (await house.runs.drive(await house.runs.create(plan, "ada")).finished()).status is RunState.COMPLETED
        assert (house.alive(), await kept(house)) == ([], {})
        await check_kept(house)

    housed(tmp_path, play)


def test_a_rollback_of_the_run_that_took_it_over_leaves_it_where_it_is(tmp_path: Path) -> None:
    async def play(house: House) -> None:
        await foreign(house, "a")
        run = await done(house, adopting("a", "new"))
        assert (await house.rollback(run.id, "ada")).status is RunState.ROLLED_BACK
        assert (house.alive(), await kept(house)) == (["a"], {})
        await check_kept(house)

    housed(tmp_path, play)


def test_what_is_not_foreign_is_not_taken_over(tmp_path: Path) -> None:
    """Another environment of the same store lends its server; two of one name stay ambiguous."""

    async def play(house: House) -> None:
        await done(house, replace(shop("a"), name="other"))
        plan = await planned(house, adopting("a"))
        assert [step.adopts for step in plan.steps] == [None, None]
        with closing(World(house.settings.world_file)) as world:
            (one,) = world.servers()
            for ref in ("upcloud-91", "upcloud-92"):
                world.plant(replace(one, ref=ref, run=FOREIGN.run, token=ref))
        with pytest.raises(PlanRefused) as raised:
            await planned(house, adopting("a"))
        assert refused(raised.value) == ["server-exists"]

    housed(tmp_path, play)


def test_a_late_server_of_a_lost_call_can_be_taken_over(tmp_path: Path) -> None:
    async def play(house: House) -> None:
        run = await done(house, shop("a"))
        stored = await created(house, shop("a", "b"))
        await house.cancel(stored.id, "ada", force=True)
        with closing(World(house.settings.world_file)) as world:
            (one,) = world.servers()
            late = replace(one, ref="upcloud-93", token="late", request=replace(one.request, name="b"))
            world.plant(replace(late, run=run.id))
        with pytest.raises(PlanRefused) as raised:
            await planned(house, shop("a", "b"))
        assert refused(raised.value) == ["server-orphan"]
        await done(house, adopting("a", "b", adopt="b"))
        own = (await kept(house))["server//b"]
        assert (own.ref, own.run, own.token) == ("upcloud-93", run.id, "late")

    housed(tmp_path, play)


def test_an_unknown_name_is_told_with_the_closest_one(tmp_path: Path) -> None:
    file = tmp_path / "shop.json"
    server = '{"name": "web-1", "plan": "small", "zone": "zone-a"}'
    operation = f'{{"id": "up", "type": "server_batch", "provider": "simulated", "server_configs": [{server}]}}'
    file.write_text(f'{{"batch_workflow": {{"name": "shop", "version": "1", "operations": [{operation}]}}}}')
    with pytest.raises(UsageError, match="--adopt web-2: the file has no server of this name") as raised:
        check(Source(file, adopt=("web-2",)), Settings(tmp_path))
    assert "web-1" in str(raised.value.hint)
