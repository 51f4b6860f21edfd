"""Any history of an environment: what is kept is what its runs add up to."""

from __future__ import annotations

import random
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from batchwright.errors import EnvironmentRefused, NotAllowed, PlanRefused
from batchwright.model.environment import Resource, digest
from batchwright.model.lifecycle import RunState, StepState
from batchwright.model.workflow import Changes, Permission, ReplaceOrder, Workflow
from batchwright.operations.command import Command
from batchwright.operations.server_batch import ServerBatch
from batchwright.providers.simulated import World
from batchwright.views.planned_changes import counts, is_unchanged, symbols
from tests.support.examples import share
from tests.unit.app.test_environment_state import SHOP, check_kept, created, done, forgotten, kept, planned, shop
from tests.unit.app.test_runs import House, housed


def changed(draw: random.Random, *names: str) -> Workflow:
    """Servers of other sizes, zones and labels than before; what is no longer asked for goes."""
    asked = shop(*names, port=draw.randint(1, 2), changes=Changes(Permission.ALLOWED, Permission.ALLOWED))
    up, web = asked.operations
    assert isinstance(up, ServerBatch)
    plans = ("1xCPU-2GB", "2xCPU-4GB")
    zones = ("de-fra1", "de-fra1", "fi-hel1")
    configs = [
        replace(one, plan=draw.choice(plans), zone=draw.choice(zones), labels={"team": draw.choice("xy")})
        for one in up.server_configs
    ]
    order = draw.choice(list(ReplaceOrder))
    return replace(asked, operations=(replace(up, server_configs=tuple(configs), replace_order=order), web))


def faults(name: str) -> list[dict[str, str]]:
    """What may go wrong with a server: its create, what is installed on it, or how it ends."""
    return [{"fail": name}, {"fail_taskserv": f"nginx@{name}=permanent:9"}, {"fail_destroy": f"{name}=permanent:9"}]


def mended(resources: Iterable[Resource]) -> list[Resource]:
    """With every install finished: a rollback installs what was there, also what was not whole."""
    return [replace(one, whole=True) if one.server else one for one in resources]


def destroyed_by_hand(house: House, name: str) -> None:
    """Somebody destroys it in the cloud's console."""
    now = house.clock.now()
    with closing(World(house.settings.world_file)) as world:
        for one in [one for one in world.servers() if one.name == name]:
            world.destroy(one.ref, now, now)


def test_lists_in_a_request_are_kept_as_they_are_folded(tmp_path: Path) -> None:
    """A store gives lists back: store check called a store wrong in which a server had keys."""

    async def play(house: House) -> None:
        up, *rest = shop("a").operations
        assert isinstance(up, ServerBatch)
        keyed = tuple(replace(one, ssh_keys=("ssh-ed25519 AAAA ada",)) for one in up.server_configs)
        seed = Command("seed", ("true",), undo=("rm", "-r", "seeds"))
        workflow = replace(shop("a"), operations=(replace(up, server_configs=keyed), *rest, seed))
        await done(house, workflow)
        await check_kept(house)
        plan = await planned(house, workflow)
        assert [step.changes for step in plan.steps] == [(), (), ()]
        assert (await kept(house))["command//seed"].request["run"] == [plan.steps[-1].request.run[0]]  # type: ignore[attr-defined]

    housed(tmp_path, play)


def test_a_rollback_does_not_bring_back_what_had_vanished_before(tmp_path: Path) -> None:
    """In the rebuild the vanished server returned, since the run that replaced it had only its last turn."""

    async def play(house: House) -> None:
        await done(house, shop("a"))
        destroyed_by_hand(house, "a")
        again = await done(house, shop("a"))
        await check_kept(house)
        assert (await house.rollback(again.id, "ada")).status is RunState.ROLLED_BACK
        assert await kept(house) == {}
        await check_kept(house)

    housed(tmp_path, play)


