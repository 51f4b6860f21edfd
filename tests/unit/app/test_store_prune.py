"""Old runs go into an archive and come back: nothing that an environment has or needs changes by it."""

from __future__ import annotations

import random
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from batchwright.app import store_prune
from batchwright.app.archive_restore import import_archive
from batchwright.app.environment_reader import all_environments, find_home, read_environment
from batchwright.app.store_prune import alone_with_archives, archives_of, plan_prune, prune
from batchwright.errors import (
    ArchiveRefused,
    EnvironmentNotFound,
    EnvironmentRefused,
    NotAllowed,
    PlanRefused,
    RunArchived,
    StoreUnavailable,
)
from batchwright.journal import environment_state as state_module
from batchwright.journal.environment_state import environment_problems, environment_state
from batchwright.journal.memory import MemoryJournal
from batchwright.journal.replay import load_turns
from batchwright.model import environment_fold
from batchwright.model.delivery import Delivery
from batchwright.model.environment_fold import rebuilt
from batchwright.model.events import DriverStarted
from batchwright.model.lifecycle import RunState
from batchwright.model.retention import KeptBecause, Retention
from batchwright.views.store_prune import ImportedRun, PruneResult, import_lines, prune_lines, result_lines
from tests.support.examples import share
from tests.unit.app.test_environment_state import SHOP, created, done, planned, shop
from tests.unit.app.test_runs import House, housed

ONE = Retention(keep=1)


async def pruned(house: House, wanted: Retention = ONE, **rest: Any) -> PruneResult:
    return await prune(house.settings, house.stores, house.clock, wanted, **rest)


async def imported(house: House, file: str | Path) -> list[ImportedRun]:
    return [one async for one in import_archive(house.settings, house.stores, Path(file))]


async def archived(house: House) -> dict[str, str]:
    return {row.run: row.archive for row in await house.stores.summaries() if row.archive}


async def seen(house: House) -> Any:
    """All that anybody sees of the environments: the list, each in full but for what can be rolled back, a plan."""
    lines = await all_environments(house.stores, house.clock)
    views = [await read_environment(house.stores, house.clock, f"simulated:{line.name}") for line in lines]
    plan = None
    with suppress(EnvironmentRefused, PlanRefused):
        plan = await planned(house, shop("a", "b"))
    return lines, [replace(view, rollbacks=()) for view in views], plan


async def history_of(house: House) -> dict[str, Any]:
    """Every run's pages, signals, head and summary."""
    journal = await house.journal()
    return {
        run: (await journal.pages(run), await journal.signals(run), await journal.head(run), await journal.summary(run))
        for run in await journal.runs()
    }


async def five_runs(house: House) -> list[str]:
    """The first made a, the third b; the others changed nothing."""
    return [(await done(house, shop(*names))).id for names in ("a", "a", "ab", "ab", "ab")]


# -- what goes and what stays ---------------------------------------------------------------------------------------


def test_what_nothing_needs_goes_and_the_reasons_of_the_rest_are_given(tmp_path: Path) -> None:
    async def play(house: House) -> None:
        first, second, third, fourth, fifth = await five_runs(house)
        journal, before = await house.journal(), await seen(house)
        await journal.write_delivery(None, Delivery(second, "chat"))
        [shown] = await plan_prune(house.stores, house.clock, ONE)
        why = {one.run: (one.why, one.names) for one in shown.kept}
        assert [one.run for one in shown.runs] == [fourth]
        assert why == {
            first: (KeptBecause.RESOURCE, ("a", "a/nginx")),
            second: (KeptBecause.WEBHOOK, ("chat",)),
            third: (KeptBecause.NEWEST_CHANGE, ()),
            fifth: (KeptBecause.NEWEST_TURN, ()),
        }
        assert not archives_of(house.settings).exists()
        await journal.write_delivery(Delivery(second, "chat"), Delivery(second, "chat", open=False, revision=2))
        keys = house.settings.state_dir / "keys"
        for run in (first, second):
            (keys / run / "hosts").mkdir(parents=True)
        result = await pruned(house)
        assert (result.runs, result.refused) == (2, {})
        place = str(Path(result.archive).relative_to(house.settings.state_dir))
        assert await archived(house) == {second: place, fourth: place}
        assert [one.name for one in keys.iterdir()] == [first]
        assert (await seen(house), await environment_problems(journal)) == (before, [])
        for run in (second, fourth):
            for verb in (house.resume, house.rollback):
                with pytest.raises(RunArchived, match=place):
                    await verb(run, "ada")
        assert (await pruned(house)).archive == ""
        text = "\n".join(prune_lines(shown, "archived"))
        assert "is still being sent to a webhook (chat)" in text
        assert "made or changed something that exists (a and a/nginx)" in text

    housed(tmp_path, play)


