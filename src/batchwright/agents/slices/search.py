"""Rows that a query finds: steps, servers, operations, providers, causes, events, or lines of a step's log."""

from __future__ import annotations

from collections.abc import Callable

from batchwright.agents.slices.base import Evidence, Fact, Slice
from batchwright.agents.slices.run_source import RunSource, SliceQuery, evidence_of, ids, parsed, run_facts
from batchwright.agents.slices.token_budget import Section, fit
from batchwright.agents.slices.untrusted_text import fenced, name
from batchwright.errors import UsageError
from batchwright.model.run import Run
from batchwright.views.display_state import DisplayState
from batchwright.views.events import event_line
from batchwright.views.failure_causes import failure_causes
from batchwright.views.log_pages import LogQuery, LogSearch, step_entries
from batchwright.views.run import operation_progress, run_view
from batchwright.views.run_history import RunHistory
from batchwright.views.step_pages import StepOrder, StepQuery, StepRow, step_page
from batchwright.views.steps import servers, step_named
from batchwright.views.text_format import counted_of, duration
from batchwright.views.wait_reasons import ended_operations

KEYS = ("state", "operation", "provider", "server", "cause", "step", "text", "offset", "after")
ROWS_MOST, EVENTS_MOST, CAUSES_READ = 200, 2_000, 2_000
WHATS = ("steps", "servers", "operations", "providers", "causes", "events", "log")

_Rows = tuple[list[Fact], int]  # some rows, and how many more there are


def wanted_for_search(run: Run, history: RunHistory, query: str) -> list[int]:
    """The events of `events` from `after` on, or those of the step whose log is searched."""
    what, told = _asked(query)
    if what == "events":
        first = told.number("after") + 1
        return list(range(first, min(run.seq, first + ROWS_MOST - 1) + 1))
    if what == "log":
        step = run.step(step_named(run, _value(told, "step")))
        return [seq for seq in history.step_events[step] if seq <= run.seq][-EVENTS_MOST:]
    return []


def search_slice(source: RunSource, query: str, budget: int) -> Slice:
    """What a query finds: `WHAT key=value ... words`; WHAT is one of `WHATS`, steps if it is left out.

    `offset=N` leaves rows out; for events, `after=SEQ` does. Raises UsageError and StepNotFound.
    """
    what, told = _asked(query)
    run = source.run
    offset = told.number("after") if what == "events" else told.number("offset")
    rows, more = _FINDERS[what](source, told)
    key = "after" if what == "events" else "offset"
    kept = [f"{k}={v}" for k, v in told.values.items() if k != key]
    again = " ".join(["find", what, *kept, *told.words, f"{key}=" + "{shown}"])
    head = [
        run_facts(source)[0],
        Fact("found", f"found {counted_of(len(rows) + more, what)} from {offset}", count=len(rows) + more),
    ]
    section = Section(what, again, rows, more, begin=offset)
    return fit("find", run.id, run.seq, budget, head, (section,))


def _asked(query: str) -> tuple[str, SliceQuery]:
    told = parsed(query, KEYS)
    if told.words and told.words[0] in WHATS:
        return told.words[0], SliceQuery(told.words[1:], told.values)
    return "steps", told


def _value(told: SliceQuery, key: str) -> str:
    if key not in told.values:
        raise UsageError(f"{key}= is missing", hint=f"Write for instance: find log {key}=web/web-1")
    return told.values[key]


def _steps(source: RunSource, told: SliceQuery) -> _Rows:
    values = told.values
    states = [_state(one) for one in values.get("state", "").split(",") if one]
    query = StepQuery(
        states=states,
        operations=[values["operation"]] if "operation" in values else (),
        server=values.get("server", ""),
        provider=values.get("provider", ""),
        cause=values.get("cause", ""),
        find=" ".join([*told.words, values.get("text", "")]),
        order=StepOrder.PLAN if states else StepOrder.WORST,
        offset=told.number("offset"),
        limit=ROWS_MOST,
    )
    page = step_page(source.run, source.history, source.now, query)
    return [_step_row(source, one) for one in page.items], max(0, page.matching - query.offset - len(page.items))


def _state(word: str) -> DisplayState:
    try:
        return DisplayState(word)
    except ValueError:
        raise UsageError(f"no step is ever {word!r}", hint=f"The states are: {', '.join(DisplayState)}.") from None


