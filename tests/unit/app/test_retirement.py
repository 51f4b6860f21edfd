"""What the file no longer asks for: named and left, or retired last of all where that is allowed."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from batchwright.app import rollback_impact
from batchwright.app.environment_destroy import plan_destruction
from batchwright.app.environment_reader import find_home
from batchwright.app.rollback_impact import planned_undo
from batchwright.engine.rollback_preview import PlannedUndo, UndoKind
from batchwright.errors import EnvironmentAmbiguous, EnvironmentNotFound, PlanRefused, RunSuperseded
from batchwright.model.actions import Action
from batchwright.model.environment import Enter, EnvironmentKey
from batchwright.model.lifecycle import RunState, StepState
from batchwright.model.plan import Plan
from batchwright.model.run import Run
from batchwright.model.workflow import Changes, Permission, Workflow
from batchwright.operations.retirement import NOT_IN_FILE
from batchwright.providers.base import Attached
from batchwright.providers.simulated import Simulated, World
from tests.unit.app.test_environment_state import check_kept, done, kept, planned, shop
from tests.unit.app.test_runs import House, housed

ALLOWED = Changes(retire=Permission.ALLOWED)


def retiring(workflow: Workflow) -> Workflow:
    return replace(workflow, changes=ALLOWED)


def retired(plan: Plan) -> list[str]:
    return [step.id for step in plan.steps if step.action is Action.RETIRE]


def test_a_server_that_is_no_longer_in_the_file_is_named_and_left(tmp_path: Path) -> None:
    """D4."""

    async def play(house: House) -> None:
        await done(house, shop("a", "b", "c"))
        plan = await planned(house, shop("a"))
        assert retired(plan) == []
        (warning,) = [one for one in plan.warnings if one.code == NOT_IN_FILE]
        assert "b and c are no longer in the file" in warning.message
        assert "--retire" in warning.hint
        await done(house, shop("a"))
        assert house.alive() == ["a", "b", "c"]
        assert "server//b" in await kept(house)
        await check_kept(house)

    housed(tmp_path, play)


def test_where_it_is_allowed_it_goes_last_of_all_and_with_what_is_on_it(tmp_path: Path) -> None:
    async def play(house: House) -> None:
        await done(house, shop("a", "b", "c"))
        run = await done(house, retiring(shop("a", "d")))
        assert run.status is RunState.COMPLETED
        assert house.alive() == ["a", "d"]
        assert sorted(await kept(house)) == ["server//a", "server//d", "taskserv/a/nginx", "taskserv/d/nginx"]
        ended = {step.id: record.ended_at for step, record in zip(run.plan.steps, run.records, strict=True)}
        begun = {step.id: record.started_at for step, record in zip(run.plan.steps, run.records, strict=True)}
        assert min(begun[one] for one in retired(run.plan)) >= max(
            at for one, at in ended.items() if one not in retired(run.plan)
        )
        await check_kept(house)

    housed(tmp_path, play)


def test_nothing_old_goes_unless_everything_new_succeeded(tmp_path: Path) -> None:
    """I6; and the next run that succeeds takes it away."""

    async def play(house: House) -> None:
        await done(house, shop("a", "b"))
        failed = await done(house, retiring(shop("a", "d")), fail="d")
        assert failed.status is RunState.FAILED
        states = [failed.record(one).state for one in retired(failed.plan)]
        assert (house.alive(), states) == (["a", "b"], [StepState.SKIPPED])
        assert (await done(house, retiring(shop("a", "d")))).status is RunState.COMPLETED
        assert house.alive() == ["a", "d"]
        await check_kept(house)

    housed(tmp_path, play)


def test_a_task_service_that_is_no_longer_asked_for_is_removed_from_a_server_that_stays(tmp_path: Path) -> None:
    async def play(house: House) -> None:
        await done(house, shop("a"))
        up = shop("a").operations[:1]
        bare = replace(shop("a"), operations=up)
        plan = await planned(house, bare)
        assert [one.message for one in plan.warnings if one.code == NOT_IN_FILE] == [
            "nginx on a is no longer in the file and stays"
        ]
        run = await done(house, retiring(bare))
        assert run.status is RunState.COMPLETED
        assert sorted(await kept(house)) == ["server//a"]
        await check_kept(house)

    housed(tmp_path, play)


def test_a_file_that_shares_no_server_with_the_environment_needs_more_than_its_own_permission(tmp_path: Path) -> None:
    async def play(house: House) -> None:
        await done(house, shop("a", "b"))
        with pytest.raises(PlanRefused) as refused:
            await planned(house, retiring(shop("x")))
        (problem,) = refused.value.diagnostics
        assert getattr(problem, "code", "") == "environment-mismatch"
        assert "a and b" in getattr(problem, "message", "")
        assert "--retire" in getattr(problem, "hint", "")
        assert retired(await planned(house, retiring(shop("a", "x")))), "one of its servers is enough"
        assert retired(await planned(house, shop("x"))) == [], "nothing is destroyed, so nothing is refused"
        requested = replace(shop("x"), changes=Changes(retire=Permission.REQUESTED))
        await done(house, requested)
        assert house.alive() == ["x"]
        destroy(house, "x")
        await house.clock.sleep(3_600.0)
        assert (await done(house, retiring(shop("y")))).status is RunState.COMPLETED, "nothing was left to destroy"

    housed(tmp_path, play)


def test_a_run_that_only_took_something_away_is_no_end_of_the_stack(tmp_path: Path) -> None:
    """It brings nothing back, and the run before it can be rolled back then."""

    async def play(house: House) -> None:
        first = await done(house, shop("a", "b"))
        second = await done(house, retiring(shop("a")))
        with pytest.raises(RunSuperseded):
            await house.rollback(first.id, "ada")
        assert (await house.rollback(second.id, "ada")).status is RunState.ROLLED_BACK
        assert house.alive() == ["a"]
        assert (await house.rollback(first.id, "ada")).status is RunState.ROLLED_BACK
        assert (house.alive(), await kept(house)) == ([], {})
        await check_kept(house)

    housed(tmp_path, play)


def test_what_was_destroyed_by_someone_else_is_created_again_or_forgotten(tmp_path: Path) -> None:
    async def play(house: House) -> None:
        await done(house, shop("a", "b"))
        destroy(house, "a", "b")
        await house.clock.sleep(3_600.0)
        plan = await planned(house, shop("a"))
        assert any(one.code == "destroyed-outside" and "b" in one.message for one in plan.warnings)
        run = await done(house, shop("a"))
        assert (run.status, house.alive()) == (RunState.COMPLETED, ["a"])
        assert sorted(await kept(house)) == ["server//a", "taskserv/a/nginx"]
        await check_kept(house)

    housed(tmp_path, play)


def test_only_what_carries_the_labels_of_its_maker_is_destroyed(tmp_path: Path) -> None:
    """I3: the reference alone is not enough."""

    async def play(house: House) -> None:
        await done(house, shop("a", "b"))
        relabel(house, "b", run="someoneelses")
        run = await done(house, retiring(shop("a")))
        assert (run.status, house.alive()) == (RunState.FAILED, ["a", "b"])
        (step,) = retired(run.plan)
        fault = run.record(step).fault
        assert fault is not None
        assert fault.code == "FOREIGN_LABELS"
        assert "server//b" in await kept(house)

    housed(tmp_path, play)


def test_a_rollback_says_that_what_was_retired_is_gone(tmp_path: Path) -> None:
    async def play(house: House) -> None:
        first = await done(house, shop("a", "b"))
        second = await done(house, retiring(shop("a", "d")))
        with pytest.raises(RunSuperseded):
            await house.rollback(first.id, "ada")
        assert (await house.rollback(second.id, "ada")).status is RunState.ROLLED_BACK
        assert house.alive() == ["a"]
        await check_kept(house)
        assert (await house.rollback(first.id, "ada")).status is RunState.ROLLED_BACK
        assert (house.alive(), await kept(house)) == ([], {})

    housed(tmp_path, play)


def test_an_account_that_is_another_one_now_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server of the old account would otherwise be created a second time in the new one."""

    async def another(_provider: Simulated) -> str:
        return "another"

    async def play(house: House) -> None:
        await done(house, shop("a"))
        monkeypatch.setattr(Simulated, "account", another)
        with pytest.raises(PlanRefused) as refused:
            await planned(house, shop("a"))
        assert [one.code for one in refused.value.diagnostics if one.severity == "error"] == ["account-changed"]  # type: ignore[attr-defined]

    housed(tmp_path, play)