def test_a_run_that_has_its_turn_or_is_driven_stays(tmp_path: Path) -> None:
    async def play(house: House) -> None:
        runs = await five_runs(house)
        pending = await created(house, shop("a"))
        journal = await house.journal()
        lease = await journal.acquire(runs[1], "elsewhere:1:1", house.clock.now())
        [shown] = await plan_prune(house.stores, house.clock, ONE)
        assert {one.run: one.why for one in shown.kept}[pending.id] is KeptBecause.NOT_ENDED
        result = await pruned(house)
        assert result.refused == {runs[1]: f"run {runs[1]} is driven by process 1 on elsewhere"}
        assert set(await archived(house)) == {runs[3], runs[4]}
        assert result_lines(result)[0].startswith(f"run {runs[1]} stays: ")
        await journal.release(lease)
        assert (await house.runs.drive(pending).finished()).status is RunState.COMPLETED
        assert (await pruned(house)).runs == 1
        assert await environment_problems(journal) == []

    housed(tmp_path, play)


def test_only_the_environment_that_is_named_is_pruned(tmp_path: Path) -> None:
    async def play(house: House) -> None:
        for _ in range(3):
            await done(house, shop("a"))
            await done(house, shop("s", environment="staging"))
        with pytest.raises(EnvironmentNotFound):
            await pruned(house, environment="shop/nothing")
        result = await pruned(house, environment="shop/staging")
        assert [(one.name, len(one.runs)) for one in result.environments] == [("shop/staging", 1)]
        assert (await pruned(house)).runs == 1
        assert await environment_problems(await house.journal()) == []

    housed(tmp_path, play)


def test_runs_older_than_environments_count_to_the_environment_of_their_workflow(tmp_path: Path) -> None:
    async def play(house: House) -> None:
        runs = await five_runs(house)
        journal = await house.journal()
        assert isinstance(journal, MemoryJournal)
        for run in runs:  # as a version without turns has left them
            record = journal._runs[run]
            record.events = [replace(event, turn=0) if getattr(event, "turn", 0) else event for event in record.events]
            record.summary = replace(record.summary, turn=0, environment="")
        journal._environments.clear()
        journal._resources.clear()
        before = await environment_state(journal, SHOP)
        assert (before.row, len(before.resources)) == (None, 4)
        result = await pruned(house)
        assert set(await archived(house)) == {runs[1], runs[3]}
        after = await environment_state(journal, SHOP)
        assert after.row is not None
        assert sorted(after.resources, key=repr) == sorted(before.resources, key=repr)
        assert (after.newest, after.turn) == (before.newest, 0)
        assert (await find_home(house.stores, "simulated:shop", simulated=None)).plan.workflow == "shop"
        assert await environment_problems(journal) == []
        assert (await done(house, shop("a", "b", "c"))).status is RunState.COMPLETED
        assert await environment_problems(journal) == []
        await imported(house, result.archive)
        assert await environment_problems(journal) == []

    housed(tmp_path, play)


