"""A server that cannot become what the file asks for: refused with what would go, or replaced where allowed."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

from batchwright.errors import PlanRefused
from batchwright.model.diagnostic import Diagnostic
from batchwright.model.lifecycle import RunState, StepState
from batchwright.model.plan import FieldChange
from batchwright.model.workflow import Changes, Permission, Workflow
from batchwright.operations.server_batch import ServerBatch
from tests.unit.app.test_environment_history import destroyed_by_hand
from tests.unit.app.test_environment_state import check_kept, done, kept, planned, shop
from tests.unit.app.test_runs import House, housed


def changed(workflow: Workflow, name: str, *, allowed: bool = False, **fields: object) -> Workflow:
    """The workflow with another configuration of one server."""
    up, *rest = workflow.operations
    assert isinstance(up, ServerBatch)
    configs = tuple(replace(one, **fields) if one.name == name else one for one in up.server_configs)
    changes = Changes(replace_servers=(name,)) if allowed else Changes()
    return replace(workflow, operations=(replace(up, server_configs=configs), *rest), changes=changes)


async def refused(house: House, workflow: Workflow, **simulation: object) -> Diagnostic:
    with pytest.raises(PlanRefused) as raised:
        await planned(house, workflow, **simulation)
    (problem,) = [one for one in raised.value.diagnostics if isinstance(one, Diagnostic) and one.severity == "error"]
    return problem


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"zone": "fi-hel1"}, 'zone is "de-fra1", the workflow asks for "fi-hel1"'),
        ({"user_data": "#!/bin/sh\ntrue\n"}, "user_data is another text, the workflow asks for the one in the file"),
        ({"ssh_keys": ("ssh-ed25519 AAAA ada",)}, "ssh_keys are none, the workflow asks for ada"),
    ],
)
def test_what_cannot_be_changed_is_refused_with_the_way_on(
    tmp_path: Path, fields: dict[str, object], words: str
) -> None:
    """D4, C5: also what no provider tells of a server."""

    async def play(house: House) -> None:
        await done(house, shop("a", "b"))
        problem = await refused(house, changed(shop("a", "b"), "b", **fields))
        assert problem.code == "server-differs"
        assert words in problem.message
        assert "--replace b" in problem.hint

    housed(tmp_path, play)


def test_a_replaced_server_goes_first_and_its_services_come_with_the_new_one(tmp_path: Path) -> None:
    async def play(house: House) -> None:
        await done(house, shop("a", "b"))
        before = (await kept(house))["server//b"]
        run = await done(house, changed(shop("a", "b"), "b", allowed=True, zone="fi-hel1"))
        assert (run.status, house.alive()) == (RunState.COMPLETED, ["a", "b"])
        assert run.plan.steps[run.index["up/b"]].changes == (FieldChange("zone", "de-fra1", "fi-hel1"),)
        now = await kept(house)
        assert now["server//b"].ref != before.ref
        assert now["server//b"].request["zone"] == "fi-hel1"
        assert now["taskserv/b/nginx"].ref == now["server//b"].ref
        assert run.record("up/b!old").ended_at <= run.record("up/b").started_at
        await check_kept(house)
        again = await planned(house, changed(shop("a", "b"), "b", zone="fi-hel1"))
        assert [step.id for step in again.steps if step.retired is not None] == []

    housed(tmp_path, play)


def test_where_the_new_one_cannot_be_made_the_run_says_so_and_the_next_makes_it(tmp_path: Path) -> None:
    async def play(house: House) -> None:
        await done(house, shop("a", "b"))
        wanted = changed(shop("a", "b"), "b", allowed=True, zone="fi-hel1")
        failed = await done(house, wanted, fail="b")
        assert (failed.status, failed.record("up/b").state) == (RunState.FAILED, StepState.FAILED)
        assert (house.alive(), sorted(await kept(house))) == (["a"], ["server//a", "taskserv/a/nginx"])
        await check_kept(house)
        assert (await done(house, wanted)).status is RunState.COMPLETED
        assert house.alive() == ["a", "b"]

    housed(tmp_path, play)


def test_a_rollback_of_a_replacement_leaves_neither(tmp_path: Path) -> None:
    """The old one cannot come back: it is named as gone in the plan."""

    async def play(house: House) -> None:
        first = await done(house, shop("a", "b"))
        second = await done(house, changed(shop("a", "b"), "b", allowed=True, zone="fi-hel1"))
        assert (await house.rollback(second.id, "ada")).status is RunState.ROLLED_BACK
        assert house.alive() == ["a"]
        await check_kept(house)
        assert (await house.rollback(first.id, "ada")).status is RunState.ROLLED_BACK
        assert (house.alive(), await kept(house)) == ([], {})

    housed(tmp_path, play)


def test_a_server_of_another_environment_is_never_replaced(tmp_path: Path) -> None:
    async def play(house: House) -> None:
        await done(house, shop("a"))
        apps = replace(shop("a"), name="apps")
        everything = Changes(replace=Permission.ALLOWED, retire=Permission.ALLOWED)
        problem = await refused(house, replace(changed(apps, "a", plan="2xCPU-4GB"), changes=everything))
        assert problem.code == "server-differs"
        assert "did not create it" in problem.hint

    housed(tmp_path, play)


def moved(workflow: Workflow, *, allowed: bool = False) -> Workflow:
    """The workflow with all its servers at another provider."""
    up, *rest = workflow.operations
    assert isinstance(up, ServerBatch)
    configs = tuple(replace(one, plan="t3.small", zone="eu-central-1a") for one in up.server_configs)
    changes = Changes(replace=Permission.ALLOWED) if allowed else Changes()
    return replace(workflow, operations=(replace(up, provider="aws", server_configs=configs), *rest), changes=changes)


def test_a_server_moves_to_another_provider_and_none_is_forgotten(tmp_path: Path) -> None:
    """The new one was created and the old one stood on, in no record of any environment."""

    async def play(house: House) -> None:
        await done(house, shop("a"))
        problem = await refused(house, moved(shop("a")))
        assert (problem.code, problem.where) == ("server-differs", "up/a")
        assert "exists at upcloud, the workflow asks for aws" in problem.message
        assert "--replace a" in problem.hint
        run = await done(house, moved(shop("a"), allowed=True))
        assert (run.status, house.alive()) == (RunState.COMPLETED, ["a"])
        assert run.plan.steps[run.index["up/a"]].changes == (FieldChange("provider", "upcloud", "aws"),)
        now = await kept(house)
        assert (now["server//a"].provider, now["taskserv/a/nginx"].ref) == ("aws", now["server//a"].ref)
        assert run.record("up/a!old").ended_at <= run.record("up/a").started_at
        await check_kept(house)
        assert (await house.rollback(run.id, "ada")).status is RunState.ROLLED_BACK
        assert (house.alive(), await kept(house)) == ([], {})
        await check_kept(house)

    housed(tmp_path, play)


def test_one_that_vanished_at_the_other_provider_is_created_anew_without_a_question(tmp_path: Path) -> None:
    async def play(house: House) -> None:
        await done(house, shop("a"))
        destroyed_by_hand(house, "a")
        run = await done(house, moved(shop("a")))
        assert (run.status, [step.id for step in run.plan.steps if step.gone]) == (RunState.COMPLETED, ["up/a!old"])
        assert (await kept(house))["server//a"].provider == "aws"

    housed(tmp_path, play)


def test_two_servers_of_one_name_at_two_providers_are_refused(tmp_path: Path) -> None:
    """The one here is another environment's: taking it would forget the own one there."""

    async def play(house: House) -> None:
        await done(house, replace(moved(shop("a")), name="other"))
        await done(house, shop("a"))
        problem = await refused(house, moved(shop("a"), allowed=True))
        assert problem.code == "server-ambiguous"
        assert "exists at aws, and at upcloud, where this environment has it" in problem.message

    housed(tmp_path, play)
