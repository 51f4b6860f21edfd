"""Whether the plan of a file still holds: the environment, the accounts and what this machine has."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from batchwright.app.plan_files import OpenedPlanFile, check_plan_file, read_plan_file, write_plan_file
from batchwright.app.planned import Planned
from batchwright.app.plans import plan_loaded
from batchwright.errors import PlanChanged
from batchwright.loader import Loaded
from batchwright.model.actions import Action, Undo
from batchwright.model.environment import Resource
from batchwright.model.lifecycle import RunState
from batchwright.model.plan import Labels
from batchwright.model.run import Run
from batchwright.model.secret_reference import SecretReference
from batchwright.model.webhook import Webhook
from batchwright.model.workflow import Changes, Workflow
from batchwright.testing.plans import command, servers
from batchwright.views.plan_staleness import resource_differences
from tests.unit.app.test_adopt import foreign
from tests.unit.app.test_environment_state import SIMULATION, done, shop
from tests.unit.app.test_replacement import changed
from tests.unit.app.test_retirement import destroy, retiring
from tests.unit.app.test_runs import House, housed


async def written(house: House, workflow: Workflow, simulation: Any = SIMULATION) -> OpenedPlanFile:
    async with house.runs.adapters(simulation) as around:
        found = await plan_loaded(house.settings, house.stores, around, Loaded(workflow), simulation)
    assert found.plan is not None, found.diagnostics
    file = house.settings.state_dir / "shop.plan"
    write_plan_file(file, found.plan, found.basis, house.clock.now())
    return read_plan_file(file)


async def checked(house: House, file: OpenedPlanFile) -> Planned:
    async with house.runs.adapters(file.content.plan.simulation) as around:
        return await check_plan_file(house.settings, house.stores, around, file)


async def carried_out(house: House, file: OpenedPlanFile) -> Run:
    found = await checked(house, file)
    assert found.plan is not None, found.diagnostics
    stored = await house.runs.create(found.plan, "ada", inputs=file.inputs)
    return await house.runs.drive(stored).finished()


def with_plan(file: OpenedPlanFile, **fields: Any) -> OpenedPlanFile:
    content = replace(file.content, plan=replace(file.content.plan, **fields))
    return replace(file, content=content)


def told(planned: Planned) -> dict[str, str]:
    assert planned.plan is None
    return {one.code: one.message for one in planned.diagnostics}


def test_it_is_applied_exactly_and_the_run_knows_the_file(tmp_path: Path) -> None:
    async def play(house: House) -> None:
        file = await written(house, shop("a", "b"))
        run = await carried_out(house, file)
        assert run.status is RunState.COMPLETED
        assert run.plan == file.content.plan
        assert run.created.inputs is not None
        assert run.created.inputs.plan_file is not None
        assert run.created.inputs.plan_file.digest == file.digest
        assert house.alive() == ["a", "b"]

    housed(tmp_path, play)


def test_a_run_that_changed_nothing_invalidates_nothing(tmp_path: Path) -> None:
    async def play(house: House) -> None:
        await done(house, shop("a", "b"))
        file = await written(house, retiring(shop("a", "c")))
        await done(house, shop("a", "b"))
        run = await carried_out(house, file)
        assert run.status is RunState.COMPLETED
        assert house.alive() == ["a", "c"]

    housed(tmp_path, play)


KINDS: dict[str, Workflow] = {
    "nothing": shop("a", "b"),
    "created": shop("a", "b", "c"),
    "other variables": shop("a", "b", port=81),
    "retired": retiring(shop("a")),
    "retired service": retiring(replace(shop("a", "b"), operations=shop("a", "b").operations[:1])),
    "replaced": changed(shop("a", "b"), "b", allowed=True, zone="fi-hel1"),
    "other labels": changed(shop("a", "b"), "b", labels={"team": "web"}),
    "resized": changed(shop("a", "b"), "b", allowed=True, plan="2xCPU-4GB"),
    "adopted": replace(shop("a", "b", "x"), changes=Changes(adopt=("x",))),
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_change_is_carried_out_from_a_file(kind: str, tmp_path: Path) -> None:
    async def play(house: House) -> None:
        await foreign(house, "x")
        await done(house, shop("a", "b"))
        file = await written(house, KINDS[kind])
        run = await carried_out(house, file)
        assert run.status is RunState.COMPLETED
        assert replace(run.plan, warnings=()) == replace(file.content.plan, warnings=())

    housed(tmp_path, play)


def test_what_changed_since_is_told_with_the_run_that_did_it(tmp_path: Path) -> None:
    async def play(house: House) -> None:
        await done(house, shop("a", "b"))
        file = await written(house, shop("a", "b", "d"))
        other = await done(house, retiring(shop("a", "c", port=81)))
        with pytest.raises(PlanChanged) as refused:
            await checked(house, file)
        lines = [getattr(one, "message", "") for one in refused.value.diagnostics]
        assert f"server c was added by run {other.id}" in lines
        assert f"server b is gone; since then these runs changed the environment: {other.id}" in lines
        assert f"taskserv nginx on a was changed by run {other.id}: other variables (port)" in lines
        assert "--out PLANFILE" in refused.value.hint
        assert house.alive() == ["a", "c"]

    housed(tmp_path, play)


def test_a_change_names_its_fields_and_no_private_value() -> None:
    old = Resource("server", "web", ref="r1", request={"plan": "small", "user_data": "private", "labels": {"a": "1"}})
    new = replace(old, ref="r2", changed_by="run-2", request={"plan": "large", "user_data": "secret", "image": "x"})
    (line,) = resource_differences([old], [new], ["run-2"])
    assert line == (
        "server web was changed by run run-2: ref was r1, is r2, image was not set, is x, other labels (a), "
        "plan was small, is large, other user_data"
    )
    many = [replace(old, name=f"web-{i}", made_by="run-2") for i in range(100)]
    assert resource_differences([], many, []) == ["server web-0, web-1, web-10 and 97 more were added by run run-2"]
    assert resource_differences(many[:2], [], ["a", "b"]) == [
        "server web-0 and web-1 are gone; since then these runs changed the environment: a, b"
    ]
    assert resource_differences([old], [replace(old, at=9.0, address="10.0.0.1")], []) == [], "not what plans read"


def test_the_accounts_and_their_settings_must_be_the_same(tmp_path: Path) -> None:
    async def play(house: House) -> None:
        file = await written(house, shop("a"))
        (facts,) = file.content.plan.providers
        other = with_plan(file, providers=(replace(facts, account="another"),))
        assert "the plan is for the account another" in told(await checked(house, other))["account-changed"]
        other = with_plan(file, providers=(replace(facts, visible_seconds=0.0, exclusive=True),))
        assert "other settings" in told(await checked(house, other))["provider-changed"]

    housed(tmp_path, play)


def test_a_server_that_somebody_destroyed_meanwhile_is_missed(tmp_path: Path) -> None:
    async def play(house: House) -> None:
        await done(house, shop("a"))
        file = await written(house, shop("a", "b"))
        (ref,) = [step.ref for step in file.content.plan.steps if step.action is Action.KEEP and step.ref]
        destroy(house, "a")
        await house.clock.sleep(3_600.0)
        assert told(await checked(house, file)) == {"plan-changed": f"the server a ({ref}) is no longer there"}

    housed(tmp_path, play)


def test_a_plan_that_retires_what_the_environment_does_not_have_is_refused(tmp_path: Path) -> None:
    async def play(house: House) -> None:
        await done(house, shop("a", "b"))
        file = await written(house, retiring(shop("a")))
        steps = [
            replace(step, retired=replace(step.retired, run="foreign")) if step.retired else step
            for step in file.content.plan.steps
        ]
        assert "other labels" in told(await checked(house, with_plan(file, steps=tuple(steps))))["plan-file-invalid"]
        assert house.alive() == ["a", "b"]

    housed(tmp_path, play)


def test_a_plan_takes_over_only_what_no_environment_of_the_store_has(tmp_path: Path) -> None:
    async def play(house: House) -> None:
        await foreign(house, "x")
        mine = await done(house, replace(shop("m"), name="mine"))
        file = await written(house, KINDS["adopted"])

        def adopting(labels: Labels) -> OpenedPlanFile:
            steps = file.content.plan.steps
            return with_plan(file, steps=tuple(replace(one, adopts=labels) if one.adopts else one for one in steps))

        taken = told(await checked(house, adopting(Labels(mine.id, "token"))))
        assert "takes a server from mine" in taken["plan-file-invalid"]
        assert "is run zzzzzzzzzzzz's now" in told(await checked(house, adopting(Labels("other", "t"))))["plan-changed"]
        (ref,) = [one.ref for one in file.content.plan.steps if one.adopts]
        steps = [replace(one, ref=ref) if one.request.name == "a" and not one.server else one
                 for one in (await written(house, shop("a"))).content.plan.steps]  # fmt: skip
        kept = [replace(one, action=Action.KEEP, undo=Undo.NOTHING) if one.ref else one for one in steps]
        other = with_plan(await written(house, shop("a")), steps=tuple(kept))
        assert told(await checked(house, other)) == {"plan-changed": f"the server a ({ref}) is named x"}

    housed(tmp_path, play)


def test_what_commands_need_is_looked_for_on_this_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKEN", "hunter2")
    scripts = tmp_path / "scripts"
    scripts.mkdir()
    (scripts / "work.sh").write_text("#!/bin/sh\n")
    (scripts / "work.sh").chmod(0o755)
    go = command("go", "./work.sh", directory="scripts", env={"TOKEN": SecretReference(env="TOKEN")})
    flow = Workflow("glue", "1", (go,), storage_backend="memory")

    async def play(house: House) -> None:
        monkeypatch.chdir(tmp_path)
        file = await written(house, flow, None)
        assert b"hunter2" not in file.path.read_bytes()
        elsewhere = tmp_path / "elsewhere"
        elsewhere.mkdir()
        here, there = read_plan_file(file.path, tmp_path), read_plan_file(file.path, elsewhere)
        assert (await checked(house, here)).plan == here.content.plan
        found = await checked(house, there)
        (missing,) = found.diagnostics
        assert (missing.code, missing.where) == ("directory-missing", "go")
        assert "--dir" in missing.hint
        monkeypatch.delenv("TOKEN")
        assert "secret-missing" in told(await checked(house, here))

    housed(tmp_path, play)


def test_webhooks_are_judged_by_the_operator_of_this_machine(tmp_path: Path) -> None:
    async def play(house: House) -> None:
        file = await written(house, shop("a"))
        hook = Webhook("ci", "https://10.0.0.1/", SecretReference(env="NOT_SET_HERE"), simulated=True)
        found = told(await checked(house, with_plan(file, notify=(hook,))))
        assert "names 10.0.0.1, a private address" in found["webhook-refused"]
        assert "the variable NOT_SET_HERE is not set" in found["secret-missing"]

    housed(tmp_path, play)


def test_a_refused_plan_tells_the_quota_too(tmp_path: Path) -> None:
    async def play(house: House) -> None:
        simulation = SIMULATION | {"quota_servers": 2}
        flow = Workflow("shop", "1", (servers("up", "a", "b"),), storage_backend="memory")
        file = await written(house, flow, simulation)
        await done(house, Workflow("other", "1", (servers("up", "x"),), storage_backend="memory"))
        assert "quota" in " ".join(told(await checked(house, file)))

    housed(tmp_path, play)
