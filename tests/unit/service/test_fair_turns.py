"""Turns for a few places: no caller is passed over, no place is lost."""

from __future__ import annotations

import asyncio
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from batchwright.service.fair_turns import FairTurns

# who asks, and whether it gives up before its turn has ended
ASKED = st.lists(st.tuples(st.sampled_from("abc"), st.booleans()), max_size=12)


def order(asked: str, places: int = 1) -> str:
    """Who has a turn, in this order, when all have asked before the first turn ends."""

    async def main() -> str:
        turns, had = FairTurns(places), []

        async def take(caller: str) -> None:
            async with turns.turn(caller):
                had.append(caller)
                await asyncio.sleep(0)

        await asyncio.gather(*(take(caller) for caller in asked))
        return "".join(had)

    return asyncio.run(main())


def test_callers_take_turns_however_much_each_asks_for() -> None:
    assert order("aaaaabbc") == "aabcabaa"
    assert order("aaaabb", places=2) == "aaabab"


@given(st.text("abc", max_size=20), st.integers(1, 3))
def test_nobody_waits_longer_than_one_turn_of_each_other(asked: str, places: int) -> None:
    had = order(asked, places)
    assert Counter(had) == Counter(asked)
    first = {caller: had.index(caller) for caller in had}
    assert all(at < places + len(first) for at in first.values())


@given(ASKED, st.integers(1, 3))
def test_no_place_is_lost_or_given_twice(asked: list[tuple[str, bool]], places: int) -> None:
    async def main() -> None:
        turns, inside = FairTurns(places), 0

        async def take(caller: str) -> None:
            nonlocal inside
            async with turns.turn(caller):
                inside += 1
                assert inside <= places
                try:
                    await asyncio.sleep(0)
                finally:
                    inside -= 1

        tasks = [asyncio.create_task(take(caller)) for caller, _ in asked]
        for number, (_, gives_up) in enumerate(asked):
            await asyncio.sleep(0)
            if gives_up:
                tasks[-number - 1].cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert not [task for task in tasks if not task.cancelled() and task.exception()]
        assert (turns._free, turns._waiting) == (places, {})

    asyncio.run(main())
