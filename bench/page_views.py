"""CPU of the views that a page draws, beside the fold of the same events: `python -m bench.page_views` prints a table.

The run has 10,000 steps in 99 operations; some of them fail, some are tried again, and one process is killed.
"""

from __future__ import annotations

import gc
import random
import time
from collections.abc import Callable

import msgspec

from batchwright.model import events as ev
from batchwright.model.fault import Fault, FaultClass
from batchwright.model.plan import Plan
from batchwright.model.run import Run
from batchwright.testing.plans import plan_of, servers, workflow
from batchwright.views.failure_causes import failure_causes
from batchwright.views.graph_layout import graph_layout
from batchwright.views.operation_strips import operation_strips
from batchwright.views.run_history import RunHistory, history_of
from batchwright.views.run_why import run_why
from batchwright.views.step_card import step_card
from batchwright.views.step_events import step_event_numbers
from batchwright.views.step_pages import StepOrder, StepQuery, step_page
from batchwright.views.timeline import TimelineQuery, timeline
from batchwright.views.wait_reasons import Circumstances

CHAINS, LINKS, STEPS = 33, 3, 10_000
REPEATS = 7
MOST = 0.1  # CPU seconds that one view may take
FULL = Fault(FaultClass.CAPACITY, "no room for plan 1xCPU-2GB in de-fra1")
SLOW = Fault(FaultClass.TRANSIENT, "the answer did not come within 30 s")


def large_plan(steps: int = STEPS) -> Plan:
    """Chains of operations side by side."""
    operations, left = [], steps
    for chain in range(CHAINS):
        for link in range(LINKS):
            number = left if (chain, link) == (CHAINS - 1, LINKS - 1) else steps // (CHAINS * LINKS)
            left -= number
            names = [f"w-{chain}-{link}-{n}" for n in range(number)]
            after = [f"op_{chain}_{link - 1}"] if link else []
            operations.append(servers(f"op_{chain}_{link}", *names, after=after))
    return plan_of(workflow(*operations, parallel_limit=160), {})


def journal(plan: Plan) -> list[ev.AnyEvent]:
    """Events as a run of this plan writes them, at most 160 steps at a time."""
    chance, now = random.Random(1), 1_700_000_000.0
    told: list[ev.AnyEvent] = [ev.RunCreated(now, "abcdefghijkl", plan), ev.DriverStarted(now, "ops-1:4312:1", 1)]
    told.append(ev.RunStarted(now))
    flying: list[tuple[str, int]] = []
    waiting = [(step.id, 1) for step in reversed(plan.steps)]
    while waiting or flying:
        if waiting and len(flying) < 160:
            step, attempt = waiting.pop()
            told.append(ev.StepStarted(now, step, attempt, "t"))
            flying.append((step, attempt))
            continue
        now += chance.random() * 0.1
        step, attempt = flying.pop(chance.randrange(len(flying)))
        end = chance.random()
        if end < 0.05 and attempt < 3:
            told.append(ev.StepRetrying(now, step, attempt, now + 1, SLOW))
            waiting.append((step, attempt + 1))
        elif end < 0.08:
            told.append(ev.StepFailed(now, step, attempt, FULL))
        else:
            told.append(ev.StepCreated(now, step, f"ref-{step}"))
            told.append(ev.StepSucceeded(now + 0.01, step, f"ref-{step}", "10.0.0.1"))
        if len(told) == 15_000:
            told.append(ev.DriverStarted(now + 60, "ops-2:4700:1", 2))
            now += 60
    return told


def seconds(work: Callable[[], object]) -> float:
    """CPU seconds of the quickest of several."""
    best = float("inf")
    for _ in range(REPEATS):
        gc.collect()
        began = time.process_time()
        work()
        best = min(best, time.process_time() - began)
    return best


def _events_of(history: RunHistory, events: list[ev.AnyEvent], step: str) -> list[tuple[int, ev.AnyEvent]]:
    numbers = step_event_numbers(history, history.run.step(step), history.seq)
    return [(seq, events[seq - 1]) for seq in (1, *numbers)]


def main() -> None:
    """A table: CPU of each view, and as a share of the fold and the history that it is made from."""
    plan = large_plan()
    events = journal(plan)
    run, history = Run.replay(events), history_of(events)
    now, last = events[-1].at, plan.steps[-1].id
    fold, told = seconds(lambda: Run.replay(events)), seconds(lambda: history_of(events))
    views: dict[str, Callable[[], object]] = {
        "graph": lambda: graph_layout(plan),
        "timeline, 1,000 columns": lambda: timeline(history, run, now, TimelineQuery(width=1_000)),
        "operations": lambda: operation_strips(run, history.shape, now),
        "operations, each step": lambda: operation_strips(run, history.shape, now, STEPS),
        "steps, the worst 100": lambda: step_page(run, history, now, StepQuery(order=StepOrder.WORST)),
        "steps, found by text": lambda: step_page(run, history, now, StepQuery(find="no room w-3")),
        "failures by cause": lambda: failure_causes(run),
        "why": lambda: run_why(run, history, now, Circumstances()),
        "card of a step, with its few events": lambda: step_card(
            run, history, _events_of(history, events, last), last, now, Circumstances()
        ),
    }
    print(f"| {len(plan.steps):,} steps, {len(events):,} events | CPU ms | of fold and history | answer, kB |")
    print("|--|--|--|--|")
    print(f"| fold | {fold * 1e3:.1f} | | |")
    print(f"| history | {told * 1e3:.1f} | | |")
    for name, view in views.items():
        took, size = seconds(view), len(msgspec.json.encode(view())) / 1000
        assert took < MOST, f"{name} took {took * 1e3:.0f} ms of CPU"
        print(f"| {name} | {took * 1e3:.1f} | {took / (fold + told):.2f} | {size:.0f} |")


if __name__ == "__main__":
    main()
