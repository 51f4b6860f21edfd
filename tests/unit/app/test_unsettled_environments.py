"""An environment whose newest run left calls of unknown outcome, and how they are settled."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest
from msgspec.structs import replace

from batchwright.app.adapters import Adapters
from batchwright.app.plans import plan_loaded
from batchwright.engine.manual_resolution import ResumeAnswers
from batchwright.errors import EnvironmentBusy, EnvironmentUnsettled, NotAllowed, PlanRefused
from batchwright.loader import Loaded
from batchwright.model.diagnostic import Diagnostic
from batchwright.model.ids import step_token
from batchwright.model.lifecycle import RunState
from batchwright.operations.server_batch import ServerRequest
from batchwright.providers.simulated import SimulatedServer, World
from tests.unit.app.test_environment_state import (
    SHOP,
    SIMULATION,
    check_kept,
    created,
    done,
    forgotten,
    of_before,
    planned,
    shop,
)
from tests.unit.app.test_runs import House, housed


def test_a_call_of_unknown_outcome_is_settled_before_the_next_run(tmp_path: Path) -> None:
    async def play(house: House) -> None:
        first = await created(house, shop("a"))
        await house.left_behind(first.id)
        await house.cancel(first.id, "ada", force=True)
        with pytest.raises(EnvironmentUnsettled, match=first.id):
            await created(house, shop("a"))
        async with house.runs.adapters(SIMULATION) as around:
            found = await plan_loaded(house.settings, house.stores, around, Loaded(shop("a")), SIMULATION)
        (told,) = found.diagnostics
        assert (told.code, f"resume {first.id}" in told.hint) == ("environment-unsettled", True)
        assert (await house.resume(first.id, "ada")).status is RunState.COMPLETED
        assert (await done(house, shop("a", "b"))).status is RunState.COMPLETED
        assert house.alive() == ["a", "b"]
        await check_kept(house)

    housed(tmp_path, play)


@pytest.mark.parametrize("ends", ["cancelled by force", "its process died"])
def test_a_call_of_a_provider_that_is_gone_is_forgotten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ends: str
) -> None:
    """No provider is asked, and the next run may begin at once: all of it is one append."""

    async def play(house: House) -> None:
        first = await created(house, shop("a", "b"))
        await house.left_behind(first.id)
        if ends == "cancelled by force":
            await house.cancel(first.id, "ada", force=True)
        journal = await house.journal()
        before = len(await journal.pages(first.id))
        with monkeypatch.context() as gone:
            gone.setattr(Adapters, "open_for", None)
            with pytest.raises(NotAllowed, match="no call of unknown outcome in 'aws'"):
                await forgotten(house, await house.stored(first.id), "aws")
            run = await forgotten(house, await house.stored(first.id), "upcloud")
        assert len(await journal.pages(first.id)) == before + 1
        assert run.status is RunState.CANCELLED
        row = await journal.environment(SHOP)
        assert row is not None
        assert (row.tenant, row.unsettled, row.turn) == ("", "", 2 if ends == "cancelled by force" else 1)
        await check_kept(house)
        assert (await done(house, shop("a", "c"))).status is RunState.COMPLETED
        await check_kept(house)

    housed(tmp_path, play)


def test_a_run_whose_calls_were_forgotten_goes_on_or_is_rolled_back(tmp_path: Path) -> None:
    async def play(house: House) -> None:
        for verb, state in ((house.resume, RunState.COMPLETED), (house.rollback, RunState.ROLLED_BACK)):
            first = await created(house, shop("a", "b"))
            await house.left_behind(first.id)
            run = await forgotten(house, await house.stored(first.id), "upcloud")
            with pytest.raises(NotAllowed, match="does not continue the run"):
                await house.runs.resume(first, "ada", ResumeAnswers(redo=("up/a",), forget=("upcloud",))).finished()
            if state is RunState.ROLLED_BACK:
                with pytest.raises(NotAllowed, match="created nothing"):
                    await verb(run.id, "ada")
                continue
            assert (await verb(run.id, "ada")).status is state
            assert house.alive() == ["a", "b"]
            await check_kept(house)
            assert (await house.rollback(run.id, "ada")).status is RunState.ROLLED_BACK
        await check_kept(house)

    housed(tmp_path, play)


def test_a_run_older_than_environments_is_forgotten_too(tmp_path: Path) -> None:
    async def play(house: House) -> None:
        run = await of_before(house, replace(await planned(house, shop("a")), environment="", base=""))
        await house.left_behind(run.id)
        with pytest.raises(EnvironmentBusy):
            await created(house, shop("a"))
        assert (await forgotten(house, await house.stored(run.id), "upcloud")).status is RunState.CANCELLED
        await check_kept(house)
        assert (await done(house, shop("a"))).status is RunState.COMPLETED
        await check_kept(house)

    housed(tmp_path, play)


def test_what_a_forgotten_call_made_after_all_is_an_orphan_and_is_not_used(tmp_path: Path) -> None:
    """It is in no resource: the next run neither keeps it nor creates a second one beside it."""

    async def play(house: House) -> None:
        first = await created(house, shop("a"))
        await house.left_behind(first.id)
        await forgotten(house, await house.stored(first.id), "upcloud")
        late = await planned(house, shop("a"))
        step = late.steps[0]
        assert isinstance(step.request, ServerRequest)
        now = house.clock.now()
        with closing(World(house.settings.world_file)) as world:
            world.plant(
                SimulatedServer(
                    *("upcloud-000099", "upcloud", "simulated-upcloud", first.id, step_token(first.id, step.id, 0)),
                    *(step.request, "198.18.0.99", now, now, now),
                )
            )
        with pytest.raises(PlanRefused) as refused:
            await planned(house, shop("a"))
        (problem,) = [one for one in refused.value.diagnostics if isinstance(one, Diagnostic)]
        assert (problem.code, f"gc --run {first.id}" in problem.hint) == ("server-orphan", True)
        assert house.alive() == ["a"]

    housed(tmp_path, play)
