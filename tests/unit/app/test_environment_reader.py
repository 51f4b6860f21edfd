"""What people are shown of environments, and which run a name means."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace

from batchwright.app.environment_reader import all_environments, read_environment
from batchwright.app.runs import StoredRun
from batchwright.errors import (
    EnvironmentAmbiguous,
    EnvironmentNotFound,
    LatestAmbiguous,
    RunAmbiguous,
    RunNotFound,
)
from batchwright.journal.memory import MemoryJournal
from batchwright.model.environment import EnvironmentKey
from batchwright.model.environment_selector import refuse_latest
from batchwright.model.events import StepSucceeded
from batchwright.model.lifecycle import RunState
from batchwright.model.run import Run
from batchwright.model.secret_reference import SecretReference
from batchwright.model.workflow import OnFailure
from batchwright.operations.taskserv_batch import TaskservUse
from batchwright.views.environment import EnvironmentLine, EnvironmentView
from tests.unit.app.test_environment_state import created, done, of_before, planned, shop
from tests.unit.app.test_runs import House, housed


async def listed(house: House) -> list[EnvironmentLine]:
    return list(await all_environments(house.stores, house.clock))


async def read(house: House, word: str = "shop") -> EnvironmentView:
    return await read_environment(house.stores, house.clock, word)


async def found(house: House, word: str) -> str:
    return (await house.stores.find(word))[1]


def test_each_environment_has_its_counts_its_newest_run_and_whose_turn_it_is(tmp_path: Path) -> None:
    async def play(house: House) -> None:
        first = await done(house, shop("a", "b"))
        staging = await created(house, shop("s", environment="staging"))
        one, other = await listed(house)
        assert (one.name, one.servers, one.taskservs, one.simulated) == ("shop", 2, 2, True)
        assert (one.run, one.status, one.changing, one.since) == (first.id, RunState.COMPLETED, False, first.ended_at)
        assert one.next == ""
        assert (other.name, other.servers, other.turn) == ("shop/staging", 0, 1)
        assert (other.run, other.status, other.changing, other.driver) == (staging.id, RunState.PENDING, True, "")
        assert f"batchwright resume {staging.id}" in other.next
        journal = await house.journal()
        await journal.acquire(staging.id, "elsewhere:7:1", house.clock.now())
        assert (await listed(house))[1].driver == "process 7 on elsewhere"

    housed(tmp_path, play)


def test_an_environment_shows_its_resources_and_the_runs_that_made_and_changed_them(tmp_path: Path) -> None:
    async def play(house: House) -> None:
        first = await done(house, shop("a"))
        second = await done(house, shop("a", "b", port=81))
        seen = await read(house)
        assert [(one.name, one.provider, one.zone, one.plan) for one in seen.resources] == [
            ("a", "upcloud", "de-fra1", "1xCPU-2GB"),
            ("b", "upcloud", "de-fra1", "1xCPU-2GB"),
        ]
        a, b = seen.resources
        assert (a.made_by, a.made_turn, a.changed_by, b.made_by, b.made_turn) == (first.id, 1, first.id, second.id, 2)
        assert (bool(a.address), bool(a.ref), a.whole, a.borrowed, a.leftover) == (True, True, True, False, ())
        (nginx,) = a.taskservs
        assert (nginx.name, nginx.variables["port"], nginx.made_by, nginx.changed_by) == (
            "nginx",
            81,
            first.id,
            second.id,
        )
        assert [one.run for one in seen.rollbacks] == [second.id, first.id]
        await house.rollback(second.id, "ada")
        assert [one.run for one in (await read(house)).rollbacks] == [first.id]

    housed(tmp_path, play)


def test_in_the_middle_of_a_turn_it_shows_what_the_turn_has_done_so_far(tmp_path: Path) -> None:
    async def play(house: House) -> None:
        first = await created(house, shop("a"))
        await house.left_behind(first.id)
        assert (await read(house)).resources == ()
        journal, now = await house.journal(), house.clock.now()
        lease = await journal.acquire(first.id, "elsewhere:1:1", now)
        await journal.append(lease, 4, [StepSucceeded(now, "up/a", "ref-a", "10.0.0.1", made=True)])
        await journal.release(lease)
        seen = await read(house)
        assert [(one.name, one.ref, one.address, one.made_by) for one in seen.resources] == [
            ("a", "ref-a", "10.0.0.1", first.id)
        ]
        assert (seen.changing, seen.servers, seen.rollbacks) == (True, 1, ())

    housed(tmp_path, play)


def test_an_unsettled_one_says_so_and_what_to_do(tmp_path: Path) -> None:
    async def play(house: House) -> None:
        first = await created(house, shop("a"))
        await house.left_behind(first.id)
        await house.cancel(first.id, "ada", force=True)
        (line,) = await listed(house)
        assert (line.unsettled, line.changing, line.servers) == (first.id, False, 0)
        assert f"batchwright resume {first.id}, or: batchwright rollback {first.id}" in line.next
        (server,) = (await read(house)).resources
        assert (server.name, server.ref, server.doubtful) == ("a", "", True)

    housed(tmp_path, play)


def test_a_list_of_environments_reads_no_run_but_the_newest_of_each(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def play(house: House) -> None:
        await done(house, shop("a"))
        newest = [await done(house, shop("a", "b")), await done(house, shop("s", environment="staging"))]
        journal = await house.journal()
        monkeypatch.setattr(journal, "summaries", None)
        assert [line.run for line in await listed(house)] == [run.id for run in newest]
        assert {row.run for row in await journal.newest_runs()} == {run.id for run in newest}

    housed(tmp_path, play)


def test_if_the_newest_run_was_lost_the_one_before_is_listed(tmp_path: Path) -> None:
    async def play(house: House) -> None:
        first = await done(house, shop("a"))
        second = await done(house, shop("a", "b"))
        journal = await house.journal()
        assert isinstance(journal, MemoryJournal)
        del journal._runs[second.id]
        (line,) = await listed(house)
        assert (line.run, line.servers) == (first.id, 2)

    housed(tmp_path, play)


def test_a_server_that_two_environments_have_names_the_other_one(tmp_path: Path) -> None:
    async def play(house: House) -> None:
        await done(house, shop("a", "b"))
        await done(house, shop("a", environment="staging"))
        assert [(one.name, one.used_by, one.belongs_to) for one in (await read(house)).resources] == [
            ("a", ("shop/staging",), ""),
            ("b", (), ""),
        ]
        (server,) = (await read(house, "shop/staging")).resources
        assert (server.borrowed, server.used_by, server.belongs_to) == (True, (), "shop")

    housed(tmp_path, play)


def test_a_secret_is_shown_as_where_it_comes_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP_PASSWORD", "hush-hush-hush-hush")

    async def play(house: House) -> None:
        flow = shop("a")
        web = flow.operations[1]
        used = TaskservUse("redis", {"password": SecretReference(env="SHOP_PASSWORD")})
        await done(house, replace(flow, operations=(flow.operations[0], replace(web, taskservs=(used,)))))
        (server,) = (await read(house)).resources
        assert server.taskservs[0].variables["password"] == {"env": "SHOP_PASSWORD"}
        assert "hush" not in str(msgspec.json.encode(server))

    housed(tmp_path, play)


def test_what_only_an_older_version_has_changed_is_there_too(tmp_path: Path) -> None:
    async def play(house: House) -> None:
        run = await of_before(house, replace(await planned(house, shop("a")), environment="", base=""))
        (line,) = await listed(house)
        assert (line.name, line.servers, line.taskservs, line.changing, line.run) == ("shop", None, None, True, run.id)
        await house.runs.drive(StoredRun(await house.journal(), run.id)).finished()
        (line,) = await listed(house)
        assert (line.changing, line.status) == (False, RunState.COMPLETED)
        seen = await read(house)
        assert ([one.name for one in seen.resources], seen.servers, seen.taskservs) == (["a"], 1, 1)
        assert [one.run for one in seen.rollbacks] == [run.id]
        assert await found(house, "shop") == run.id

    housed(tmp_path, play)


def test_a_name_means_the_newest_run_and_an_id_comes_first(tmp_path: Path) -> None:
    async def play(house: House) -> None:
        first = await done(house, shop("a"))
        staging = await done(house, shop("s", environment="staging"))
        second = await done(house, shop("a", "b"))
        assert await found(house, "shop") == await found(house, "simulated:shop") == second.id
        assert await found(house, "shop/staging") == staging.id
        assert await found(house, first.id) == await found(house, first.id[:6].upper()) == first.id
        await house.rollback(second.id, "ada")
        await house.rollback(first.id, "ada")  # the newest turn counts, not the run that was made last
        assert await found(house, "shop") == first.id
        for word, hint in (("shop/stagin", "shop/staging"), ("real:shop", "simulated:shop")):
            with pytest.raises(EnvironmentNotFound) as caught:
                await found(house, word)
            assert f"Did you mean {hint}?" in caught.value.hint
        with pytest.raises(RunNotFound, match="no environment has that name"):
            await found(house, "shoq")

    housed(tmp_path, play)


def test_a_word_that_means_two_things_is_refused_with_both(tmp_path: Path) -> None:
    async def play(house: House) -> None:
        journal = await house.journal()
        run = await done(house, shop("a"))
        summary = await journal.summary(run.id)
        real = replace(run.created, run="realrealreal", plan=replace(run.plan, simulation=None))
        await journal.create(real, replace(Run(real).summary("memory"), status=RunState.COMPLETED))
        with pytest.raises(EnvironmentAmbiguous, match="real:shop, simulated:shop"):
            await found(house, "shop")
        assert (await found(house, "real:shop"), await found(house, "simulated:shop")) == (real.run, run.id)
        alike = replace(run.created, run="shopshopshop", plan=replace(run.plan, workflow="other", environment="other"))
        await journal.create(alike, Run(alike).summary("memory"))
        with pytest.raises(RunAmbiguous, match=r"run shopshopshop, real:shop, simulated:shop"):
            await found(house, "shop")
        assert await found(house, "shops") == "shopshopshop"
        assert summary.environment_key == EnvironmentKey("simulated", "shop")

    housed(tmp_path, play)


def test_latest_destroys_nothing_where_there_are_several_environments(tmp_path: Path) -> None:
    async def play(house: House) -> None:
        await done(house, shop("a"))
        run = await done(house, shop("a", "b"))
        assert (await house.stores.find("latest", destroys=True))[1] == run.id
        staging = await done(house, shop("s", environment="staging", on_failure=OnFailure.CONTINUE))
        with pytest.raises(LatestAmbiguous, match="simulated:shop, simulated:shop/staging"):
            await house.stores.find("LATEST", destroys=True)
        assert await found(house, "latest") == staging.id

    housed(tmp_path, play)


def test_a_message_names_a_few_of_many_environments() -> None:
    with pytest.raises(LatestAmbiguous, match=r"any of 9 environments: real:a0, .*real:a4 and 4 more$"):
        refuse_latest({EnvironmentKey("real", f"a{i}") for i in range(9)})
