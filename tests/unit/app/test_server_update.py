"""Servers that are changed in place: by which step, with whose permission, and what a rollback makes of it."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from batchwright.journal.environment_state import environment_state
from batchwright.model import events as ev
from batchwright.model.actions import Action, Undo
from batchwright.model.call_outcome import Rejected
from batchwright.model.environment import digest
from batchwright.model.fault import Fault, FaultClass
from batchwright.model.lifecycle import RunState, StepState
from batchwright.model.plan import FieldChange
from batchwright.model.workflow import AcceptedDifference, Drift, Workflow
from batchwright.operations.server_batch import ServerRequest
from batchwright.providers.simulated import Simulated, World
from batchwright.providers.simulated.world_records import SimulatedServer
from tests.unit.app.test_environment_state import SHOP, check_kept, created, done, kept, planned, shop
from tests.unit.app.test_replacement import changed, refused
from tests.unit.app.test_runs import House, housed

SMALL, BIG = "1xCPU-2GB", "2xCPU-4GB"


def resized(*names: str, allowed: bool = True) -> Workflow:
    """The shop with these servers, of which b is larger."""
    return changed(shop(*names), "b", allowed=allowed, plan=BIG)


def labelled(name: str = "a", *, flow: Workflow | None = None, **labels: str) -> Workflow:
    return changed(flow or shop("a", "b"), name, labels=labels)


def server(house: House, name: str) -> SimulatedServer:
    world = World(house.settings.world_file)
    (found,) = [one for one in world.servers() if one.name == name]
    world.close()
    return found


def by_hand(house: House, name: str, **fields: Any) -> None:
    """Somebody changes a server in the provider's console."""
    world = World(house.settings.world_file)
    (found,) = [one for one in world.servers() if one.name == name]
    with world.turn:
        world.change(found.ref, replace(found.request, **fields))
    world.close()


async def environment_digest(house: House) -> str:
    return digest((await environment_state(await house.journal(), SHOP)).resources)


async def killed(house: House, workflow: Workflow, after: float, **simulation: Any) -> str:
    """A run whose process dies so many seconds after its start."""
    stored = await created(house, workflow, **simulation)
    process = asyncio.create_task(house.runs.drive(stored).finished())
    await house.clock.sleep(after)
    process.cancel()
    await asyncio.gather(process, return_exceptions=True)
    return stored.id


def test_labels_are_changed_while_the_server_runs(tmp_path: Path) -> None:
    async def play(house: House) -> None:
        await done(house, labelled(team="x", old="1"))
        before = await kept(house)
        run = await done(house, labelled(team="y"))
        step = run.plan.steps[run.index["up/a"]]
        assert (run.status, step.action, step.undo) == (RunState.COMPLETED, Action.UPDATE, Undo.RESTORE)
        assert step.changes == (FieldChange("labels", "old=1, team=x", "team=y"),)
        assert run.plan.steps[run.index["up/b"]].action is Action.KEEP
        now = await kept(house)
        assert now["server//a"].ref == before["server//a"].ref
        assert now["server//a"].request["labels"] == server(house, "a").request.labels == {"team": "y"}
        assert (now["server//a"].made_by, now["server//a"].changed_by) == (before["server//a"].made_by, run.id)
        assert now["taskserv/a/nginx"] == before["taskserv/a/nginx"]
        await check_kept(house)
        again = await planned(house, labelled(team="y"))
        assert {one.action for one in again.steps} == {Action.KEEP}

    housed(tmp_path, play)


def test_what_stops_a_server_is_refused_without_permission(tmp_path: Path) -> None:
    async def play(house: House) -> None:
        await done(house, shop("a", "b"))
        problem = await refused(house, resized("a", "b", allowed=False))
        assert problem.code == "server-differs"
        assert f'plan is "{SMALL}", the workflow asks for "{BIG}"' in problem.message
        assert "is stopped meanwhile" in problem.hint
        assert "--replace b" in problem.hint
        assert "destroy" not in problem.hint

    housed(tmp_path, play)


def test_a_resize_keeps_the_server_and_its_rollback_gives_it_its_size_back(tmp_path: Path) -> None:
    """I7: the environment is what it was before the run."""

    async def play(house: House) -> None:
        first = await done(house, shop("a", "b"))
        before, stood = await environment_digest(house), server(house, "b")
        run = await done(house, resized("a", "b"))
        assert run.status is RunState.COMPLETED
        assert (server(house, "b").ref, server(house, "b").request.plan) == (stood.ref, BIG)
        assert (await kept(house))["server//b"].request["plan"] == BIG
        assert await environment_digest(house) != before
        assert (await house.rollback(run.id, "ada")).status is RunState.ROLLED_BACK
        assert (server(house, "b").ref, server(house, "b").request.plan) == (stood.ref, SMALL)
        assert await environment_digest(house) == before
        await check_kept(house)
        assert (await house.rollback(first.id, "ada")).status is RunState.ROLLED_BACK
        assert house.alive() == []

    housed(tmp_path, play)


