"""Where an environment lives: in one store of a state folder, whoever begins it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from msgspec.structs import replace

from batchwright.app.runs import Runs
from batchwright.errors import EnvironmentElsewhere
from batchwright.journal.base import Journal
from batchwright.model.plan import Plan
from tests.unit.app.store_pair import FOLDER, SQLITE, StorePair
from tests.unit.app.test_runs import House, housed, small


class TwoStores(House):
    """One state folder with two stores."""

    def __init__(self, house: House) -> None:
        super().__init__(house.settings.state_dir)
        self.pair = StorePair.fresh(self.clock)
        self.runs = Runs(self.settings, self.pair, self.clock, self.limits)

    def of(self, store: str) -> Journal:
        return self.pair.journals[store]


def plan_in(store: str) -> Plan:
    return replace(small(), environment="w", storage_backend=store)


def test_of_two_stores_that_begin_an_environment_at_once_one_does(tmp_path: Path) -> None:
    """Each has looked before the other wrote: only a lock keeps them apart."""

    async def play(house: House) -> None:
        two = TwoStores(house)
        both = (two.runs.create(plan_in(store), "ada") for store in (SQLITE, FOLDER))
        outcomes = await asyncio.gather(*both, return_exceptions=True)
        assert [type(one) for one in outcomes if isinstance(one, Exception)] == [EnvironmentElsewhere], outcomes
        runs = [await two.of(store).runs() for store in (SQLITE, FOLDER)]
        assert sorted(map(len, runs)) == [0, 1]

    housed(tmp_path, play)


def test_a_second_store_is_told_where_the_environment_lives(tmp_path: Path) -> None:
    async def play(house: House) -> None:
        two = TwoStores(house)
        await two.runs.create(plan_in(SQLITE), "ada")
        with pytest.raises(EnvironmentElsewhere, match="lives in the store filesystem") as told:
            await two.runs.create(plan_in(FOLDER), "ada")
        assert told.value.hint == "Move it: batchwright store migrate --from filesystem --to surrealdb w"

    housed(tmp_path, play)
