"""A run that changed task services is rolled back: what was there before is installed again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from batchwright.app.rollback_impact import planned_undo
from batchwright.errors import RunSuperseded
from batchwright.model import events as ev
from batchwright.model.actions import Undo
from batchwright.model.lifecycle import RunState, StepState
from batchwright.model.plan import Plan
from batchwright.model.workflow import OnFailure
from batchwright.operations.taskserv_batch import TaskservRequest
from batchwright.providers.simulated import SimulatedRunner, World
from tests.unit.app.test_environment_state import check_kept, done, kept, planned, shop
from tests.unit.app.test_runs import House, housed
from tests.unit.app.test_server_update import environment_digest, resized, server


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str, object]]:
    """What is installed and removed: the verb, the server and the port."""
    calls: list[tuple[str, str, object]] = []
    for name in ("install", "remove"):
        real = getattr(SimulatedRunner, name)

        async def call(
            self: Any, request: TaskservRequest, target: Any, job: Any = None, *, name: str = name, real: Any = real
        ) -> Any:
            calls.append((name, target.name, request.variables["port"]))
            return await real(self, request, target, job)

        monkeypatch.setattr(SimulatedRunner, name, call)
    return calls


def vanish(house: House, name: str) -> None:
    """Somebody destroys a server in the provider's console."""
    world = World(house.settings.world_file)
    with world.turn:
        world.destroy(server(house, name).ref, house.clock.now(), house.clock.now())
    world.close()


def test_former_variables_come_back_and_the_run_before_can_be_rolled_back_then(
    tmp_path: Path, asked: list[tuple[str, str, object]]
) -> None:
    """I7. Runs are a stack, also those that only changed variables."""

    async def play(house: House) -> None:
        first = await done(house, shop("a"))
        before, there = await environment_digest(house), await kept(house)
        run = await done(house, shop("a", port=81))
        assert run.plan.steps[1].undo is Undo.RESTORE
        with pytest.raises(RunSuperseded, match=run.id):
            await house.rollback(first.id, "ada")
        asked.clear()
        assert (await house.rollback(run.id, "ada")).status is RunState.ROLLED_BACK
        assert asked == [("install", "a", 80)]
        assert await environment_digest(house) == before
        now = await kept(house)
        assert now["taskserv/a/nginx"].changed_by == there["taskserv/a/nginx"].changed_by == first.id
        await check_kept(house)
        assert (await house.rollback(first.id, "ada")).status is RunState.ROLLED_BACK
        assert (house.alive(), await kept(house)) == ([], {})

    housed(tmp_path, play)


def test_a_failed_run_that_is_rolled_back_by_itself_leaves_no_trace(tmp_path: Path) -> None:
    async def play(house: House) -> None:
        first = await done(house, shop("a", "b"))
        before = await environment_digest(house)
        wanted = shop("a", "b", port=81, on_failure=OnFailure.ROLLBACK)
        run = await done(house, wanted, fail_taskserv="nginx@b=permanent:2")  # the first was the other run's
        assert run.status is RunState.ROLLED_BACK
        assert {step: run.record(step).state for step in ("web/a/nginx", "web/b/nginx")} == {
            "web/a/nginx": StepState.UNDONE,
            "web/b/nginx": StepState.UNDONE,
        }
        assert await environment_digest(house) == before
        await check_kept(house)
        assert (await house.rollback(first.id, "ada")).status is RunState.ROLLED_BACK

    housed(tmp_path, play)


def test_what_could_not_come_back_is_named_and_put_right_by_the_next_run(tmp_path: Path) -> None:
    async def play(house: House) -> None:
        await done(house, shop("a"))
        wanted = shop("a", port=81, on_failure=OnFailure.ROLLBACK)
        run = await done(house, wanted, fail_taskserv="nginx@a=permanent")
        assert run.status is RunState.ROLLBACK_INCOMPLETE
        assert run.residue[0].startswith(
            f"web/a/nginx: task service on upcloud, where nginx {_version(run.plan)} was to be installed again: "
        )
        left = (await kept(house))["taskserv/a/nginx"]
        assert (left.whole, left.residue != "") == (False, True)
        again = await done(house, shop("a"))
        assert again.status is RunState.COMPLETED
        assert (await kept(house))["taskserv/a/nginx"].residue == ""
        await check_kept(house)

    housed(tmp_path, play)


def test_what_was_on_a_server_that_is_gone_needs_no_undo(tmp_path: Path, asked: list[tuple[str, str, object]]) -> None:
    async def play(house: House) -> None:
        await done(house, shop("a", "b"))
        flow = resized("a", "b")
        web = flow.operations[1]
        uses = tuple(replace(use, variables={"port": 81}) for use in web.taskservs)  # type: ignore[attr-defined]
        run = await done(house, replace(flow, operations=(flow.operations[0], replace(web, taskservs=uses))))  # type: ignore[type-var]
        vanish(house, "b")
        asked.clear()
        rolled = await house.rollback(run.id, "ada")
        assert rolled.status is RunState.ROLLED_BACK
        journal = await house.journal()
        undone = {one.step: one.gone for _, one in await journal.read(run.id) if isinstance(one, ev.StepUndone)}
        assert undone == {"web/a/nginx": False, "web/b/nginx": True, "up/b": True}
        assert ("install", "a", 80) in asked
        plan = await planned(house, shop("a", "b"))
        assert {step.id: step.action.value for step in plan.steps} == {
            "up/a": "keep",
            "up/b": "create",
            "web/a/nginx": "keep",
            "web/b/nginx": "install",
        }
        await check_kept(house)

    housed(tmp_path, play)


def test_the_preview_says_what_comes_back_and_what_cannot(tmp_path: Path) -> None:
    async def play(house: House) -> None:
        await done(house, shop("a"))
        run = await done(house, shop("a", port=81))
        (undo,) = [one for one in await planned_undo(house.settings, house.clock, run) if one.what == "restore"]
        assert (undo.step, undo.ref, undo.note) == ("web/a/nginx", f"nginx {_version(run.plan)}", "")
        step = run.plan.steps[1]
        assert step.before is not None
        older = replace(step, before=replace(step.before, request=replace(step.before.request, digest="0" * 64)))  # type: ignore[type-var]
        run.plan = replace(run.plan, steps=(run.plan.steps[0], older), simulation=None)
        run.derive()
        (undo,) = [one for one in await planned_undo(house.settings, house.clock, run) if one.what == "restore"]
        assert "catalogue entry nginx" in undo.note

    housed(tmp_path, play)


def _version(plan: Plan) -> str:
    request = plan.steps[1].request
    assert isinstance(request, TaskservRequest)
    return request.version
