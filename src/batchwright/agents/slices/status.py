"""How far a run is, what it waits for, what is wrong, and when it may end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from batchwright.agents.slices.base import Evidence, Fact, Slice
from batchwright.agents.slices.run_source import (
    RunSource,
    doubt_facts,
    ids,
    next_fact,
    parsed,
    question_facts,
    run_facts,
)
from batchwright.agents.slices.token_budget import Section, fit
from batchwright.agents.slices.untrusted_text import fenced, name
from batchwright.model.lifecycle import RUN_ENDED, StepState
from batchwright.views.failure_causes import FailureCause, failure_causes
from batchwright.views.run import OperationProgress, ProviderProgress, RunView, ViewBounds, run_view
from batchwright.views.text_format import counted, duration

KEYS = ("after",)
BOUNDS = ViewBounds(running=50, failed=1, doubts=20, servers=0)
FINISHED = ("done", "undone", "nothing to undo", "skipped")


def status_slice(source: RunSource, query: str, budget: int) -> Slice:
    """The status of a run. `after=SEQ` adds what has changed since that event. Raises UsageError."""
    after = parsed(query, KEYS).number("after")
    run = source.run
    view = run_view(run, source.now, around=source.around, shape=source.history.shape, bounds=BOUNDS)
    head = [*run_facts(source), _times(view, source.now)]
    if after:
        head.append(_changes(source, after))
    head.append(next_fact(view.next))
    causes = failure_causes(run)
    failed = [_failed(source, one) for one in causes.items]
    skipped = [Fact("skipped", f"skipped: {s.steps} because {fenced(s.reason)}", count=s.steps) for s in view.skipped]
    more_failed, more_skipped = causes.failed - _total(failed), run.count(StepState.SKIPPED) - _total(skipped)
    running = list(_running(source))
    unfinished = [op for op in view.operations if op.state not in FINISHED]
    sections = (
        Section("questions", "show questions", question_facts(run)),
        Section("failed steps", "diagnose", failed, more_failed, weighed=True),
        Section("steps in doubt", "find state=in_doubt", doubt_facts(source, view.doubts), view.doubts_more),
        Section(
            "waiting steps",
            "find state=waiting",
            [Fact("waits", f"waits: {w.steps} for {w.code}: {fenced(w.reason)}", count=w.steps) for w in view.waiting],
            weighed=True,
        ),
        Section("steps that will not run", "find state=skipped", skipped, max(0, more_skipped), weighed=True),
        Section("providers", "find providers", [_provider(one) for one in view.providers]),
        Section("operations", "find operations", [_operation(one) for one in unfinished]),
        Section("steps in flight", "find state=started offset={shown}", running, len(run.in_flight) - len(running), 2),
    )
    return fit("status", run.id, run.seq, budget, head, sections)


def _total(facts: Sequence[Fact]) -> int:
    return sum(fact.count for fact in facts)


def _times(view: RunView, now: float) -> Fact:
    if view.status in RUN_ENDED:
        return Fact("time", f"time: {duration(view.elapsed)}")
    left = "not known" if view.eta is None else duration(view.eta)
    quiet = f"last event {duration(now - view.updated_at)} ago"
    return Fact("time", f"time: {duration(view.elapsed)} so far, expected to take {left} more, {quiet}")


def _changes(source: RunSource, after: int) -> Fact:
    """What has changed since an event: how many steps came into which state."""
    run, tally = source.run, Counter[str]()
    for changes in source.history.changes:
        new = [state for seq, _, state in changes if after < seq <= run.seq]
        if new:
            tally[new[-1]] += 1
    told = ", ".join(f"{number} {state}" for state, number in sorted(tally.items())) or "no step changed"
    events = max(0, run.seq - after)
    return Fact("changed", f"since event {after}: {counted(events, 'event')}; {told}", (Evidence(run.seq),), events)


def _failed(source: RunSource, one: FailureCause) -> Fact:
    where = " ".join(name(part) for part in (one.code, one.provider, one.place) if part)
    first = source.evidence(source.run.index[one.steps[0]])
    text = f"failed: {one.count} {one.kind} {where}: {ids(one.steps[:1])}"
    return Fact("failed", text, (first,), one.count)


def _provider(one: ProviderProgress) -> Fact:
    counts = {"failed": one.failed, "retries": one.retries, "throttled": one.throttles}
    trouble = "".join(f", {number} {what}" for what, number in counts.items() if number)
    held = f", held up: {fenced(one.limit)}" if one.limit else ""
    return Fact(
        "provider", f"provider {name(one.name)}: {one.done} of {one.total} done{trouble}{held}", count=one.total
    )


def _operation(one: OperationProgress) -> Fact:
    for_others = f", waits for {ids(one.waiting_for)}" if one.waiting_for else ""
    wave = f", wave {one.wave} of {one.waves}" if one.waves else ""
    text = f"operation {name(one.id)}: {one.state}, {one.done} of {one.total}{wave}{for_others}"
    return Fact("operation", text, count=one.total)


def _running(source: RunSource) -> Iterator[Fact]:
    """The steps in flight, the longest first."""
    run = source.run
    oldest = sorted(run.in_flight, key=lambda i: (run.records[i].attempt_at, i))
    for i in oldest[: BOUNDS.running]:
        record = run.records[i]
        since = duration(source.now - record.attempt_at)
        again = f", attempt {record.attempt}" if record.attempt > 1 else ""
        text = f"in flight: {name(run.plan.steps[i].id)} {record.state} for {since}{again}"
        yield Fact("running", text, (source.evidence(i),))
