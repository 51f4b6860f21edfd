"""Drivers begin a few at a time: one that begins, or does not for long, lets the next one begin."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from batchwright.service.driver_starts import DriverStarts


async def soon(starts: DriverStarts, *callers: str) -> tuple[list[str], list[Callable[[], None]]]:
    """Who has begun when nobody can go on, and how each of them says that it has begun."""
    begun: list[str] = []
    overs: list[Callable[[], None]] = []

    async def begin(caller: str) -> None:
        overs.append(await starts.turn(caller))
        begun.append(caller)

    for caller in callers:
        asyncio.get_running_loop().create_task(begin(caller))
    for _ in range(3 * len(callers)):
        await asyncio.sleep(0)
    return begun, overs


def test_a_few_begin_at_once_and_each_lets_another_one_begin() -> None:
    async def main() -> None:
        begun, overs = await soon(DriverStarts(2, 600.0), *"aaab")
        assert begun == ["a", "a"]
        for _ in range(2):
            overs[0]()  # again, it changes nothing
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            assert begun == ["a", "a", "a"]
        overs[1]()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert begun == ["a", "a", "a", "b"]

    asyncio.run(main())


def test_one_whose_provider_does_not_answer_holds_nobody_up() -> None:
    async def main() -> None:
        starts = DriverStarts(1, 0.0)
        overs = [await starts.turn("a") for _ in range(5)]
        await asyncio.sleep(0.01)
        for over in overs:
            over()
        assert starts._turns._free == 1

    asyncio.run(main())