def _step_row(source: RunSource, one: StepRow) -> Fact:
    place = f" at {name(one.provider)}" if one.provider else ""
    took = f" took {duration(one.ended_at - one.started_at)}" if one.ended_at and one.started_at else ""
    cause = f" {one.cause}" if one.cause else ""
    message = f": {fenced(one.message, 120)}" if one.message else ""
    text = f"{name(one.step)} {one.state}{place} attempt {one.attempt}{took}{cause}{message}"
    return Fact("step", text, (source.evidence(one.index),))


def _servers(source: RunSource, told: SliceQuery) -> _Rows:
    found, _ = servers(source.run, len(source.run.records))
    offset = told.number("offset")
    rows = [
        Fact(
            "server",
            f"{name(one.name)} {name(one.provider)} {name(one.zone)} {name(one.plan)} ref {name(one.ref)}"
            f"{f' address {name(one.address)}' if one.address else ''}{'' if one.ready else ' not ready'}"
            f"{'' if one.made else ' existed before'}",
            (Evidence(0, one.step),),
        )
        for one in found
        if all(word in (one.name, one.provider, one.zone) or word in one.name for word in told.words)
    ]
    return rows[offset : offset + ROWS_MOST], max(0, len(rows) - offset - ROWS_MOST)


def _operations(source: RunSource, told: SliceQuery) -> _Rows:
    run, shape = source.run, source.history.shape
    rows = [
        Fact(
            "operation",
            f"{name(one.id)} {one.type} {one.state} {one.done} of {one.total}"
            f"{f' waits for {ids(one.waiting_for)}' if one.waiting_for else ''}",
            count=one.total,
        )
        for one in operation_progress(run, shape, ended_operations(run, shape))
        if all(word in one.id for word in told.words)
    ]
    return rows[told.number("offset") :], 0


def _providers(source: RunSource, told: SliceQuery) -> _Rows:
    view = run_view(source.run, source.now, around=source.around, shape=source.history.shape)
    rows = [
        Fact(
            "provider",
            f"{name(one.name)} {one.done} of {one.total} failed {one.failed} retries {one.retries}"
            f" throttled {one.throttles}{f' held up {fenced(one.limit)}' if one.limit else ''}",
        )
        for one in view.providers
    ]
    stopped = [Fact("stopped", f"{name(lane)} stopped: {fenced(why)}") for lane, why in view.stopped_providers.items()]
    return [*stopped, *rows][told.number("offset") :], 0


def _causes(source: RunSource, told: SliceQuery) -> _Rows:
    causes = failure_causes(source.run, CAUSES_READ)
    wanted = told.values.get("cause", "")
    rows = [
        Fact(
            "cause",
            f"{one.count} {one.kind} {' '.join(name(part) for part in (one.code, one.provider, one.place) if part)}"
            f" {fenced(one.message, 120)} {ids(one.steps, 1)}",
            tuple(source.evidence(source.run.index[step]) for step in one.steps[:1]),
            one.count,
        )
        for one in causes.items
        if not wanted or wanted in (one.kind, one.code)
    ]
    return rows[told.number("offset") :], causes.items_more


def _events(source: RunSource, told: SliceQuery) -> _Rows:
    after = told.number("after")
    rows = [
        Fact(
            "event",
            f"{seq} +{duration(event.at - source.run.created_at)} {fenced(event_line(event), 160)}",
            (Evidence(seq, getattr(event, "step", "")),),
        )
        for seq, event in source.events
        if seq > after
    ]
    return rows, max(0, source.run.seq - after - len(rows))


def _log(source: RunSource, told: SliceQuery) -> _Rows:
    i = source.run.step(step_named(source.run, _value(told, "step")))
    text = " ".join([*told.words, told.values.get("text", "")]).strip()
    search = LogSearch(LogQuery(find=text, after=0, limit=EVENTS_MOST))
    entries = list(step_entries(source.history, i, source.run.seq, source.events_of(i)))
    lines = {one.n: evidence for one, evidence in evidence_of(entries)}
    search.take(entries)
    found = search.items[told.number("offset") :]
    rows = [
        Fact("log", f"line {one.n} event {one.seq} {fenced(one.text)}", (lines[one.n],)) for one in found[:ROWS_MOST]
    ]
    total = search.matching if text else len(entries)
    return rows, max(0, total - told.number("offset") - len(rows)) + source.unread(i)


_FINDERS: dict[str, Callable[[RunSource, SliceQuery], _Rows]] = {
    "steps": _steps,
    "servers": _servers,
    "operations": _operations,
    "providers": _providers,
    "causes": _causes,
    "events": _events,
    "log": _log,
}
