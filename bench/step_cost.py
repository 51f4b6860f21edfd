"""What a durable no-op step costs on this machine's processor: `python -m bench.step_cost [STEPS]` prints a table.

Walls depend on what else the machine does. CPU time depends on it less, and the number of calls not at all.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from types import FrameType

from bench.noop import begin, drive, plan_of

LIMITS = (10, 64, 256)
STEPS = 20_000
COUNTED_STEPS = 2_000
RUNS = 3


async def _driven(count: int, limit: int, folder: Path) -> float:
    """CPU microseconds for each step, of all threads; of the run alone, not of its plan and its store."""
    plan = plan_of(count, limit)
    journal, run = await begin(folder, plan, "filesystem")
    start = time.process_time()
    await drive(journal, run, plan)
    spent = time.process_time() - start
    await journal.aclose()
    return spent / count * 1e6


def microseconds(count: int, limit: int) -> float:
    """CPU microseconds for each step, the best of some runs."""
    spent = []
    for _ in range(RUNS):
        with tempfile.TemporaryDirectory() as folder:
            spent.append(asyncio.run(_driven(count, limit, Path(folder))))
    return min(spent)


def calls(count: int, limit: int) -> Counter[str]:
    """How often Python called a function of its own, and one written in C, for all steps together, by kind."""
    found: Counter[str] = Counter()

    def note(_frame: FrameType, event: str, _argument: object) -> None:
        found[event] += 1

    with tempfile.TemporaryDirectory() as folder:
        threading.setprofile(note)
        sys.setprofile(note)
        try:
            asyncio.run(_driven(count, limit, Path(folder)))
        finally:
            sys.setprofile(None)
            threading.setprofile(None)  # type: ignore[arg-type]
    return found


def table(steps: int) -> list[str]:
    """One line for each limit."""
    rows = ["| limit | CPU, us a step | calls of Python a step | calls of C a step |", "|--|--|--|--|"]
    for limit in LIMITS:
        counted = calls(COUNTED_STEPS, limit)
        python, in_c = counted["call"] / COUNTED_STEPS, counted["c_call"] / COUNTED_STEPS
        rows.append(f"| {limit} | {microseconds(steps, limit):.1f} | {python:.1f} | {in_c:.1f} |")
    return rows


if __name__ == "__main__":
    sys.stdout.write("\n".join(table(int(sys.argv[1]) if len(sys.argv) > 1 else STEPS)) + "\n")
