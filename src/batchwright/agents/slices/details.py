"""One thing in full: a step, an operation, a server, an event, or the open questions."""

from __future__ import annotations

from collections.abc import Iterator

from batchwright.agents.slices.base import Evidence, Fact, Slice
from batchwright.agents.slices.run_source import RunSource, evidence_of, run_facts
from batchwright.agents.slices.token_budget import Section, fit
from batchwright.agents.slices.untrusted_text import fenced, name
from batchwright.errors import UsageError
from batchwright.model.run import Run, made_something
from batchwright.operations.registry import type_of
from batchwright.views.approvals import OpenQuestion, open_questions
from batchwright.views.display_state import display_counts, display_state, operation_state, operation_states
from batchwright.views.events import event_line
from batchwright.views.log_pages import step_entries
from batchwright.views.planned_changes import change_words
from batchwright.views.run_history import RunHistory
from batchwright.views.step_card import Neighbour, dependents, prerequisites
from batchwright.views.step_event_chain import value_origins
from batchwright.views.step_explanation import waits_for
from batchwright.views.step_pages import StepRow, server_names, step_row
from batchwright.views.steps import step_named
from batchwright.views.text_format import counted, duration

QUESTIONS = "questions"
EVENTS_READ, LINES_MOST = 200, 60


def wanted_for_details(run: Run, history: RunHistory, query: str) -> list[int]:
    """The newest events of the step, or the event itself."""
    word = query.strip()
    if not word:
        raise UsageError("nothing to show", hint="Name a step, an operation, a server, an event's number or questions.")
    if word.isdigit():
        return [int(word)] if 1 <= int(word) <= run.seq else []
    if word == QUESTIONS or word in run.operation_index:
        return []
    own = [seq for seq in history.step_events[_step(run, word)] if seq <= run.seq]
    return own[-EVENTS_READ:]


def details_slice(source: RunSource, query: str, budget: int) -> Slice:
    """All about one thing: `query` is a step's id or its end, an operation, a server, an event's number, `questions`.

    Raises UsageError and StepNotFound.
    """
    run, word = source.run, query.strip()
    title = run_facts(source)[0]
    sections: tuple[Section, ...] = ()
    if word.isdigit():
        head = list(_event(source, int(word)))
    elif word == QUESTIONS:
        head = []
        sections = (Section("questions", "find state=asking", [_question(one) for one in open_questions(run)]),)
    elif word in run.operation_index:
        head, sections = [_operation(run, word)], _operation_sections(source, word)
    else:
        head, sections = _step_parts(source, _step(run, word))
    return fit("show", run.id, run.seq, budget, [title, *head], sections)


def _step(run: Run, word: str) -> int:
    """The step that a word means; the name of a server means the step that makes it."""
    if word not in run.index:
        names = server_names(run.plan)
        own = next((i for i, step in enumerate(run.plan.steps) if not step.server and names[i] == word), None)
        if own is not None:
            return own
    return run.step(step_named(run, word))


def _event(source: RunSource, seq: int) -> Iterator[Fact]:
    found = [event for number, event in source.events if number == seq]
    if not found:
        raise UsageError(f"run {source.run.id} has no event {seq}", hint=f"It has the events 1 to {source.run.seq}.")
    after = duration(found[0].at - source.run.created_at)
    step = getattr(found[0], "step", "")
    tag = found[0].__struct_config__.tag
    text = f"event {seq}: {tag} after {after}: {fenced(event_line(found[0]))}"
    yield Fact("event", text, (Evidence(seq, step),))


def _question(one: OpenQuestion) -> Fact:
    through = ", ".join(f"{number} {what}" for what, number in one.counts.items())
    given = f", {len(one.answers)} of {one.quorum} answers" if one.quorum > 1 else ""
    text = f"asks: {name(one.step)}: {fenced(one.question)}; a yes begins {through or 'nothing'}{given}"
    return Fact("asks", text, (Evidence(0, one.step),))