def destroy(house: House, *names: str) -> None:
    """Somebody does it in the cloud's console."""
    now = house.clock.now()
    with closing(World(house.settings.world_file)) as world:
        for server in [one for one in world.servers() if one.name in names]:
            world.destroy(server.ref, now, now)


def relabel(house: House, name: str, run: str) -> None:
    """Somebody edits the labels."""
    with closing(World(house.settings.world_file)) as world:
        for server in [one for one in world.servers() if one.name == name]:
            world.plant(replace(server, run=run))


# -- all of it ------------------------------------------------------------------------------------------------------


async def destroyed(house: House, name: str = "shop", **simulation: Any) -> Run:
    found = await find_home(house.stores, name, simulated=None)
    async with house.runs.adapters({**(found.plan.simulation or {}), **simulation}) as around:
        planned_so = await plan_destruction(house.settings, around, found)
    assert planned_so.plan is not None
    plan = replace(planned_so.plan, simulation={**(planned_so.plan.simulation or {}), **simulation})
    return await house.runs.drive(await house.runs.create(plan, "ada")).finished()


def test_destroy_takes_away_all_that_the_runs_made_in_reverse_order(tmp_path: Path) -> None:
    async def play(house: House) -> None:
        await done(house, shop("a", "b"))
        await done(house, shop("a", "b", "c", port=8080))
        run = await destroyed(house)
        assert (run.status, house.alive(), await kept(house)) == (RunState.COMPLETED, [], {})
        await check_kept(house)
        assert (await done(house, shop("a"))).status is RunState.COMPLETED  # and begins again
        assert house.alive() == ["a"]

    housed(tmp_path, play)


