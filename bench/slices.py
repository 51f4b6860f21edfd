"""Answers about a run of 100,000 steps: `python -m bench.slices` prints a table.

For each slice the CPU that it takes, its tokens, and how long an event loop waits at most while a thread computes it,
as a service does.
"""

from __future__ import annotations

import asyncio
import gc
import sys
import time
from collections.abc import Callable

from batchwright.agents.slices.base import Slice
from batchwright.agents.slices.registry import SLICES, run_slice, slice_kind
from batchwright.agents.slices.run_source import RunSource
from batchwright.model.run import Run
from batchwright.views.run_history import history_of
from bench.page_views import journal, large_plan

STEPS = 100_000
WAIT_MOST = 0.2  # seconds
TICK = 0.001


async def loop_waits(work: Callable[[], object]) -> float:
    """How many seconds a loop is late at most while a thread does this."""
    task = asyncio.create_task(asyncio.to_thread(work))
    worst = 0.0
    while not task.done():
        began = time.perf_counter()
        await asyncio.sleep(TICK)
        worst = max(worst, time.perf_counter() - began - TICK)
    await task
    return worst


def main(steps: int) -> None:
    """A table."""
    plan = large_plan(steps)
    events = journal(plan)
    run, history = Run.replay(events), history_of(events)
    bare = RunSource(run, history, events[-1].at, earlier=RunSource(run, history, events[-1].at))
    queries = {"show": plan.steps[-1].id, "find": "steps state=failed no room"}
    print(f"| {steps:,} steps, {len(events):,} events | CPU ms | tokens | loop waits at most, ms |")
    print("|--|--|--|--|")
    late = []
    for kind in SLICES:
        query = queries.get(kind, "")

        def answer(kind: str = kind, query: str = query) -> Slice:
            wanted = slice_kind(kind).wanted(run, history, query)
            own = RunSource(run, history, bare.now, events=[(n, events[n - 1]) for n in wanted], earlier=bare.earlier)
            return run_slice(kind, own, query)

        gc.collect()
        began = time.process_time()
        told = answer()
        took, waited = time.process_time() - began, asyncio.run(loop_waits(answer))
        late += [kind] if waited > WAIT_MOST else []
        print(f"| {kind} | {took * 1e3:.0f} | {told.tokens} | {waited * 1e3:.0f} |", flush=True)
    assert not late, f"a loop waits more than {WAIT_MOST} s for {', '.join(late)}"


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else STEPS)
