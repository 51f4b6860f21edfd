"""Environments over many runs: one turn at a time, old runs are history, and resources are the fold of all runs."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from batchwright.app.environment_reader import read_environment
from batchwright.app.environment_turn_wait import wait_for_turn
from batchwright.app.plans import plan_loaded
from batchwright.app.runs import Runs, StoredRun
from batchwright.app.unwritable_store_copy import read_only
from batchwright.engine.manual_resolution import ResumeAnswers
from batchwright.errors import (
    EnvironmentBusy,
    EnvironmentMoved,
    RunSuperseded,
)
from batchwright.journal.base import Turn
from batchwright.journal.environment_state import environment_problems, environment_state
from batchwright.journal.replay import load_turns
from batchwright.loader import Loaded
from batchwright.model.environment import Enter, EnvironmentKey, Leave
from batchwright.model.environment_fold import FOLD, rebuilt
from batchwright.model.events import RunCreated
from batchwright.model.lifecycle import RunState
from batchwright.model.plan import Plan
from batchwright.model.run import Run
from batchwright.model.run_summary import RunSummary
from batchwright.model.workflow import Changes, Dependency, OnFailure, Workflow
from batchwright.operations.taskserv_batch import TaskservBatch, TaskservUse
from batchwright.testing.plans import servers
from tests.unit.app.test_runs import House, housed
from tests.unit.engine.stage import QUICK

SHOP = EnvironmentKey("simulated", "shop")
SIMULATION: dict[str, Any] = dict(QUICK)


def shop(*names: str, port: int = 80, on_failure: OnFailure = OnFailure.CONTINUE, **rest: Any) -> Workflow:
    """Servers of these names, and nginx on them."""
    up = servers("up", *names)
    nginx = TaskservUse("nginx", {"port": port})
    web = TaskservBatch("web", "upcloud", (nginx,), (Dependency("up"),))
    return Workflow("shop", "1", (up, web), storage_backend="memory", on_failure=on_failure, **rest)


async def planned(house: House, workflow: Workflow, **simulation: Any) -> Plan:
    """The plan as the store and the simulated world are now."""
    async with house.runs.adapters(SIMULATION | simulation) as around:
        found = await plan_loaded(house.settings, house.stores, around, Loaded(workflow), SIMULATION | simulation)
    if found.plan is None:
        raise found.refusal()
    return found.plan


async def created(house: House, workflow: Workflow, **simulation: Any) -> StoredRun:
    return await house.runs.create(await planned(house, workflow, **simulation), "ada")


async def done(house: House, workflow: Workflow, **simulation: Any) -> Run:
    """A run of the workflow, to its end."""
    return await house.runs.drive(await created(house, workflow, **simulation)).finished()


def forgotten(house: House, stored: StoredRun, *lanes: str) -> Awaitable[Run]:
    """The run, whose calls of unknown outcome in these lanes are given up."""
    runs = Runs(house.settings, house.stores, house.clock)  # of a process that has opened no provider yet
    return runs.resume(stored, "ada", ResumeAnswers(forget=lanes)).finished()


async def kept(house: House, key: EnvironmentKey = SHOP) -> dict[str, Any]:
    return {one.key: one for one in await (await house.journal()).resources(key)}


async def check_kept(house: House) -> None:
    """What is kept is what all runs add up to, and the newest turn is in it unless it goes on."""
    journal = await house.journal()
    row = await journal.environment(SHOP)
    assert row is not None
    every = [await load_turns(journal, one) for one in await journal.runs()]
    turns = [turns for turns in every if EnvironmentKey.of(turns[0].plan) == SHOP]
    runs = [one[-1] for one in turns]
    assert row.turn == max(run.turn for run in runs)
    assert [run.id for run in runs if run.holds_environment] == ([row.tenant] if row.tenant else [])
    if not row.tenant:
        assert row.through == row.turn
        assert await kept(house) == rebuilt(chain(*turns))
    assert await environment_problems(journal) == []


# -- one turn at a time ---------------------------------------------------------------------------------------------


def test_a_second_run_is_refused_until_the_first_has_ended(tmp_path: Path) -> None:
    """D1: whatever its version, and nothing of it is recorded."""

    async def play(house: House) -> None:
        first = await created(house, shop("a"))
        for other in (shop("a"), replace(shop("a", "b"), version="2")):
            with pytest.raises(EnvironmentBusy, match=first.id):
                await created(house, other)
        assert await (await house.journal()).runs() == [first.id]
        await house.runs.drive(first).finished()
        assert (await done(house, shop("a", "b"))).status is RunState.COMPLETED
        assert house.alive() == ["a", "b"]
        await check_kept(house)

    housed(tmp_path, play)


def test_another_environment_of_the_workflow_is_free(tmp_path: Path) -> None:
    async def play(house: House) -> None:
        await created(house, shop("a"))
        staging = await created(house, shop("s", environment="staging"))
        assert staging.run is not None
        assert staging.run.plan.environment == "shop/staging"
        rows = await (await house.journal()).environments()
        assert [(row.space, row.name, row.turn) for row in rows] == [
            ("simulated", "shop", 1),
            ("simulated", "shop/staging", 1),
        ]

    housed(tmp_path, play)


def test_a_plan_of_what_is_no_more_is_refused(tmp_path: Path) -> None:
    """D1: of two that planned at once, the second meets what the first made."""

    async def play(house: House) -> None:
        first, second = await planned(house, shop("a")), await planned(house, shop("a"))
        await house.runs.drive(await house.runs.create(first, "ada")).finished()
        with pytest.raises(EnvironmentMoved):
            await house.runs.create(second, "bob")
        assert (await done(house, shop("a"))).status is RunState.COMPLETED
        assert house.alive() == ["a"]
        same = await planned(house, shop("a"))
        await done(house, shop("a"))  # changes nothing, so that a plan from before it still holds
        assert (await house.runs.drive(await house.runs.create(same, "ada")).finished()).status is RunState.COMPLETED

    housed(tmp_path, play)


def test_who_waits_has_its_turn_when_the_other_has_ended(tmp_path: Path) -> None:
    async def play(house: House) -> None:
        first = await created(house, shop("a"))
        driving = asyncio.ensure_future(house.runs.drive(first).finished())
        with pytest.raises(EnvironmentBusy, match=r"is changing the environment shop"):
            await wait_for_turn(house.stores, house.clock, shop("a"), 0.5, simulated=True)
        await wait_for_turn(house.stores, house.clock, shop("a"), 600.0, simulated=True)
        assert (await driving).status is RunState.COMPLETED
        await done(house, shop("a", "b"))

    housed(tmp_path, play)


def test_a_paused_run_and_one_that_nobody_drives_keep_their_turn(tmp_path: Path) -> None:
    async def play(house: House) -> None:
        first = await created(house, shop("a"))
        await house.left_behind(first.id)
        with pytest.raises(EnvironmentBusy):
            await created(house, shop("a"))
        await house.cancel(first.id, "ada", force=False)
        assert (await done(house, shop("a"))).status is RunState.COMPLETED
        assert house.alive() == ["a"]
        await check_kept(house)

    housed(tmp_path, play)


# -- old runs are history -------------------------------------------------------------------------------------------


def test_an_old_run_does_not_go_on_after_a_newer_one(tmp_path: Path) -> None:
    """D2: its resume would set back what the newer one changed."""

    async def play(house: House) -> None:
        old = await done(house, shop("a", "b"), fail="b")
        assert old.status is RunState.FAILED
        newer = await done(house, shop("a", "c", port=8080))
        assert newer.status is RunState.COMPLETED
        for verb in (house.resume, house.rollback):
            with pytest.raises(RunSuperseded, match=newer.id):
                await verb(old.id, "ada")
        await check_kept(house)
        assert (await kept(house))["taskserv/a/nginx"].request["variables"]["port"] == 8080

    housed(tmp_path, play)


def test_runs_are_a_stack(tmp_path: Path) -> None:
    """D3: the newest is rolled back first, then the one before; each leaves what the one below left."""

    async def play(house: House) -> None:
        below = await done(house, shop("a"))
        above = await done(house, shop("a", "b"))
        with pytest.raises(RunSuperseded, match=above.id):
            await house.rollback(below.id, "ada")
        assert (await house.rollback(above.id, "ada")).status is RunState.ROLLED_BACK
        assert house.alive() == ["a"]
        await check_kept(house)
        assert (await house.rollback(below.id, "ada")).status is RunState.ROLLED_BACK
        assert (house.alive(), await kept(house)) == ([], {})
        await check_kept(house)

    housed(tmp_path, play)


def test_a_run_that_changed_nothing_stands_in_nobodys_way(tmp_path: Path) -> None:
    async def play(house: House) -> None:
        first = await done(house, shop("a"))
        for _ in range(2):
            await done(house, shop("a"))
        assert (await house.rollback(first.id, "ada")).status is RunState.ROLLED_BACK
        assert house.alive() == []

    housed(tmp_path, play)


def test_a_run_that_only_installed_again_is_the_newest_and_is_rolled_back_first(tmp_path: Path) -> None:
    async def play(house: House) -> None:
        first = await done(house, shop("a"))
        again = await done(house, replace(shop("a"), changes=Changes(reinstall=("all",))))
        seen = await read_environment(house.stores, house.clock, "shop")
        assert [one.run for one in seen.rollbacks] == [again.id, first.id]
        assert (await house.stores.find("shop"))[1] == again.id
        with pytest.raises(RunSuperseded, match=again.id):
            await house.rollback(first.id, "ada")
        await house.rollback("shop", "ada")
        seen = await read_environment(house.stores, house.clock, "shop")
        assert [one.run for one in seen.rollbacks] == [first.id]
        await check_kept(house)

    housed(tmp_path, play)


def test_the_rollback_of_a_run_whose_process_died_never_gives_up_its_turn(tmp_path: Path) -> None:
    """It is cancelled and rolled back in one append: nobody comes between the two."""

    async def play(house: House) -> None:
        first = await created(house, shop("a"))
        await house.left_behind(first.id)
        assert (await house.rollback(first.id, "ada")).status is RunState.ROLLED_BACK
        row = await (await house.journal()).environment(SHOP)
        assert row is not None
        assert (row.turn, row.tenant) == (1, "")
        await check_kept(house)

    housed(tmp_path, play)


def test_an_automatic_rollback_is_of_the_same_turn(tmp_path: Path) -> None:
    async def play(house: House) -> None:
        run = await done(house, shop("a", "b", on_failure=OnFailure.ROLLBACK), fail="b")
        assert run.status is RunState.ROLLED_BACK
        row = await (await house.journal()).environment(SHOP)
        assert row is not None
        assert (row.turn, row.tenant, row.newest) == (1, "", "")
        await check_kept(house)

    housed(tmp_path, play)


# -- runs of before -------------------------------------------------------------------------------------------------


def test_runs_older_than_environments_are_what_it_begins_with(tmp_path: Path) -> None:
    async def play(house: House) -> None:
        journal = await house.journal()
        old = replace(await planned(house, shop("a")), environment="", base="")
        run = await of_before(house, old)
        await house.runs.drive(StoredRun(journal, run.id)).finished()
        assert await journal.environments() == []
        state = await environment_state(journal, SHOP)
        assert ([one.key for one in state.resources], state.newest) == (["server//a", "taskserv/a/nginx"], run.id)
        above = await done(house, shop("a", "b"))
        assert above.created.after == run.id
        with pytest.raises(RunSuperseded):
            await house.rollback(run.id, "ada")
        await house.rollback(above.id, "ada")
        assert (await house.rollback(run.id, "ada")).status is RunState.ROLLED_BACK
        assert (house.alive(), await kept(house)) == ([], {})

    housed(tmp_path, play)


def test_an_unfinished_run_older_than_environments_comes_first(tmp_path: Path) -> None:
    async def play(house: House) -> None:
        journal = await house.journal()
        run = await of_before(house, replace(await planned(house, shop("a")), environment="", base=""))
        with pytest.raises(EnvironmentBusy, match=run.id):
            await created(house, shop("a"))
        await house.runs.drive(StoredRun(journal, run.id)).finished()
        assert (await done(house, shop("a", "b"))).status is RunState.COMPLETED

    housed(tmp_path, play)


async def of_before(house: House, plan: Plan) -> Run:
    """A run as an older version recorded it."""
    run = Run(RunCreated(house.clock.now(), "oldrunoldrun", plan, "ada"))
    summary = replace(run.summary("memory"), environment="")
    await (await house.journal()).create(run.created, summary)
    return run


def test_a_store_whose_environments_do_not_fit_its_runs_is_told(tmp_path: Path) -> None:
    async def play(house: House) -> None:
        run = await done(house, shop("a"))
        journal = await house.journal()
        other = Leave(SHOP, run.id, run.id, unsettled=False, fold=FOLD, gone=("taskserv/a/nginx",))
        lease = await journal.acquire(run.id, "here", house.clock.now())
        await journal.append(lease, run.seq, [], turn=Turn(Enter(SHOP, run.id, 0.0, 1), None))
        (problem,) = await environment_problems(journal)
        assert "should be held by no run" in problem
        await journal.append(lease, run.seq, [], turn=Turn(None, other))
        (problem,) = await environment_problems(journal)
        assert "counts 2 turns" in problem

    housed(tmp_path, play)


def test_resources_that_another_version_folded_are_folded_again_once(tmp_path: Path) -> None:
    """Where the store can be written; whoever reads one that cannot be, folds again."""

    async def play(house: House) -> None:
        await done(house, shop("a"))
        journal = await house.journal()
        row, fresh = await journal.environment(SHOP), await journal.resources(SHOP)
        assert row is not None
        old = replace(row, fold=FOLD - 1)
        await journal.write_environment(row, old, [replace(one, residue="of before") for one in fresh])
        seen = await environment_state(read_only(journal, tmp_path), SHOP)
        assert (seen.row, list(seen.resources)) == (old, fresh)
        assert (await journal.resources(SHOP))[0].residue == "of before"
        assert list((await environment_state(journal, SHOP)).resources) == fresh
        assert (await journal.environment(SHOP), await journal.resources(SHOP)) == (row, fresh)
        await check_kept(house)

    housed(tmp_path, play)


def test_what_another_version_folded_is_folded_again_during_a_turn_too(tmp_path: Path) -> None:
    """Without what the turn itself did: its end adds that."""

    async def play(house: House) -> None:
        first = await done(house, shop("a"))
        journal = await house.journal()
        fresh = await journal.resources(SHOP)
        second = await created(house, shop("a", "b"))
        await house.left_behind(second.id)
        row = await journal.environment(SHOP)
        assert row is not None
        await journal.write_environment(row, replace(row, fold=FOLD - 1), [])
        assert list((await environment_state(journal, SHOP)).resources) == fresh
        assert (await house.resume(second.id, "ada")).status is RunState.COMPLETED
        await check_kept(house)
        assert (await house.rollback(second.id, "ada")).status is RunState.ROLLED_BACK
        row = await journal.environment(SHOP)
        assert row is not None
        assert row.newest == first.id

    housed(tmp_path, play)


def test_the_runs_of_a_store_are_read_once_to_check_all_its_environments(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def play(house: House) -> None:
        for name in ("staging", "testing", "production"):
            await done(house, shop("a", environment=name))
        journal = await house.journal()
        reads: list[int] = []
        summaries = journal.summaries

        async def counted() -> list[RunSummary]:
            reads.append(1)
            return await summaries()

        monkeypatch.setattr(journal, "summaries", counted)
        assert (await environment_problems(journal), len(reads)) == ([], 1)
        (first, *_) = await journal.environments()
        await journal.write_environment(first, replace(first, turn=7))
        wrong = f"the environment {first.name} counts 7 turns, which its runs do not"
        assert await environment_problems(journal) == [wrong]

    housed(tmp_path, play)
