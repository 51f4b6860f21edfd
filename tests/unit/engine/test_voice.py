"""What a call says is gathered, bounded, and never lost."""

from __future__ import annotations

import asyncio
import re

from batchwright.engine.output_buffer import (
    GATHER_SECONDS,
    GOES_ON,
    HEAD_MAX,
    LINE_MAX,
    LINES_MAX,
    TAIL_MAX,
    OutputBuffer,
)
from batchwright.testing.virtual_clock import VirtualClock, run_virtual


def test_lines_are_gathered_and_the_rest_comes_at_the_end() -> None:
    clock, heard = VirtualClock(), list[tuple[str, ...]]()

    async def main() -> None:
        voice = OutputBuffer(clock, heard.append)
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


def test_of_a_flood_the_beginning_and_the_end_are_kept_and_the_size_of_the_middle_is_told() -> None:
    """B6: the last line, where the cause stands, is what is kept."""
    heard: list[tuple[str, ...]] = []

    async def main() -> None:
        voice = OutputBuffer(VirtualClock(), heard.append)
        voice.hear("the first")
        for number in range(20_000):
            voice.hear(f"line {number} of a long output")
        voice.hear("FATAL: the real cause")
        voice.close()

    asyncio.run(main())
    lines = [line for report in heard for line in report]
    assert (lines[0], lines[-1]) == ("the first", "FATAL: the real cause")
    at = lines.index(GOES_ON)
    left = re.fullmatch(r"\.\.\. \(([\d,]+) lines with ([\d,]+) characters omitted\) \.\.\.", lines[at + 1])
    assert left
    first, last = lines[at - 1], lines[at + 2]
    gap = int(last.split()[1]) - int(first.split()[1]) - 1
    assert gap == int(left[1].replace(",", ""))
    assert sum(map(len, lines)) <= HEAD_MAX + TAIL_MAX + LINE_MAX
    assert max(map(len, heard)) <= LINES_MAX


def test_a_long_line_keeps_its_beginning_and_its_end() -> None:
    """B6"""
    heard: list[tuple[str, ...]] = []

    async def main() -> None:
        voice = OutputBuffer(VirtualClock(), heard.append)
        voice.hear("begin " + "x" * 2 * LINE_MAX + " end")
        voice.close()

    asyncio.run(main())
    [[line]] = heard
    assert line.startswith("begin ")
    assert line.endswith(" end")
    assert len(line) == LINE_MAX
    assert "(4,010 characters)" in line
