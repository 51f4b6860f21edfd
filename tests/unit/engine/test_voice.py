"""What a call says is gathered, bounded, and never lost."""

from __future__ import annotations

import asyncio

from batchwright.engine.voice import CALL_MAX, GATHER_SECONDS, LEFT_OUT, LINE_MAX, LINES_MAX, Voice
from batchwright.testing.clock import VirtualClock, run_virtual


def test_lines_are_gathered_and_the_rest_comes_at_the_end() -> None:
    clock, heard = VirtualClock(), list[tuple[str, ...]]()

    async def main() -> None:
        voice = Voice(clock, heard.append)
        voice.hear("one\n")
        voice.hear("  ")
        voice.hear("two")
        assert heard == []
        await clock.sleep(GATHER_SECONDS * 2)
        assert heard == [("one", "two")]
        voice.hear("three")
        voice.close()
        await clock.sleep(GATHER_SECONDS * 2)

    run_virtual(main())
    assert heard == [("one", "two"), ("three",)]


def test_a_flood_is_bounded_in_lines_reports_and_all_in_all() -> None:
    heard: list[tuple[str, ...]] = []

    async def main() -> None:
        voice = Voice(VirtualClock(), heard.append)
        for _ in range(3 * CALL_MAX // LINE_MAX):
            voice.hear("x" * (2 * LINE_MAX))
        voice.close()

    asyncio.run(main())
    lines = [line for report in heard for line in report]
    assert lines[-1] == LEFT_OUT
    assert lines.count(LEFT_OUT) == 1
    assert max(map(len, lines)) == LINE_MAX
    assert sum(map(len, lines[:-1])) <= CALL_MAX
    assert max(map(len, heard)) <= LINES_MAX
