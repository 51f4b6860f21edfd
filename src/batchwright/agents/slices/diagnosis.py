"""Why a run failed or does not go on: its failures by cause, what was printed, and what else they stopped."""

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
from batchwright.errors import UsageError
from batchwright.model import events as ev
from batchwright.model.lifecycle import StepState
from batchwright.model.run import Run
from batchwright.views.display_state import LOST, DisplayState
from batchwright.views.failure_causes import LOST_STATES, FailureCause, FailureCauses, failure_causes
from batchwright.views.run import RunView, run_view
from batchwright.views.run_history import RunHistory
from batchwright.views.text_format import counted, duration

KEYS = ("cause", "offset")
LOGS_MOST, LINES_MOST, EVENTS_READ = 5, 4, 20  # steps whose output is shown, lines of each, and events read for each
MANY = 4  # causes: if there are more, failures are summed up by kind first
CAUSES_READ, ROWS_MOST = 2_000, 100


def wanted_for_diagnosis(run: Run, history: RunHistory, query: str) -> list[int]:
    """The events with the output of the first step of each important cause."""
    seqs: set[int] = set()
    told = parsed(query, KEYS)
    found = _of_kind(failure_causes(run), told.values.get("cause", ""))
    for one in found[told.number("offset") :][:LOGS_MOST]:
        own = [seq for seq in history.step_events[run.index[one.steps[0]]] if seq <= run.seq]
        seqs.update(own[-EVENTS_READ:])
    return sorted(seqs)


def diagnosis_slice(source: RunSource, query: str, budget: int) -> Slice:
    """Why a run failed. `cause=KIND` only failures of this kind; `offset=N` leaves the first causes out.

    Raises UsageError.
    """
    run = source.run
    told = parsed(query, KEYS)
    skipped, kind = told.number("offset"), told.values.get("cause", "")
    every = failure_causes(run, CAUSES_READ)
    found = _of_kind(every, kind)
    shown = found[skipped:]
    view = run_view(run, source.now, around=source.around, shape=source.history.shape)
    head = [*run_facts(source), _verdict(source, found, 0 if kind else every.items_more)]
    if first := _first(source):
        head.append(first)
    head.append(next_fact(view.next))
    many = len(found) > MANY and not kind
    unread = max(0, len(shown) - ROWS_MOST) + (0 if kind else every.items_more)
    blocked = list(_blocked(view))
    more_blocked = run.count(StepState.SKIPPED) - sum(fact.count for fact in blocked)
    output = list(_output(source, shown))
    lines = sum(len(_lines(source, one.steps[0])) for one in shown[:LOGS_MOST])
    more_different = max(0, run.count(StepState.FAILED) - LOGS_MOST) if source.earlier else 0
    again = f"diagnose{f' cause={kind}' if kind else ''} offset=" + "{shown}"
    sections = (
        Section("questions", "show questions", question_facts(run)),
        Section("kinds of failure", "find causes", list(_kinds(run)) if many else [], least=3),
        Section("causes", again, [_cause(source, one) for one in shown[:ROWS_MOST]], unread, 2, begin=skipped),
        Section("stopped providers", "find providers", list(_stopped(run))),
        Section("lines of output", _log_query(shown), output, max(0, lines - sum(fact.count for fact in output)), 2),
        Section("places where it worked", "find steps state=succeeded", list(_contrast(run, shown))),
        Section("skipped steps", "find state=skipped", blocked, max(0, more_blocked), weighed=True),
        Section("steps in doubt", "find state=in_doubt", doubt_facts(source, view.doubts), view.doubts_more),
        Section("differences", "ask reporter", list(_against_earlier(source)), more_different),
    )
    return fit("diagnose", run.id, run.seq, budget, head, sections)


def _of_kind(every: FailureCauses, kind: str) -> Sequence[FailureCause]:
    found = [one for one in every.items if not kind or kind in (one.kind, one.code)]
    if kind and not found:
        there = sorted({one.kind for one in every.items})
        raise UsageError(f"no failure of the kind {kind!r}", hint=f"There are: {', '.join(there) or 'none'}.")
    return found


def _verdict(source: RunSource, found: Sequence[FailureCause], more: int) -> Fact:
    failed = sum(one.count for one in found)
    reason = source.run.reason
    because = f"; it ended because {fenced(reason)}" if reason else ""
    return Fact(
        "failed", f"failed: {counted(failed, 'step')}, {counted(len(found) + more, 'cause')}{because}", count=failed
    )


def _first(source: RunSource) -> Fact | None:
    """The failure that came first, which often explains those after it."""
    run, history = source.run, source.history
    firsts = (
        (seq, i)
        for i, changes in enumerate(history.changes)
        for seq, _, state in changes[-1:]
        if state in LOST and seq <= run.seq
    )
    seq, i = min(firsts, default=(0, -1))
    if i < 0:
        return None
    step = run.plan.steps[i].id
    after = duration(history.at(seq) - run.created_at)
    return Fact("first", f"first failure: {name(step)} at event {seq}, after {after}", (Evidence(seq, step),))


def _kinds(run: Run) -> Iterator[Fact]:
    """Failures by their kind and the provider's code alone: few lines, however many causes there are."""
    faults = (one.fault for one in run.records if one.state in LOST_STATES and one.fault is not None)
    tally = Counter((fault.kind.value, fault.code) for fault in faults)
    for (kind, code), steps in sorted(tally.items(), key=lambda item: (-item[1], item[0])):
        told = f"kind: {kind} {name(code)}".rstrip() if code else f"kind: {kind}"
        yield Fact("kind", f"{told}: {counted(steps, 'step')}", count=steps)