def test_where_a_server_cannot_be_resized_it_is_replaced(tmp_path: Path) -> None:
    async def play(house: House) -> None:
        await done(house, shop("a", "b"))
        before = (await kept(house))["server//b"].ref
        run = await done(house, resized("a", "b"), resizes="replace")
        assert run.status is RunState.COMPLETED
        assert (await kept(house))["server//b"].ref != before

    housed(tmp_path, play)


def test_a_server_that_was_changed_by_hand_is_changed_back(tmp_path: Path) -> None:
    async def play(house: House) -> None:
        await done(house, shop("a", "b"))
        by_hand(house, "b", plan=BIG)
        assert (await refused(house, shop("a", "b"))).code == "server-differs"
        run = await done(house, changed(shop("a", "b"), "b", allowed=True))
        assert run.plan.steps[run.index["up/b"]].changes == (FieldChange("plan", BIG, SMALL, stops=True),)
        assert server(house, "b").request.plan == SMALL

    housed(tmp_path, play)


def test_labels_that_were_changed_by_hand_are_set_back_and_those_of_others_stay(tmp_path: Path) -> None:
    """I7 too: before and after the rollback the environment is as its runs asked for."""

    async def play(house: House) -> None:
        first = await done(house, labelled("b", tier="web"))
        before = await environment_digest(house)
        by_hand(house, "b", labels={"tier": "db", "cost-centre": "7"})
        run = await done(house, labelled("b", tier="web"))
        assert run.plan.steps[run.index["up/b"]].changes == (FieldChange("labels", "tier=db", "tier=web"),)
        assert server(house, "b").request.labels == {"tier": "web", "cost-centre": "7"}
        assert {one.action for one in (await planned(house, labelled("b", tier="web"))).steps} == {Action.KEEP}
        assert (await house.rollback(run.id, "ada")).status is RunState.ROLLED_BACK
        assert await environment_digest(house) == before
        assert server(house, "b").request.labels == {"tier": "web", "cost-centre": "7"}
        await check_kept(house)
        assert (await house.rollback(first.id, "ada")).status is RunState.ROLLED_BACK

    housed(tmp_path, play)


def test_what_the_file_accepts_for_a_while_is_told_and_stays(tmp_path: Path) -> None:
    def accepting(flow: Workflow, end: str) -> Workflow:
        return replace(flow, drift=Drift((AcceptedDifference("b", "a sale", end, ("plan",)),)))

    async def play(house: House) -> None:
        await done(house, shop("a", "b"))
        by_hand(house, "b", plan=BIG)
        today = datetime.fromtimestamp(house.clock.now(), UTC).date()
        flow = accepting(labelled("b", team="x"), today.isoformat())
        told = [one.code for one in (await planned(house, flow)).warnings]
        assert told == ["drift-accepted", "server-kept-as-it-is"]
        assert (await done(house, flow)).status is RunState.COMPLETED
        assert (server(house, "b").request.plan, server(house, "b").request.labels) == (BIG, {})
        yesterday = accepting(shop("a", "b"), (today - timedelta(days=1)).isoformat())
        assert (await refused(house, yesterday)).code == "server-differs"
        wanted = changed(flow, "b", plan="4xCPU-8GB")
        assert (await refused(house, wanted)).code == "server-differs", "the file asks for something else now"

    housed(tmp_path, play)


def test_what_was_changed_by_hand_and_is_asked_for_now_is_known_from_then_on(tmp_path: Path) -> None:
    async def play(house: House) -> None:
        first = await done(house, shop("a", "b"))
        by_hand(house, "b", plan=BIG, labels={"tier": "web"})
        run = await done(house, labelled("b", flow=resized("a", "b", allowed=False), tier="web"))
        assert {one.action for one in run.plan.steps} == {Action.KEEP}
        request = (await kept(house))["server//b"].request
        assert (request["plan"], request["labels"]) == (BIG, {"tier": "web"})
        await check_kept(house)
        assert (await house.rollback(first.id, "ada")).status is RunState.ROLLED_BACK, "it changed nothing itself"

    housed(tmp_path, play)


@pytest.mark.parametrize("after", [0.3, 0.6, 0.9, 1.4, 2.4])
def test_a_change_that_was_given_up_half_way_is_finished_by_the_next_run(tmp_path: Path, after: float) -> None:
    """Also if the file asks for what stood there before."""

    async def play(house: House) -> None:
        await done(house, shop("a", "b"))
        before = await environment_digest(house)
        run = await killed(house, resized("a", "b"), after)
        cancelled = await house.cancel(run, "ada", force=True)
        if cancelled.record("up/b").attempt == 0 or cancelled.record("up/b").state is StepState.SUCCEEDED:
            return
        assert not (await kept(house))["server//b"].whole
        again = await done(house, changed(shop("a", "b"), "b", allowed=True))
        assert again.status is RunState.COMPLETED
        assert again.plan.steps[again.index["up/b"]].action is Action.UPDATE
        assert again.plan.steps[again.index["up/b"]].unclear is False
        assert server(house, "b").request.plan == SMALL
        assert await environment_digest(house) == before
        await check_kept(house)

    housed(tmp_path, play)


