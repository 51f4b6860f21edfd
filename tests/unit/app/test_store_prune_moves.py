"""Environments with archived runs move, and whatever dies on the way, the next process finishes."""

from __future__ import annotations

import copy
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from batchwright.app.store_transfer import migrate
from batchwright.journal.base import Journal
from batchwright.journal.environment_state import environment_problems, environment_state
from batchwright.model.delivery import Delivery
from batchwright.testing.crash_points import CrashPoint, ProcessDied, When
from tests.unit.app.store_pair import FOLDER, SQLITE
from tests.unit.app.test_environment_migration import TwoStores
from tests.unit.app.test_environment_state import SHOP, done, shop
from tests.unit.app.test_runs import House, housed
from tests.unit.app.test_store_prune import archived, imported, pruned

# -- moves ----------------------------------------------------------------------------------------------------------


def test_an_environment_moves_with_its_archived_runs(tmp_path: Path) -> None:
    async def play(_: House) -> None:
        house = await TwoStores.with_history(tmp_path)
        result = await pruned(house)
        assert result.runs == 0  # all three are needed
        for _ in range(2):
            await done(house, replace(shop("a", "b"), storage_backend=SQLITE))
        result = await pruned(house)
        gone = set(await archived(house))
        assert gone
        told = Delivery(next(iter(gone)), "chat", cursor=9, open=False)
        await house.of(SQLITE).write_delivery(None, told)
        assert not [one for one in await house.moved() if one.left]
        assert {row.store for row in await house.pair.summaries()} == {FOLDER}
        assert (await archived(house)).keys() == gone
        for store in (SQLITE, FOLDER):
            assert await environment_problems(house.of(store)) == []
        assert [(one.run, one.cursor) for one in await house.of(FOLDER).deliveries()] == [(told.run, 9)]
        row = await house.of(FOLDER).environment(SHOP)
        assert row is not None
        assert row.base_digest
        assert {one.store for one in await imported(house, result.archive)} == {FOLDER}
        assert await archived(house) == {}
        assert await environment_problems(house.of(FOLDER)) == []

    housed(tmp_path, play)


# -- death ----------------------------------------------------------------------------------------------------------


class _Story:
    """A store pair whose first store has a pruned, or not yet pruned, history; each life gets a copy of it."""

    def __init__(self, folder: Path, house: TwoStores) -> None:
        self.folder, self.house = folder, house
        self.journals = copy.deepcopy(house.pair.journals)

    def again(self, point: CrashPoint | None = None, *, fresh: bool) -> TwoStores:
        if fresh:
            self.house.pair.journals.clear()
            self.house.pair.journals |= copy.deepcopy(self.journals)
        return TwoStores(self.folder, self.house.pair.after(point))


async def long_history(folder: Path) -> TwoStores:
    house = TwoStores(folder)
    for names in ("a", "a", "ab", "b", "bc", "bc"):
        await done(house, replace(shop(*names), storage_backend=SQLITE))
    return house


async def dying(story: _Story, work: Callable[[House], Any], check: Callable[[House], Any]) -> int:
    """Die before and after each call in turn; then the same command ends as it does without a death."""
    counted = CrashPoint()
    await work(story.again(counted, fresh=True))
    for n in range(1, counted.count + 1):
        for when in When:
            house = story.again(CrashPoint(n, when), fresh=True)
            with suppress(ProcessDied):
                await work(house)
            after = story.again(fresh=False)
            for store in (SQLITE, FOLDER):
                assert await environment_problems(after.of(store)) == [], (n, when)
            await work(after)
            await check(after)
    return counted.count


def test_a_prune_that_dies_anywhere_is_sound_and_finished_by_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("batchwright.app.store_prune.BATCH_RUNS", 1)

    async def play(_: House) -> None:
        story = _Story(tmp_path, await long_history(tmp_path))
        state = await environment_state(story.house.of(SQLITE), SHOP)
        pages = {run: await story.house.of(SQLITE).pages(run) for run in await story.house.of(SQLITE).runs()}
        expected: set[str] = set()

        async def work(house: House) -> None:
            await pruned(house)

        async def check(house: House) -> None:
            lines = await archived(house)
            assert set(lines) == (expected or set(lines))
            expected.update(lines)
            journal = house.stores.journals[SQLITE]  # type: ignore[attr-defined]
            now = await environment_state(journal, SHOP)
            assert (now.resources, now.newest) == (state.resources, state.newest)
            for place in set(lines.values()):  # several, where one died halfway
                await imported(house, place)
            assert {run: await journal.pages(run) for run in pages} == pages

        assert await dying(story, work, check) >= 16
        assert len(expected) == 2

    housed(tmp_path, play)


def test_an_import_that_dies_anywhere_is_finished_by_the_next(tmp_path: Path) -> None:
    async def play(_: House) -> None:
        house = await long_history(tmp_path)
        pages = {run: await house.of(SQLITE).pages(run) for run in await house.of(SQLITE).runs()}
        result = await pruned(house)
        assert result.runs == 2
        story = _Story(tmp_path, house)

        async def work(house: House) -> None:
            await imported(house, result.archive)

        async def check(house: House) -> None:
            journal = house.stores.journals[SQLITE]  # type: ignore[attr-defined]
            assert {run: await journal.pages(run) for run in pages} == pages
            assert await archived(house) == {}

        assert await dying(story, work, check) >= 8

    housed(tmp_path, play)


def test_a_move_of_archived_runs_that_dies_anywhere_is_finished_by_the_next(tmp_path: Path) -> None:
    async def play(_: House) -> None:
        house = await long_history(tmp_path)
        result = await pruned(house)
        state = await environment_state(house.of(SQLITE), SHOP)
        story = _Story(tmp_path, house)

        async def work(house: House) -> None:
            async for _ in migrate(house.stores, house.clock, SQLITE, FOLDER):
                pass

        async def check(house: House) -> None:
            rows = await house.stores.summaries()
            assert (len(rows), {row.store for row in rows}) == (6, {FOLDER})
            assert len(await archived(house)) == result.runs
            journal: Journal = house.stores.journals[FOLDER]  # type: ignore[attr-defined]
            assert (await environment_state(journal, SHOP)).resources == state.resources
            assert (await journal.base_resources(SHOP)) != []

        assert await dying(story, work, check) > 30

    housed(tmp_path, play)
