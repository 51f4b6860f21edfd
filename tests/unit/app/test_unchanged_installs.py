"""An install that is whole and as the file asks for is not done again; what changed, or did not finish, is."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

from batchwright.model import events as ev
from batchwright.model.actions import Action
from batchwright.model.lifecycle import RunState, StepState
from batchwright.model.plan import FieldChange, Plan
from batchwright.model.workflow import Changes
from batchwright.providers.simulated import SimulatedRunner
from batchwright.taskservs.base import Target
from tests.unit.app.test_environment_state import check_kept, created, done, kept, planned, shop
from tests.unit.app.test_runs import House, housed


def actions(plan: Plan) -> dict[str, Action]:
    return {step.id: step.action for step in plan.steps}


def test_an_unchanged_file_changes_nothing_and_connects_to_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """I8."""

    async def play(house: House) -> None:
        first = await done(house, shop("a", "b"))
        before = await kept(house)
        asked: list[str] = []
        _watch(monkeypatch, asked)
        plan = await planned(house, shop("a", "b"))
        assert set(actions(plan).values()) == {Action.KEEP}
        run = await house.runs.drive(await house.runs.create(plan, "ada")).finished()
        assert asked == []
        assert run.status is RunState.COMPLETED
        assert [(record.state, record.made) for record in run.records] == [(StepState.SUCCEEDED, False)] * 4
        now = await kept(house)
        assert {key: replace(one, at=0) for key, one in now.items()} == {
            key: replace(one, at=0) for key, one in before.items()
        }
        await check_kept(house)
        # nothing was changed, so the first run is still the newest and can be rolled back
        assert (await house.runs.rollback(await house.stored(first.id), "ada").finished()).status is (
            RunState.ROLLED_BACK
        )
        assert await kept(house) == {}

    housed(tmp_path, play)


def _watch(monkeypatch: pytest.MonkeyPatch, asked: list[str]) -> None:
    """Note every call that reaches a server."""
    for name in ("install", "installed", "check", "remove", "preview"):

        async def call(_self: object, *args: object, name: str = name) -> tuple[str, ...]:
            asked.append(f"{name} {[one.name for one in args if isinstance(one, Target)]}")
            return ()

        monkeypatch.setattr(SimulatedRunner, name, call)


def test_only_what_changed_is_installed_and_what_is_new_still_finds_the_rest(tmp_path: Path) -> None:
    async def play(house: House) -> None:
        await done(house, shop("a"))
        run = await done(house, shop("a", "b"))
        assert actions(run.plan) == {
            "up/a": Action.KEEP,
            "up/b": Action.CREATE,
            "web/a/nginx": Action.KEEP,
            "web/b/nginx": Action.INSTALL,
        }
        assert run.status is RunState.COMPLETED
        again = await planned(house, shop("a", "b", port=81))
        changes = {step.id: step.changes for step in again.steps if step.server}
        assert set(changes.values()) == {(FieldChange("variables.port", "80", "81"),)}
        await check_kept(house)

    housed(tmp_path, play)


async def dies_installing(house: House, run_id: str) -> None:
    """A process drives the run as far as its install, and dies in it."""
    journal, now, plan = await house.journal(), house.clock.now(), (await house.run(run_id)).plan
    lease = await journal.acquire(run_id, "elsewhere:1:1", now)
    server, install = plan.steps
    address = (await kept(house))["server//a"].address
    await journal.append(lease, 1, [
        ev.DriverStarted(now, lease.holder, lease.fence), ev.RunStarted(now),
        ev.StepStarted(now, server.id, 1, "t"), ev.StepSucceeded(now, server.id, server.ref, address, made=False),
        ev.StepStarted(now, install.id, 1, "u"),
    ])  # fmt: skip
    await journal.release(lease)


def test_an_install_whose_process_died_is_done_again(tmp_path: Path) -> None:
    async def play(house: House) -> None:
        await done(house, shop("a"))
        stored = await created(house, shop("a", port=81))
        await dies_installing(house, stored.id)
        cancelled = await house.cancel(stored.id, "ada", force=True)
        assert cancelled.status is RunState.CANCELLED
        assert not (await kept(house))["taskserv/a/nginx"].whole
        plan = await planned(house, shop("a", port=81))
        (step,) = [one for one in plan.steps if one.server]
        assert (step.action, step.changes) == (Action.INSTALL, (FieldChange("finished", "no", "yes"),))
        finished = await done(house, shop("a", port=81))
        assert (await kept(house))["taskserv/a/nginx"].whole
        await check_kept(house)
        for run in (finished.id, stored.id):  # the runs are a stack, also where one only finished what another began
            assert (await house.rollback(run, "ada")).status is RunState.ROLLED_BACK
            await check_kept(house)
        assert (await kept(house))["taskserv/a/nginx"].request["variables"]["port"] == 80

    housed(tmp_path, play)


def test_a_kept_install_that_was_not_reached_stays_as_it_was(tmp_path: Path) -> None:
    """The server of a kept install could not be looked at: nothing is known, so nothing is said to have changed."""

    async def play(house: House) -> None:
        await done(house, shop("a"))
        before = (await kept(house))["taskserv/a/nginx"]
        stored = await created(house, shop("a"))
        await house.cancel(stored.id, "ada", force=False)
        assert (await kept(house))["taskserv/a/nginx"] == before
        again = replace(shop("a"), changes=Changes(reinstall=("nginx",)))
        run = await done(house, again)
        assert actions(run.plan)["web/a/nginx"] is Action.INSTALL
        await check_kept(house)

    housed(tmp_path, play)