def test_a_new_fold_begins_at_the_base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What archived runs left is kept as it was; what came after it is folded again."""

    async def play(house: House) -> None:
        await five_runs(house)
        await pruned(house)
        await done(house, shop("b", "c"))
        journal = await house.journal()
        before = await environment_state(journal, SHOP)
        fold = environment_fold.FOLD + 1
        for module in (state_module, environment_fold, store_prune):
            monkeypatch.setattr(module, "FOLD", fold)
        assert (await pruned(house)).runs >= 1
        after = await environment_state(journal, SHOP)
        assert after.row is not None
        assert (after.resources, after.row.fold) == (before.resources, fold)
        assert await environment_problems(journal) == []

    housed(tmp_path, play)


def test_a_base_that_is_not_what_was_is_told(tmp_path: Path) -> None:
    async def play(house: House) -> None:
        await five_runs(house)
        await pruned(house)
        journal = await house.journal()
        row = await journal.environment(SHOP)
        assert row is not None
        await journal.write_environment(row, row, base=[])
        assert environment_problems is not None
        assert "damaged or missing" in (await environment_problems(journal))[0]
        await journal.write_environment(row, replace(row, base_digest="", base=0))
        assert "were archived that are not in what it had" in (await environment_problems(journal))[0]

    housed(tmp_path, play)


# -- where the archive goes -----------------------------------------------------------------------------------------


def test_the_archive_goes_where_it_is_told(tmp_path: Path) -> None:
    async def play(house: House) -> None:
        await five_runs(house)
        (tmp_path / "there").mkdir()
        (tmp_path / "taken").write_text("something")
        for place, words in ((tmp_path / "taken", "exists already"), (tmp_path / "none" / "file", "no folder")):
            with pytest.raises(ArchiveRefused, match=words):
                await pruned(house, to=place)
        assert await archived(house) == {}
        with alone_with_archives(house.settings), pytest.raises(StoreUnavailable, match="another process"):
            await pruned(house)
        result = await pruned(house, Retention(keep=3), to=tmp_path / "there")
        assert Path(result.archive).parent == tmp_path / "there"
        assert set((await archived(house)).values()) == {
            str(Path(result.archive).relative_to(house.settings.state_dir))
        }
        await imported(house, result.archive)
        assert (await pruned(house, to=tmp_path / "file")).archive == str(tmp_path / "file")

    housed(tmp_path, play)


# -- back again -----------------------------------------------------------------------------------------------------


def test_an_import_brings_everything_back(tmp_path: Path) -> None:
    async def play(house: House) -> None:
        runs = await five_runs(house)
        before = await history_of(house)
        result = await pruned(house)
        back = await imported(house, Path(result.archive).relative_to(house.settings.state_dir))
        assert [(one.run, one.restored) for one in back] == [(runs[1], True), (runs[3], True)]
        assert await history_of(house) == before
        assert await environment_problems(await house.journal()) == []
        assert [one.restored for one in await imported(house, result.archive)] == [False, False]
        assert await history_of(house) == before
        assert import_lines(back)[0].startswith("2 runs restored")
        assert (await house.rollback(runs[2], "ada")).status is RunState.ROLLED_BACK
        assert (await house.rollback(runs[0], "ada")).status is RunState.ROLLED_BACK
        assert house.alive() == []
        assert await environment_problems(await house.journal()) == []

    housed(tmp_path, play)


def test_an_archive_that_does_not_fit_is_refused_and_changes_nothing(tmp_path: Path) -> None:
    async def play(house: House) -> None:
        await five_runs(house)
        result = await pruned(house)
        lines = await archived(house)
        other = House(tmp_path / "other")
        await five_runs(other)
        with pytest.raises(ArchiveRefused, match="know nothing of"):
            await imported(other, result.archive)
        journal = await house.journal()
        assert isinstance(journal, MemoryJournal)
        run = next(iter(lines))
        head = journal._runs[run].archived
        assert head is not None
        journal._runs[run].archived = replace(head, digest="00" * 32)
        with pytest.raises(ArchiveRefused, match=f"run {run} in the store memory is not the one"):
            await imported(house, result.archive)
        assert await archived(house) == lines

    housed(tmp_path, play)


def test_a_run_that_went_on_after_an_import_stays_as_it_is(tmp_path: Path) -> None:
    """The older archive has its beginning only, and says so; it still gives back what else is in it."""

    async def play(house: House) -> None:
        failed = await done(house, shop("a", "b"), fail="b")
        assert (await house.rollback(failed.id, "ada")).status is RunState.ROLLED_BACK
        await done(house, shop("c"))
        first = await pruned(house)
        assert set(await archived(house)) == {failed.id}
        await imported(house, first.archive)
        journal = await house.journal()
        lease = await journal.acquire(failed.id, "me", house.clock.now())
        head = await journal.head(failed.id)
        await journal.append(lease, head.seq, [DriverStarted(house.clock.now(), "me", lease.fence)])
        await journal.release(lease)
        assert [(one.restored, one.archive) for one in await imported(house, first.archive)] == [(False, "")]
        second = await pruned(house)
        [again] = [one for one in await imported(house, first.archive) if one.run == failed.id]
        assert (again.restored, again.archive) == (False, (await archived(house))[failed.id])
        assert "went on and was archived again" in import_lines([again])[0]
        assert {one.restored for one in await imported(house, second.archive)} == {True}
        assert await archived(house) == {}

    housed(tmp_path, play)


# -- whatever people do ---------------------------------------------------------------------------------------------


@settings(max_examples=share(30), deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_whatever_people_do_a_prune_changes_nothing_and_an_import_undoes_it(
    tmp_path_factory: pytest.TempPathFactory, seed: int
) -> None:
    draw = random.Random(seed)

    async def play(house: House) -> None:
        journal = await house.journal()
        places: dict[str, None] = {}
        whole: dict[str, Any] = {}
        for _ in range(14):
            names = draw.sample("abcd", draw.randint(1, 3))
            simulation = {"fail": draw.choice(names)} if draw.random() < 0.3 else {}
            runs = await journal.runs()
            try:
                match draw.choice(["run", "run", "die", "resume", "rollback", "cancel", "prune", "prune", "import"]):
                    case "run":
                        await done(house, shop(*names, port=draw.randint(1, 2)), **simulation)
                    case "die":
                        await house.left_behind((await created(house, shop(*names), **simulation)).id)
                    case "resume" if runs:
                        await house.resume(draw.choice(runs), "ada")
                    case "rollback" if runs:
                        await house.rollback(draw.choice(runs), "ada")
                    case "cancel" if runs:
                        await house.cancel(draw.choice(runs), "ada", force=draw.random() < 0.5)
                    case "import" if places:
                        await imported(house, draw.choice(list(places)))
                    case "prune" if runs:
                        before, was = await seen(house), await archived(house)
                        whole |= {run: await journal.pages(run) for run in runs if run not in was}
                        result = await pruned(house, Retention(keep=draw.randint(0, 3)))
                        assert await seen(house) == before
                        if result.archive:
                            places[result.archive] = None
            except (EnvironmentRefused, NotAllowed, PlanRefused, RunArchived):
                pass
            assert await environment_problems(journal) == []
            row = await journal.environment(SHOP)
            if row is not None and row.newest:
                assert (await journal.summary(row.newest)).status is not RunState.ROLLED_BACK
        for place in places:
            await imported(house, place)
        assert await archived(house) == {}
        for run, pages in whole.items():
            assert (await journal.pages(run))[: len(pages)] == pages
        turns = [turn for run in await journal.runs() for turn in await load_turns(journal, run)]
        row = await journal.environment(SHOP)
        if row is not None and not row.tenant:
            kept = {one.key: one for one in await journal.resources(SHOP)}
            assert kept == rebuilt(turns)

    housed(tmp_path_factory.mktemp("house"), play)
