"""Calls that come close together share a process; places are few; nobody is left without an answer."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from batchwright.taskservs.runner.batcher import WINDOW_SECONDS, Batcher
from batchwright.testing.virtual_clock import VirtualClock, run_virtual

Batch = Sequence[tuple[str, "asyncio.Future[str]"]]


class Rig:
    """Batches take `seconds` and answer each member in upper case."""

    def __init__(self, seconds: float = 1.0, places: int = 2, most: int = 3) -> None:
        self.batches: list[tuple[str, ...]] = []
        self.at_once = self.most_at_once = 0
        self._seconds = seconds
        self.gathering: Batcher[str, str] = Batcher(VirtualClock(), self._carry, places, most)

    async def _carry(self, batch: Batch) -> None:
        self.batches.append(tuple(member for member, _ in batch))
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        await asyncio.sleep(self._seconds)
        self.at_once -= 1
        for member, answer in batch:
            if member == "fails":
                raise RuntimeError("no")
            if not answer.done():
                answer.set_result(member.upper())


def test_who_comes_within_the_window_is_carried_out_together() -> None:
    async def main() -> None:
        rig = Rig()
        first = rig.gathering.join("redis", "a")
        await asyncio.sleep(WINDOW_SECONDS / 2)
        second = rig.gathering.join("redis", "b")
        other = rig.gathering.join("nginx", "c")
        assert [await first, await second, await other] == ["A", "B", "C"]
        assert sorted(rig.batches) == [("a", "b"), ("c",)]

    run_virtual(main())


def test_who_comes_later_is_in_the_next_batch() -> None:
    async def main() -> None:
        rig = Rig()
        first = rig.gathering.join("redis", "a")
        await asyncio.sleep(WINDOW_SECONDS * 2)
        second = rig.gathering.join("redis", "b")
        assert [await first, await second] == ["A", "B"]
        assert rig.batches == [("a",), ("b",)]

    run_virtual(main())


def test_who_comes_while_a_place_is_waited_for_is_still_taken_along() -> None:
    async def main() -> None:
        rig = Rig(places=1)
        busy = rig.gathering.join("nginx", "n")
        await asyncio.sleep(WINDOW_SECONDS * 1.5)
        first = rig.gathering.join("redis", "a")
        await asyncio.sleep(WINDOW_SECONDS * 2)
        second = rig.gathering.join("redis", "b")
        await asyncio.gather(busy, first, second)
        assert rig.batches == [("n",), ("a", "b")]

    run_virtual(main())


def test_batches_and_places_are_bounded() -> None:
    async def main() -> None:
        rig = Rig(places=2, most=3)
        answers = [rig.gathering.join("redis", f"m{number}") for number in range(10)]
        assert await asyncio.gather(*answers) == [f"M{number}" for number in range(10)]
        assert [len(batch) for batch in rig.batches] == [3, 3, 3, 1]
        assert rig.most_at_once == 2

    run_virtual(main())


def test_who_has_gone_before_it_begins_is_left_out() -> None:
    async def main() -> None:
        rig = Rig()
        gone, stays = rig.gathering.join("redis", "a"), rig.gathering.join("redis", "b")
        gone.cancel()
        assert await stays == "B"
        assert rig.batches == [("b",)]

    run_virtual(main())


def test_a_batch_that_breaks_is_told_to_all_of_it() -> None:
    async def main() -> None:
        rig = Rig()
        answers = [rig.gathering.join("redis", member) for member in ("fails", "b")]
        for answer in answers:
            with pytest.raises(RuntimeError, match="no"):
                await answer

    run_virtual(main())