@settings(max_examples=share(40), deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_whatever_people_do_what_is_kept_is_what_the_runs_add_up_to(
    tmp_path_factory: pytest.TempPathFactory, seed: int
) -> None:
    """I1, I2: runs, failures, deaths, resumes, cancels and rollbacks in any order."""
    draw = random.Random(seed)

    async def play(house: House) -> None:
        journal = await house.journal()
        for _ in range(20):
            names = draw.sample("abcd", draw.randint(1, 3))
            simulation = draw.choice(({}, {}, {}, *faults(draw.choice(names))))
            runs = await journal.runs()
            try:
                kinds = ["run", "run", "run", "change", "destroy", "die", "resume", "rollback", "cancel", "forget"]
                match draw.choice(kinds):
                    case "run":
                        await done(house, shop(*names, port=draw.randint(1, 2)), **simulation)
                    case "change":
                        await done(house, changed(draw, *names), **simulation)
                    case "destroy":
                        destroyed_by_hand(house, draw.choice("abcd"))
                    case "die":
                        await house.left_behind((await created(house, shop(*names), **simulation)).id)
                    case "resume" if runs:
                        await house.resume(draw.choice(runs), "ada")
                    case "forget" if runs:
                        await forgotten(house, await house.stored(draw.choice(runs)), "upcloud")
                    case "rollback" if runs:
                        await house.rollback(draw.choice((runs[-1], draw.choice(runs))), "ada")
                    case "cancel" if runs:
                        await house.cancel(draw.choice(runs), "ada", force=draw.random() < 0.5)
            except (EnvironmentRefused, NotAllowed, PlanRefused):
                pass
            if await journal.environment(SHOP) is not None:
                await check_kept(house)

    housed(tmp_path_factory.mktemp("house"), play)


@settings(max_examples=share(30), deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_a_run_leaves_nothing_to_do_and_its_rollback_leaves_what_was_there(
    tmp_path_factory: pytest.TempPathFactory, seed: int
) -> None:
    """I7, I8: what was taken away does not come back, and nothing else is lost."""
    draw = random.Random(seed)

    async def play(house: House) -> None:
        for _ in range(8):
            names = draw.sample("abcd", draw.randint(1, 3))
            again = Changes(reinstall=("nginx",)) if draw.random() < 0.2 else Changes()
            wanted = draw.choice((changed(draw, *names), shop(*names, port=draw.randint(1, 2), changes=again)))
            before = await kept(house)
            try:
                simulation = draw.choice(({}, {}, {}, *faults(draw.choice(names))[:2]))
                run = await done(house, wanted, **simulation)
            except PlanRefused:  # a server that is there has another size, and nothing allows to change it
                continue
            if run.status is RunState.COMPLETED:
                plan = await planned(house, replace(wanted, changes=replace(wanted.changes, reinstall=())))
                assert is_unchanged(counts(symbols(plan))), plan
            if draw.random() < 0.5:
                continue
            try:
                rolled_back = await house.rollback(run.id, "ada")
            except NotAllowed:  # it did nothing
                assert before.keys() == (await kept(house)).keys()
                continue
            await check_kept(house)
            if rolled_back.status is RunState.ROLLBACK_INCOMPLETE and "fail_taskserv" in simulation:
                return  # what was there before cannot be installed again either
            assert rolled_back.status is RunState.ROLLED_BACK
            done_with = zip(run.plan.steps, run.records, strict=True)
            taken = [step for step, record in done_with if step.retired and record.state is StepState.SUCCEEDED]
            keys = {step.retired.key for step in taken if step.retired and not step.leftover}
            gone = {step.ref for step in taken if step.ref} | keys
            stays = [one for one in before.values() if not {one.ref, one.key} & gone]
            assert digest(mended((await kept(house)).values())) == digest(mended(stays))
            await check_kept(house)

    housed(tmp_path_factory.mktemp("house"), play)