def _cause(source: RunSource, one: FailureCause) -> Fact:
    evidence = tuple(source.evidence(source.run.index[step]) for step in one.steps[:3])
    where = "".join(f" {name(part)}" for part in (one.code, one.provider, one.place) if part)
    undo = " to undo" if one.state is DisplayState.UNDO_FAILED else ""
    hint = f" hint {fenced(one.hint, 120)}" if one.hint else ""
    steps = [*one.steps, *("" for _ in range(one.steps_more))]
    text = f"cause: {one.count} failed{undo}: {one.kind}{where}: {fenced(one.message)}{hint} in {ids(steps)}"
    at = f" event {evidence[0].seq}" if evidence else ""
    return Fact("cause", text + at, evidence, one.count)


def _stopped(run: Run) -> Iterator[Fact]:
    for lane, fault in run.stopped_lanes.items():
        yield Fact("stopped", f"stopped: nothing more is created at {name(lane)}: {fault.kind} {fenced(fault.message)}")


def _log_query(shown: Sequence[FailureCause]) -> str:
    return f"find log step={name(shown[0].steps[0])}" if shown else "find log"


def _output(source: RunSource, shown: Sequence[FailureCause]) -> Iterator[Fact]:
    """The last lines that the first step of each cause printed; the causes take turns."""
    tails = [_tail(source, one.steps[0]) for one in shown[:LOGS_MOST]]
    for turn in range(LINES_MOST):
        yield from (tail[turn] for tail in tails if turn < len(tail))


def _lines(source: RunSource, step: str) -> list[tuple[int, int, str]]:
    """Lines of a step's output that are not empty: the event, which line of it, and the text."""
    return [
        (seq, number, line)
        for seq, event in source.events_of(source.run.index[step])
        if isinstance(event, ev.StepOutput)
        for number, line in enumerate(event.lines, 1)
        if line.strip()
    ]


def _tail(source: RunSource, step: str) -> list[Fact]:
    """The newest lines of a step's output first; equal ones that follow one another are one."""
    folded: list[tuple[int, int, str, int]] = []
    for seq, number, line in reversed(_lines(source, step)):
        if folded and folded[-1][2] == line:
            folded[-1] = (*folded[-1][:3], folded[-1][3] + 1)
        elif len(folded) < LINES_MOST:
            folded.append((seq, number, line, 1))
        else:
            break
    return [
        Fact("output", f"output: {name(step)} event {seq}: {fenced(line)}{f' x{times}' if times > 1 else ''}",
             (Evidence(seq, step, number),), times)
        for seq, number, line, times in folded
    ]  # fmt: skip


def _contrast(run: Run, shown: Sequence[FailureCause]) -> Iterator[Fact]:
    """Where steps of the same operations did succeed."""
    wanted = {operation for one in shown[:LOGS_MOST] for operation in one.operations}
    worked: Counter[tuple[str, str, str]] = Counter()
    for step, record in zip(run.steps, run.records, strict=True):
        if record.state is StepState.SUCCEEDED and step.operation in wanted and step.counted:
            worked[step.operation, step.provider, step.request.zone] += 1
    for (operation, *place), steps in sorted(worked.items(), key=lambda item: (-item[1], item[0])):
        where = " ".join(name(part) for part in place if part) or "this machine"
        yield Fact("worked", f"worked: {counted(steps, 'step')} of {name(operation)} at {where}", count=steps)


def _blocked(view: RunView) -> Iterator[Fact]:
    for one in view.skipped:
        yield Fact("skipped", f"skipped: {counted(one.steps, 'step')} because {fenced(one.reason)}", count=one.steps)


def _against_earlier(source: RunSource) -> Iterator[Fact]:
    """What is different from the last run of this environment that completed."""
    earlier = source.earlier
    if earlier is None:
        return
    run, before = source.run, earlier.run
    yield Fact("earlier", f"last good run: {before.id} version {name(before.plan.version)}", (Evidence(0),))
    if before.plan.parallel_limit != run.plan.parallel_limit:
        text = f"difference: parallel_limit {before.plan.parallel_limit} -> {run.plan.parallel_limit}"
        yield Fact("difference", text)
    told = 0
    for i, record in enumerate(run.records):
        step = run.plan.steps[i]
        if record.state is not StepState.FAILED or told >= LOGS_MOST:
            continue
        told += 1
        old = before.index.get(step.id)
        if old is None:
            yield Fact("difference", f"difference: {name(step.id)} is new", (Evidence(0, step.id),))
            continue
        then, now = before.steps[old], run.steps[i]
        fields = (
            ("provider", then.provider, now.provider),
            ("zone", then.request.zone, now.request.zone),
            ("plan", then.request.plan, now.request.plan),
        )
        changed = [f"{field} {name(a)} -> {name(b)}" for field, a, b in fields if a != b]
        same = (
            "the same request succeeded" if before.records[old].state is StepState.SUCCEEDED else "it did not succeed"
        )
        text = f"difference: {name(step.id)}: {'; '.join(changed) if changed else f'then {same}'}"
        yield Fact("difference", text, (Evidence(0, step.id),))
