"""A server that is replaced with the new one first: the old one goes last, or returns, or is left to the next run."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from batchwright.app.adapters import Adapters
from batchwright.app.environment_destroy import plan_destruction
from batchwright.app.environment_reader import find_home
from batchwright.errors import ProviderUnavailable
from batchwright.model.environment import Resource, digest
from batchwright.model.guardrail_limits import GuardrailLimits, LimitsSource, broken_limits
from batchwright.model.lifecycle import RunState, StepState
from batchwright.model.plan import DESTROYED, Plan
from batchwright.model.workflow import OnFailure, ReplaceOrder, Workflow
from batchwright.operations.server_batch import ServerBatch
from batchwright.plan.impact import impact
from batchwright.providers.simulated import World
from batchwright.views.plan import plan_view
from batchwright.views.planned_changes import Symbol, counts, is_unchanged, symbols
from tests.unit.app.test_environment_history import destroyed_by_hand
from tests.unit.app.test_environment_state import SIMULATION, check_kept, done, kept, planned, shop
from tests.unit.app.test_replacement import changed, moved, refused
from tests.unit.app.test_runs import House, housed

FAILS = {"fail_taskserv": "nginx@b=permanent:2"}  # the first was another run's


def new_first(workflow: Workflow) -> Workflow:
    """The workflow with this order for all its servers."""
    up, *rest = workflow.operations
    assert isinstance(up, ServerBatch)
    return replace(workflow, operations=(replace(up, replace_order=ReplaceOrder.NEW_FIRST), *rest))


def elsewhere(*, allowed: bool = True, **rest: Any) -> Workflow:
    """Two servers, of which the second is to be in another zone."""
    return new_first(changed(shop("a", "b", **rest), "b", allowed=allowed, zone="fi-hel1"))


def refs(house: House, name: str) -> list[str]:
    with closing(World(house.settings.world_file)) as world:
        now = house.clock.now()
        return [one.ref for one in world.servers(now) if one.name == name and one.true_state(now) != "gone"]


def going(plan: Plan) -> list[tuple[str, str, bool]]:
    return [(step.id, step.ref, step.leftover) for step in plan.steps if step.retired is not None]


async def destruction(house: House, silent: str = "") -> tuple[Plan, list[str]]:
    """The plan and its warnings, where this provider cannot be opened."""
    found = await find_home(house.stores, "shop", simulated=True)
    async with Adapters(house.settings, house.clock, house.limits, SIMULATION) as around:
        if silent:
            around.troubles[silent] = ProviderUnavailable("it does not answer")
        planned_so = await plan_destruction(house.settings, around, found)
    assert planned_so.plan is not None
    return planned_so.plan, [one.code for one in planned_so.diagnostics]


def test_the_old_one_goes_after_everything_on_the_new_one_has_succeeded(tmp_path: Path) -> None:
    async def play(house: House) -> None:
        await done(house, shop("a", "b"))
        before = (await kept(house))["server//b"]
        run = await done(house, elsewhere())
        assert (run.status, house.alive()) == (RunState.COMPLETED, ["a", "b"])
        assert counts(symbols(run.plan))[Symbol.REPLACE] == 1
        assert counts(symbols(run.plan))[Symbol.RETIRE] == 0
        (line,) = [one for one in plan_view(run.plan).lines if one.symbol is Symbol.REPLACE]
        assert line.details == (
            "zone de-fra1 -> fi-hel1", "created anew; the old one goes last, with its data and addresses",
        )  # fmt: skip
        assert run.record("web/b/nginx").ended_at <= run.record("(retire up)/b").started_at
        now = await kept(house)
        assert (now["server//b"].leftover, now["server//b"].ref != before.ref) == ((), True)
        assert now["taskserv/b/nginx"].ref == now["server//b"].ref
        await check_kept(house)
        assert is_unchanged(counts(symbols(await planned(house, elsewhere(allowed=False)))))
        assert (await house.rollback(run.id, "ada")).status is RunState.ROLLED_BACK
        assert house.alive() == ["a"]
        await check_kept(house)

    housed(tmp_path, play)


def test_a_failure_leaves_both_and_the_next_run_destroys_the_old_one_without_permission(tmp_path: Path) -> None:
    async def play(house: House) -> None:
        await done(house, shop("a", "b"))
        (old,) = refs(house, "b")
        failed = await done(house, elsewhere(), **FAILS)
        assert (failed.status, failed.record("(retire up)/b").state) == (RunState.FAILED, StepState.SKIPPED)
        now = (await kept(house))["server//b"]
        assert [one.ref for one in now.leftovers] == [old]
        assert sorted(refs(house, "b")) == sorted([old, now.ref])
        await check_kept(house)
        wanted = elsewhere(allowed=False)
        plan = await planned(house, wanted)
        assert going(plan) == [(f"(retire up)/b!{old}", old, True)]
        (line,) = [one for one in plan_view(plan).lines if one.symbol is Symbol.RETIRE]
        assert line.details == ("with nginx", "left by an earlier run; destroyed with its data and addresses")
        again = await done(house, wanted)
        assert (again.status, refs(house, "b")) == (RunState.COMPLETED, [now.ref])
        assert (await kept(house))["server//b"].leftover == ()
        await check_kept(house)
        assert is_unchanged(counts(symbols(await planned(house, wanted))))

    housed(tmp_path, play)


@pytest.mark.parametrize("on_failure", [OnFailure.CONTINUE, OnFailure.ROLLBACK])
def test_a_rollback_before_the_old_one_went_returns_to_it(tmp_path: Path, on_failure: OnFailure) -> None:
    """In a turn of its own, and in the turn of the run; with what was on the old one (I7)."""

    async def play(house: House) -> None:
        await done(house, shop("a", "b"))
        before = await kept(house)
        (old,) = refs(house, "b")
        run = await done(house, elsewhere(on_failure=on_failure), **FAILS)
        if on_failure is OnFailure.CONTINUE:
            assert run.status is RunState.FAILED
            run = await house.rollback(run.id, "ada")
        assert (run.status, refs(house, "b")) == (RunState.ROLLED_BACK, [old])
        now = await kept(house)
        assert digest(now.values()) == digest(before.values())
        assert (now["server//b"].ref, now["taskserv/b/nginx"].ref, now["server//b"].leftover) == (old, old, ())
        await check_kept(house)
        assert is_unchanged(counts(symbols(await planned(house, shop("a", "b")))))

    housed(tmp_path, play)


def test_one_that_cannot_be_destroyed_is_a_leftover_until_a_later_run_can(tmp_path: Path) -> None:
    async def play(house: House) -> None:
        await done(house, shop("a", "b"))
        (old,) = refs(house, "b")
        failed = await done(house, elsewhere(), fail_destroy="b=permanent:9")
        assert (failed.status, failed.record("(retire up)/b").state) == (RunState.FAILED, StepState.FAILED)
        assert len(refs(house, "b")) == 2
        assert is_unchanged(counts(symbols(await planned(house, elsewhere(allowed=False))))) is False
        assert (await done(house, new_first(shop("a")))).status is RunState.COMPLETED
        now = (await kept(house))[
            "server//b"
        ]  # no longer in the file, and not retired; the leftover needs no permission
        assert (refs(house, "b"), now.leftover) == ([now.ref], ())
        assert now.ref != old
        await check_kept(house)

    housed(tmp_path, play)


def test_destroy_takes_leftovers_too(tmp_path: Path) -> None:
    async def play(house: House) -> None:
        await done(house, shop("a", "b"))
        await done(house, elsewhere(), **FAILS)
        assert len(refs(house, "b")) == 2
        plan, _ = await destruction(house)
        assert len({step.id for step in plan.steps if step.request.name == "b"}) == 2
        run = await house.runs.drive(await house.runs.create(plan, "ada")).finished()
        assert (run.status, house.alive(), await kept(house)) == (RunState.COMPLETED, [], {})
        await check_kept(house)

    housed(tmp_path, play)


def test_destroy_names_a_leftover_that_it_cannot_reach(tmp_path: Path) -> None:
    async def play(house: House) -> None:
        await done(house, shop("a"))
        await done(house, new_first(moved(shop("a"), allowed=True)), fail_taskserv="nginx@a=permanent:2")
        (left,) = (await kept(house))["server//a"].leftovers
        assert left.provider == "upcloud"
        plan, warnings = await destruction(house, silent="upcloud")
        assert warnings == ["leftover-stays"]
        assert {step.provider for step in plan.steps} == {"aws"}
        run = await house.runs.drive(await house.runs.create(plan, "ada")).finished()
        assert run.status is RunState.COMPLETED
        now = (await kept(house))["server//a"]
        assert (now.ref, [one.ref for one in now.leftovers]) == ("", [left.ref])
        await check_kept(house)
        run = await house.runs.drive(await house.runs.create((await destruction(house))[0], "ada")).finished()
        assert (run.status, house.alive(), await kept(house)) == (RunState.COMPLETED, [], {})

    housed(tmp_path, play)


def test_a_leftover_that_somebody_destroyed_is_forgotten(tmp_path: Path) -> None:
    async def play(house: House) -> None:
        await done(house, shop("a", "b"))
        (old,) = refs(house, "b")
        await done(house, elsewhere(), **FAILS)
        with closing(World(house.settings.world_file)) as world:
            world.destroy(old, house.clock.now(), house.clock.now())
        plan = await planned(house, elsewhere(allowed=False))
        assert [(step.gone, step.leftover) for step in plan.steps if step.retired is not None] == [(True, True)]
        assert (await done(house, elsewhere(allowed=False))).status is RunState.COMPLETED
        assert (await kept(house))["server//b"].leftover == ()

    housed(tmp_path, play)


def test_the_server_of_a_given_up_attempt_is_destroyed_by_the_next_run(tmp_path: Path) -> None:
    """One that never got ready and could not be destroyed: nobody took it away but `gc`."""

    async def play(house: House) -> None:
        await done(house, shop("a"))
        failed = await done(house, shop("a", "b"), fail="b=never_ready", fail_destroy="b=permanent:9")
        assert failed.status is RunState.FAILED
        assert len(refs(house, "b")) >= 1
        await check_kept(house)
        assert (await done(house, shop("a", "b"))).status is RunState.COMPLETED
        assert len(refs(house, "b")) == 1
        await check_kept(house)

    housed(tmp_path, play)


def test_where_names_are_unique_it_is_refused_and_one_that_moves_is_not(tmp_path: Path) -> None:
    async def play(house: House) -> None:
        unique = {"guard": "unique_name"}
        await done(house, shop("a", "b"), **unique)
        problem = await refused(house, elsewhere(), **unique)
        assert problem.code == "name-in-use"
        assert 'replace_order = "old_first"' in problem.hint
        (old,) = refs(house, "b")
        run = await done(house, new_first(moved(shop("a", "b"), allowed=True)), **unique)
        assert (run.status, house.alive()) == (RunState.COMPLETED, ["a", "b"])
        assert refs(house, "b") != [old]
        assert {one.provider for key, one in (await kept(house)).items() if key.startswith("server/")} == {"aws"}
        await check_kept(house)

    housed(tmp_path, play)


def test_the_quota_must_have_room_for_both(tmp_path: Path) -> None:
    async def play(house: House) -> None:
        await done(house, shop("a", "b"), quota_servers=2)
        problem = await refused(house, elsewhere(), quota_servers=2)
        assert problem.code == "quota"
        await planned(house, elsewhere(), quota_servers=3)

    housed(tmp_path, play)


def test_one_that_vanished_is_created_anew_and_nothing_goes_last(tmp_path: Path) -> None:
    async def play(house: House) -> None:
        await done(house, shop("a", "b"))
        destroyed_by_hand(house, "b")
        plan = await planned(house, elsewhere())
        assert [one.field for one in plan.steps[plan_step(plan, "up/b")].changes] == [DESTROYED]
        assert (await done(house, elsewhere())).status is RunState.COMPLETED
        await check_kept(house)

    housed(tmp_path, play)


def plan_step(plan: Plan, name: str) -> int:
    return [step.id for step in plan.steps].index(name)


def test_rows_of_older_versions_still_read() -> None:
    """They kept only references, and nobody can tell the token of those."""
    row = b'{"kind":"server","name":"b","provider":"p","account":"x","ref":"r1","run":"R","leftover":["r0"]}'
    one = msgspec.json.decode(row, type=Resource)
    assert [(left.ref, left.provider, left.run, left.token) for left in one.leftovers] == [("r0", "p", "R", "")]
    assert [left.ref for left in one.leftover_servers] == ["r0"]


def test_a_limit_counts_both_while_both_stand(tmp_path: Path) -> None:
    async def play(house: House) -> None:
        await done(house, shop("a", "b"))
        had = (await kept(house)).values()
        made = impact(await planned(house, elsewhere()), had)
        assert (made.before, made.after, made.most, made.destroyed) == (2, 2, 3, ("b",))
        (problem,) = broken_limits([LimitsSource(GuardrailLimits(servers=2), "")], made)
        assert "3 servers while servers are replaced" in problem.message
        assert broken_limits([LimitsSource(GuardrailLimits(servers=3), "")], made) == []
        first = changed(shop("a", "b"), "b", allowed=True, zone="fi-hel1")
        assert impact(await planned(house, first), had).most == 2
        await done(house, elsewhere(), **FAILS)
        again = impact(await planned(house, elsewhere(allowed=False)), (await kept(house)).values())
        assert again.destroyed == ()  # the run before was to destroy it

    housed(tmp_path, play)