def test_what_could_not_be_destroyed_stays_known_and_goes_the_next_time(tmp_path: Path) -> None:
    async def play(house: House) -> None:
        await done(house, shop("a", "b"))
        relabel(house, "b", run="someoneelses")
        assert (await destroyed(house)).status is RunState.FAILED
        assert (house.alive(), sorted(await kept(house))) == (["b"], ["server//b", "taskserv/b/nginx"])
        maker = (await kept(house))["server//b"].run
        relabel(house, "b", run=maker)
        assert (await destroyed(house)).status is RunState.COMPLETED
        assert (house.alive(), await kept(house)) == ([], {})
        await check_kept(house)

    housed(tmp_path, play)


def test_a_destroy_that_was_killed_goes_on(tmp_path: Path) -> None:
    async def play(house: House) -> None:
        await done(house, shop("a", "b"))
        found = await find_home(house.stores, "shop", simulated=None)
        async with house.runs.adapters(found.plan.simulation) as around:
            planned_so = await plan_destruction(house.settings, around, found)
        assert planned_so.plan is not None
        stored = await house.runs.create(planned_so.plan, "ada")
        await house.left_behind(stored.id)
        assert (await house.resume(stored.id, "ada")).status is RunState.COMPLETED
        assert (house.alive(), await kept(house)) == ([], {})
        await check_kept(house)

    housed(tmp_path, play)


def test_an_environment_that_is_not_there_is_told_with_its_neighbour(tmp_path: Path) -> None:
    async def play(house: House) -> None:
        await done(house, shop("a"))
        with pytest.raises(EnvironmentNotFound) as raised:
            await find_home(house.stores, "shp", simulated=None)
        assert "Did you mean shop?" in raised.value.hint
        with pytest.raises(EnvironmentNotFound):
            await find_home(house.stores, "shop", simulated=False)

    housed(tmp_path, play)


def test_a_name_that_is_both_real_and_simulated_is_not_destroyed_by_chance(tmp_path: Path) -> None:
    async def play(house: House) -> None:
        run = await done(house, shop("a"))
        journal = await house.journal()
        real = replace(run.created, run="realrealreal", plan=replace(run.plan, simulation=None), turn=1)
        enter = Enter(EnvironmentKey("real", "shop"), real.run, run.ended_at, 0)
        await journal.create(real, Run(real).summary("memory"), enter=enter)
        with pytest.raises(EnvironmentAmbiguous, match="real:shop, simulated:shop"):
            await find_home(house.stores, "shop", simulated=None)
        for word, simulated in (("shop", True), ("simulated:shop", None)):
            found = await find_home(house.stores, word, simulated=simulated)
            assert found.state.key == EnvironmentKey("simulated", "shop")

    housed(tmp_path, play)


def test_a_run_that_only_destroyed_can_be_rolled_back_so_that_the_one_before_can_be(tmp_path: Path) -> None:
    """Runs are a stack: what it destroyed stays gone, and the preview names it."""

    async def play(house: House) -> None:
        first = await done(house, shop("a", "b"))
        second = await done(house, retiring(shop("a")))
        with pytest.raises(RunSuperseded, match=second.id):
            await house.rollback(first.id, "ada")
        gone = [one.ref for one in await planned_undo(house.settings, house.clock, second) if one.what == "gone"]
        assert gone == [first.record("up/b").ref]
        assert (await house.rollback(second.id, "ada")).status is RunState.ROLLED_BACK
        assert house.alive() == ["a"]
        assert (await house.rollback(first.id, "ada")).status is RunState.ROLLED_BACK
        assert (house.alive(), await kept(house)) == ([], {})

    housed(tmp_path, play)


def test_what_is_attached_to_a_server_whose_removal_is_finished_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def play(house: House) -> None:
        await done(house, shop("a", "b"))
        run = await done(house, retiring(shop("a")))
        (step,) = [one for one in run.steps if one.retired is not None]
        run.plan = replace(run.plan, simulation=None)
        finish = PlannedUndo(step.id, step.provider, UndoKind.FINISH, step.ref)

        async def look(_around: Any, name: str, refs: list[str]) -> tuple[str, list[Attached], str]:
            return name, [Attached(ref, f"volume of {ref}", "it is attached") for ref in refs], ""

        monkeypatch.setattr(rollback_impact, "undo_preview", lambda *_: [finish])
        monkeypatch.setattr(rollback_impact, "_look", look)
        told = [(one.what, one.ref) for one in await planned_undo(house.settings, house.clock, run)]
        assert told == [(UndoKind.FINISH, step.ref), (UndoKind.BLOCKED, f"volume of {step.ref}")]

    housed(tmp_path, play)