def _operation(run: Run, operation: str) -> Fact:
    at = run.operation_index[operation]
    op = run.plan.operations[at]
    counts = display_counts(run)[at]
    states = ", ".join(f"{number} {state}" for state, number in counts.items())
    where = f" at {name(op.provider)}" if op.provider else ""
    text = f"operation {name(op.id)}: {op.type}{where}, {operation_state(run, at, counts)}: {states}"
    limits = f"; at most {counted(op.retry.max_attempts, 'attempt')}, on failure {op.on_failure}"
    return Fact("operation", text + limits, count=sum(counts.values()))


def _operation_sections(source: RunSource, operation: str) -> tuple[Section, ...]:
    run = source.run
    at = run.operation_index[operation]
    needs = [Fact("needs", f"needs: {name(one.id)} ({one.kind})") for one in run.plan.operations[at].dependencies]
    then = [
        Fact("then", f"then: {name(op.id)} ({one.kind})")
        for op in run.plan.operations
        for one in op.dependencies
        if one.id == operation
    ]
    return (
        Section("operations that it needs", f"show {name(operation)}", needs),
        Section("operations where it is needed", f"show {name(operation)}", then),
    )


def _step_parts(source: RunSource, i: int) -> tuple[list[Fact], tuple[Section, ...]]:
    run, own = source.run, name(source.run.plan.steps[i].id)
    server = server_names(run.plan)[i]
    row = step_row(run, server, display_state(run, i), i, source.now)
    kind, step = type_of(run.steps[i]), run.steps[i]
    on = server if step.server else ""
    head = [
        _step_line(source, i, row),
        Fact("does", f"does: {fenced(kind.does(step, on))}"),
        Fact("undo", f"undo: {step.undo}{'' if made_something(run, i) else ', nothing to undo now'}"),
    ]
    waits = waits_for(run, i, source.now, source.around)
    values = [f"{one.reference} = {fenced(str(one.value), 120)}" for one in value_origins(run, i)]
    states = operation_states(run)
    needs, then = prerequisites(run, i, states), dependents(run, i, states)
    entries = list(step_entries(source.history, i, run.seq, source.events_of(i)))
    log = [
        Fact("log", f"log event {one.seq}: {fenced(one.text)}", (evidence,))
        for one, evidence in reversed(list(evidence_of(entries))[-LINES_MOST:])
    ]
    unread = len(entries) - len(log) + source.unread(i)
    sections = (
        Section("reasons to wait", f"show {own}", [Fact("waits", f"waits for: {fenced(one)}") for one in waits]),
        Section("changes", f"show {own}", [Fact("change", f"change: {fenced(change_words(c))}") for c in step.changes]),
        Section("lines of its log", f"find log step={own}", log, unread, 3),
        Section("steps that it needs", f"show {own}", [_neighbour("needs", one) for one in needs]),
        Section("steps where it is needed", f"show {own}", [_neighbour("then", one) for one in then]),
        Section("values", f"show {own}", [Fact("value", f"value: {one}") for one in values]),
    )
    return head, sections


def _neighbour(kind: str, one: Neighbour) -> Fact:
    return Fact(kind, f"{kind}: {name(one.step or one.operation)} {one.state}", (Evidence(0, one.step),))


def _step_line(source: RunSource, i: int, row: StepRow) -> Fact:
    parts = [f"step {name(row.step)}: {row.state}", f"attempt {row.attempt}"]
    if row.provider:
        parts.append(f"at {name(row.provider)}{f' {name(zone)}' if (zone := source.run.steps[i].request.zone) else ''}")
    parts += [f"server {name(row.server)}"] if row.server else []
    parts += [f"ref {name(row.ref)}"] if row.ref else []
    parts += [f"address {name(row.address)}"] if row.address else []
    if row.ended_at and row.started_at:
        parts.append(f"took {duration(row.ended_at - row.started_at)}")
    elif row.attempt_at:
        parts.append(f"since {duration(source.now - row.attempt_at)}")
    if row.cause:
        parts.append(f"{row.cause} {name(row.code)}".strip() if row.code else row.cause)
    if row.message:
        parts.append(fenced(row.message))
    return Fact("step", ", ".join(parts), (source.evidence(i),))
