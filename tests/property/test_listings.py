"""Listings that change while they are read: what was there all the time is shown, whatever came and went meanwhile."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batchwright.errors import ProviderUnavailable
from batchwright.providers.hetzner.pagination import HetznerClient as Hetzner
from batchwright.providers.http import Query
from batchwright.providers.upcloud.pagination import UpCloudClient as UpCloud
from tests.support.examples import share


class Changing:
    """Numbers in the order in which they came; before each page some go and some come."""

    def __init__(self, seed: int, count: int, going: float, coming: float, *, unsteady: bool = False) -> None:
        self.unsteady = unsteady
        self.chance, self.rows, self.next = random.Random(seed), list(range(1, count + 1)), count + 1
        self.going, self.coming = going, coming
        self.constant, self.asked = set(self.rows), 0

    def page(self, offset: int, limit: int) -> list[int]:
        """What a page shows, after what happened since the last one."""
        self.asked += 1
        if self.unsteady:
            self.chance.shuffle(self.rows)
        while self.asked > 1 and self.rows and self.chance.random() < self.going:
            gone = self.rows.pop(self.chance.randrange(len(self.rows)))
            self.constant.discard(gone)
        while self.asked > 1 and self.chance.random() < self.coming:
            self.rows.append(self.next)
            self.next += 1
        return self.rows[offset : offset + limit]


def told(query: Query) -> dict[str, int]:
    return {key: int(value) for key, value in query if value.isdecimal()}


class FakeUpCloud(UpCloud):
    def __init__(self, cloud: Changing, page: int, most: int = 1000) -> None:
        self.cloud, self.page, self.most = cloud, page, most

    async def read(self, _path: str, query: Query = ()) -> dict[str, Any]:
        window = told(query)
        limit = min(window["limit"], self.most)
        return {"outer": {"inner": [{"uuid": n} for n in self.cloud.page(window["offset"], limit)]}}


class FakeHetzner(Hetzner):
    def __init__(self, cloud: Changing, page: int, *, says_last: bool = True, says_total: bool = False) -> None:
        self.cloud, self.page, self.says_last, self.says_total = cloud, page, says_last, says_total

    async def read(self, path: str, query: Query = ()) -> dict[str, Any]:
        window = told(query)
        number, size = window["page"], window["per_page"]
        shown = self.cloud.page((number - 1) * size, size)
        more = number * size < len(self.cloud.rows)
        pagination: dict[str, Any] = {"next_page": number + 1 if more else None}
        if self.says_last:
            pagination["last_page"] = max(1, -(-len(self.cloud.rows) // size))
        if self.says_total:
            pagination["total_entries"] = len(self.cloud.rows)
        return {path.strip("/"): [{"id": n} for n in shown], "meta": {"pagination": pagination}}


changes = st.tuples(
    st.integers(0, 10**6), st.integers(0, 60), st.sampled_from([0.0, 0.2, 0.6, 0.8]), st.sampled_from([0.0, 0.3])
)


@settings(max_examples=share(400), deadline=None)
@given(changes, st.integers(1, 12))
def test_upcloud_shows_all_that_stays(change: tuple[int, int, float, float], page: int) -> None:
    cloud = Changing(*change)
    rows = asyncio.run(FakeUpCloud(cloud, page).listing("/server", "outer", "inner"))
    assert {int(row["uuid"]) for row in rows} >= cloud.constant


@settings(max_examples=share(400), deadline=None)
@given(changes, st.integers(1, 12), st.booleans())
def test_hetzner_shows_all_that_stays(change: tuple[int, int, float, float], page: int, says_last: bool) -> None:
    cloud = Changing(*change)
    rows = asyncio.run(FakeHetzner(cloud, page, says_last=says_last).listing("servers"))
    assert {row["id"] for row in rows} >= cloud.constant


@settings(max_examples=share(300), deadline=None)
@given(st.integers(0, 10**6), st.integers(0, 60), st.integers(1, 12), st.integers(2, 70))
def test_upcloud_in_no_order_is_complete_or_refused(seed: int, count: int, page: int, most: int) -> None:
    """E6: 140 of 150 is no listing."""
    cloud = Changing(seed, count, 0.0, 0.0, unsteady=True)
    try:
        rows = asyncio.run(FakeUpCloud(cloud, page, most).listing("/server", "outer", "inner"))
    except ProviderUnavailable:
        assert count > most, "one page shows all"
        return
    assert {int(row["uuid"]) for row in rows} == cloud.constant


@settings(max_examples=share(300), deadline=None)
@given(st.integers(0, 10**6), st.integers(0, 60), st.integers(1, 12), st.booleans(), st.booleans())
def test_hetzner_in_no_order_is_complete_or_refused(
    seed: int, count: int, page: int, says_last: bool, says_total: bool
) -> None:
    """E6: by the count that Hetzner tells, else by two readings that are the same."""
    cloud = Changing(seed, count, 0.0, 0.0, unsteady=True)
    try:
        fake = FakeHetzner(cloud, page, says_last=says_last, says_total=says_total)
        rows = asyncio.run(fake.listing("servers"))
    except ProviderUnavailable:
        assert count > page
        return
    if says_total:
        assert {row["id"] for row in rows} == cloud.constant


@pytest.mark.parametrize("count", [0, 1, 49, 50, 51, 1000])
def test_what_does_not_change_is_read_once_and_a_page(count: int) -> None:
    up, hetzner = Changing(0, count, 0.0, 0.0), Changing(0, count, 0.0, 0.0)
    assert len(asyncio.run(FakeUpCloud(up, 50).listing("/server", "outer", "inner"))) == count
    assert up.asked <= count / 49 + 2
    assert len(asyncio.run(FakeHetzner(hetzner, 50).listing("servers"))) == count
    assert hetzner.asked <= -(-count // 50) + 1