def test_a_run_whose_process_died_goes_on_and_can_still_be_rolled_back(tmp_path: Path) -> None:
    async def play(house: House) -> None:
        await done(house, shop("a", "b"))
        before = await environment_digest(house)
        run = await killed(house, resized("a", "b"), 0.9)
        await house.clock.sleep(60.0)
        assert (await house.resume(run, "ada")).status is RunState.COMPLETED
        assert server(house, "b").request.plan == BIG
        assert (await house.rollback(run, "ada")).status is RunState.ROLLED_BACK
        assert await environment_digest(house) == before

    housed(tmp_path, play)


def test_a_server_that_is_gone_needs_no_rollback(tmp_path: Path) -> None:
    async def play(house: House) -> None:
        await done(house, shop("a", "b"))
        run = await done(house, resized("a", "b"))
        world = World(house.settings.world_file)
        with world.turn:
            world.destroy(server(house, "b").ref, house.clock.now(), house.clock.now())
        world.close()
        rolled = await house.rollback(run.id, "ada")
        assert rolled.status is RunState.ROLLED_BACK
        journal = await house.journal()
        undone = {one.step: one.gone for _, one in await journal.read(run.id) if isinstance(one, ev.StepUndone)}
        assert undone == {"up/b": True, "web/b/nginx": True}

    housed(tmp_path, play)


def test_a_refused_change_fails_and_the_run_or_the_next_one_can_go_on(tmp_path: Path) -> None:
    async def play(house: House) -> None:
        await done(house, shop("a", "b"))
        ref = server(house, "b").ref
        failed = await done(house, resized("a", "b"), fail_change="b=invalid:1")
        assert (failed.status, failed.record("up/b").state) == (RunState.FAILED, StepState.FAILED)
        assert not (await kept(house))["server//b"].whole
        await check_kept(house)
        assert (await house.resume(failed.id, "ada")).status is RunState.COMPLETED
        assert (server(house, "b").ref, server(house, "b").request.plan) == (ref, BIG)
        again = await done(house, changed(shop("a", "b"), "b", allowed=True), fail_change="b=invalid")
        assert again.status is RunState.FAILED
        assert (await done(house, changed(shop("a", "b"), "b", allowed=True))).status is RunState.COMPLETED
        assert (server(house, "b").ref, server(house, "b").request.plan) == (ref, SMALL)
        await check_kept(house)

    housed(tmp_path, play)


def test_a_server_that_cannot_be_changed_back_is_named_and_put_right_by_the_next_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(*_: object) -> Rejected:
        return Rejected(Fault(FaultClass.INVALID, "the plan is sold out"))

    async def play(house: House) -> None:
        await done(house, shop("a", "b"))
        run = await done(house, resized("a", "b"))
        with monkeypatch.context() as patched:
            patched.setattr(Simulated, "change", refuse)
            rolled = await house.rollback(run.id, "ada")
        assert rolled.status is RunState.ROLLBACK_INCOMPLETE
        ref = server(house, "b").ref
        assert rolled.residue == (
            f"up/b: server {ref} on upcloud, which was to be changed back: plan to {SMALL} (it is stopped meanwhile): "
            "the plan is sold out",
        )
        left = (await kept(house))["server//b"]
        assert (left.whole, left.residue, left.request["plan"]) == (False, "the plan is sold out", BIG)
        again = await done(house, changed(shop("a", "b"), "b", allowed=True))
        assert again.status is RunState.COMPLETED
        now = (await kept(house))["server//b"]
        assert (now.ref, now.whole, now.residue, now.request["plan"]) == (ref, True, "", SMALL)
        await check_kept(house)

    housed(tmp_path, play)


def test_the_server_of_another_environment_is_never_changed(tmp_path: Path) -> None:
    async def play(house: House) -> None:
        await done(house, shop("a", "b"))
        apps = replace(resized("a", "b"), name="apps")
        problem = await refused(house, apps)
        assert problem.code == "server-differs"
        assert "did not create it" in problem.hint
        theirs = replace(labelled("b", team="apps"), name="apps")
        run = await done(house, theirs)
        assert {one.action for one in run.plan.steps if isinstance(one.request, ServerRequest)} == {Action.KEEP}
        assert server(house, "b").request.labels == {}

    housed(tmp_path, play)
