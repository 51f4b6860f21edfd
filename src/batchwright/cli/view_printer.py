"""Prints views as text for people, one function per view, to stdout."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from rich.text import Text

from batchwright.cli.output import err, out, print_json, say
from batchwright.cli.progress_frame import (
    failed_texts,
    header,
    operation_lines,
    progress_words,
    status_words,
    trouble_lines,
    troubles,
    waiting_lines,
)
from batchwright.cli.table import Cell, table
from batchwright.cli.text_layout import hanging, labelled
from batchwright.engine.rollback_preview import UndoKind
from batchwright.model.lifecycle import RUN_ENDED
from batchwright.model.templates import joined
from batchwright.views.logs import log_text
from batchwright.views.planned_changes import (
    VALUE_SHOWN,
    PlannedChangeLine,
    Symbol,
    change_words,
    counts_words,
    is_unchanged,
)
from batchwright.views.run_provenance import inputs_line
from batchwright.views.steps import ROLLBACK
from batchwright.views.text_format import counted, duration, one_line

if TYPE_CHECKING:
    from batchwright.engine.rollback_preview import PlannedUndo
    from batchwright.model.run_summary import RunSummary
    from batchwright.providers.base import Quote
    from batchwright.views.logs import LogLine
    from batchwright.views.plan import Counts, PlannedValueView, PlanView, StepView
    from batchwright.views.run import RunView
    from batchwright.views.run_list import Listing, RunLine
    from batchwright.views.stats_over_runs import Stats
    from batchwright.views.step_explanation import Explanation
    from batchwright.views.steps import ServerLine, StepLine

WIDTH_MAX = 120
VALUES_SHOWN = 20  # of the references of a plan
LINES_SHOWN = 60  # lines of changes of a plan
STEPS_SHOWN = 40  # steps of a rollback that are printed; --json has all
SERVERS_SHOWN = 12
SYMBOL_STYLES = {
    Symbol.CREATE: "green",
    Symbol.UPDATE: "yellow",
    Symbol.MAYBE: "yellow",
    Symbol.REPLACE: "red",
    Symbol.RETIRE: "red",
    Symbol.RUN: "cyan",
    Symbol.CHECK: "cyan",
    Symbol.ASK: "cyan",
    Symbol.KEEP: "",
}
UNDO_VERBS = {UndoKind.BLOCKED: "cannot destroy: attached is", UndoKind.FINISH: "finish the removal that has begun:"}
NOTHING_TO_DO = {
    UndoKind.WITH_SERVER: "goes with its server",
    UndoKind.STAYS: "stays",
    UndoKind.GONE: "is gone and cannot be brought back",
    UndoKind.UNKNOWN: "what is attached is unknown",
}


def text_width() -> int:
    """The width to wrap text at, within bounds. Without a terminal nothing is wrapped or cut."""
    console = out()
    return min(WIDTH_MAX, console.width) if console.is_terminal else 10_000


def show_table(headers: Sequence[str], rows: Iterable[Sequence[Cell]], *, right: Iterable[int] = ()) -> None:
    """Print a table that fits the screen."""
    for line in table(headers, rows, text_width(), right=right):
        say(line)


def clock_time(at: float) -> str:
    """A time, formatted in local time."""
    return datetime.fromtimestamp(at).astimezone().strftime("%Y-%m-%d %H:%M:%S") if at else "-"


# -- a run ----------------------------------------------------------------------------------------------------------


def show_run(view: RunView) -> None:
    """Print the whole state of a run, with bounded lists."""
    say(header(view, text_width()))
    show_reason(view)
    started = f"started {clock_time(view.started_at)}" if view.started_at else f"created {clock_time(view.created_at)}"
    ended = f", ended {clock_time(view.ended_at)}" if view.ended_at and view.status in RUN_ENDED else ""
    simulated = ", simulated" if view.simulated else ""
    say(f"  {started}{ended}")
    say(f"  store {view.store}{simulated}, at most {counted(view.parallel_limit, 'step')} at a time")
    if told := inputs_line(view.inputs):
        say(f"  from {told}")
    say(f"  {progress_words(view)}{_tally(view)}")
    for text in operation_lines(view.operations, 20):
        say(text)
    running = [
        f"{line.step}  {line.doing}"
        + (f" for {duration(line.since)}" if line.since is not None else "")
        + (f": {one_line(line.said, 80)}" if line.said else "")
        if view.driven
        else f"{line.step}  was in flight when the driving process ended"
        for line in view.running[:10]
    ]
    left = len(view.running) + view.running_more - len(running)
    block("running" if view.driven else "in doubt", [*running, *([f"and {left:,} more in flight"] if left else [])])
    for text in waiting_lines(view, text_width(), 10):
        say(text)
    block("asks", [f"{one.step}: {one_line(one.question)}" for one in view.asks], "yellow")
    show_outcome(view)
    block("next", [view.next])


def show_end(view: RunView, took: float) -> None:
    """Print how a run ended that this command drove for `took` seconds."""
    status = Text.assemble(status_words(view.status, degraded=bool(view.degraded)), f" in {duration(took)}: ")
    say(status.append(f"{progress_words(view)}{_tally(view)}"))
    show_reason(view)
    for text in operation_lines(view.operations, 12):
        say(text)
    show_outcome(view)
    block("look", [f"batchwright status {view.run}"])
    block("next", [view.next])


def show_outcome(view: RunView) -> None:
    """Print what failed and why, what was skipped, which servers exist and what is left over."""
    block("failed", failed_texts(view, 8), "red")
    block("hint", list(dict.fromkeys(f.hint for f in view.failed if f.hint))[:5])
    block("skipped", [f"{one.steps:,} because {one.reason}" for one in view.skipped[:5]], "yellow")
    block("not wanted", [f"{one.steps:,} because {one.reason}" for one in view.not_wanted[:5]])
    for text in trouble_lines(view):
        say(text)
    show_servers(view.run, view.servers, view.servers_more)
    more = [f"and {len(view.residue) - 10:,} more: batchwright status {view.run} --json"]
    block("left", [*view.residue[:10], *(more if len(view.residue) > 10 else [])], "red")


def block(label: str, texts: Sequence[str], style: str = "") -> None:
    """Print a labelled block, wrapped at words on a terminal."""
    for text in labelled(label, texts, style, text_width()):
        say(text)


def show_reason(view: RunView) -> None:
    """Print why the run ended as it did, unless the line above has said so."""
    tally = f"{view.counts.get('failed', 0)} failed, {view.counts.get('skipped', 0)} skipped"
    if view.reason and view.reason not in (tally, view.status.value.lower()):
        block("because", [one_line(view.reason)])


def _tally(view: RunView) -> str:
    return "".join(f", {fact}" for fact, _ in troubles(view))


def show_servers(run: str, servers: Sequence[ServerLine], more: int) -> None:
    """Print the servers that exist: all if they are few, otherwise the first ones."""
    total = len(servers) + more
    shown = servers if total <= SERVERS_SHOWN else servers[:5]
    rows = [(s.name, s.address or "no address yet", f"{s.provider} {s.zone}", s.ref + _remarks(s)) for s in shown]
    widths = [max((len(row[i]) for row in rows), default=0) for i in range(3)]
    texts = ["  ".join([*(f"{cell:<{w}}" for cell, w in zip(row, widths, strict=False)), row[3]]) for row in rows]
    left = total - len(shown)
    for text in labelled(
        "servers", [*texts, *([f"and {left:,} more: batchwright status {run} --steps"] if left else [])]
    ):
        say(text)


def _remarks(server: ServerLine) -> str:
    return ("" if server.made else ", kept") + ("" if server.ready else ", not ready")


def show_steps(lines: Sequence[StepLine]) -> None:
    """Print every step in a table."""
    rows = (
        (
            line.step,
            line.state.replace("_", " "),
            str(line.attempt or ""),
            duration(line.took) if line.took is not None else "",
            line.address,
            one_line(line.message, 80),
        )
        for line in lines
    )
    show_table(("step", "state", "attempt", "took", "address", "note"), rows, right=(2, 3))


def show_preview(run: str, undos: Sequence[PlannedUndo], *, to_stderr: bool = False) -> None:
    """Print what a rollback would do, in its order."""
    console = err() if to_stderr else out()
    if not undos:
        console.print(Text(f"run {run}: nothing to undo"))
        return
    console.print(Text(f"run {run}: a rollback would do this, in this order:"))
    most = 12 if to_stderr else STEPS_SHOWN
    for one in undos[:most]:
        verb = UNDO_VERBS.get(one.what, one.what.value)
        what = NOTHING_TO_DO.get(one.what) or f"{verb} {one.ref}".rstrip()
        extra = f"  ({one.note})" if one.note else ""
        place = f"  {one.provider}" if one.provider else ""
        console.print(Text(f"  {one.step}{place}: {what}{extra}"))
    if len(undos) > most:
        console.print(Text(f"  and {len(undos) - most:,} more: batchwright rollback {run} --plan --json"))


# -- a plan ---------------------------------------------------------------------------------------------------------


def show_brief(view: PlanView) -> None:
    """Print a plan in three lines."""
    simulated = ", every provider simulated" if view.simulated else ""
    steps = sum(op.steps for op in view.operations)
    what = f"{counted(steps, 'step')} in {counted(len(view.operations), 'operation')}{simulated}"
    say(Text.assemble((f"{view.environment} {view.version}", "bold"), f": {what}"))
    pace = f"; {view.parallel_limit:,} at a time, about {duration(view.estimate.least)}"
    block("will", [f"{counts_words(view.difference)}{'' if is_unchanged(view.difference) else pace}"])
    block("plan", [f"{view.hash}, store {view.storage_backend}"])


def show_plan(
    view: PlanView, quotes: Mapping[str, Quote], worst_cost: Mapping[str, float] = {}, *, steps: bool = False
) -> None:
    """Print what changes and from what to what, and the estimated time and price; with `steps` every step instead."""
    show_brief(view)
    texts = []
    for name, counts in view.providers.items():
        parts = [f"{word} {number:,}" for word, number in _counts(counts)]
        price = quotes.get(name)
        cost = f", {price.per_hour:.4g} {price.currency} per hour" if price else ""
        at = f" at {view.places[name]}" if name in view.places else ""
        texts.append(f"{name}{at}: {', '.join(parts)}{cost}")
    if worst_cost:
        amounts = " and ".join(f"{amount:.4g} {currency}" for currency, amount in worst_cost.items())
        texts.append(f"at most {amounts} per hour, wherever the servers go")
    block("providers", texts)
    block("note", list(view.notes))
    _show_values(view.values)
    if steps:
        say("")
        _show_plan_steps(view)
    elif lines := view.lines:
        say("")
        _show_difference(lines)
    if is_unchanged(view.difference):
        return
    path = view.estimate.critical_path
    shown = " -> ".join(path if len(path) <= 6 else (*path[:3], f"{len(path) - 5} more", *path[-2:]))
    say("")
    say(f"critical path: {shown} ({duration(view.estimate.critical_seconds)})")


def _show_values(values: Sequence[PlannedValueView]) -> None:
    """What references stand for, as far as it is known."""
    told = [
        f"${{{one.reference}}}: {one.when if one.value is None else one_line(joined(one.value), VALUE_SHOWN)}"
        for one in values[:VALUES_SHOWN]
    ]
    more = len(values) - VALUES_SHOWN
    block("values", [*told, *([f"and {more:,} more: --json has them all"] if more > 0 else [])])


def _show_difference(lines: Sequence[PlannedChangeLine]) -> None:
    for line in lines[:LINES_SHOWN]:
        told = f"{line.what}: {'; '.join(line.details)}" if line.details else line.what
        first, *rest = hanging(f"{line.symbol:>4} {told}", 9, text_width())
        say(Text.assemble((first[:4], SYMBOL_STYLES[line.symbol]), first[4:]))
        for text in rest:
            say(text)
    if len(lines) > LINES_SHOWN:
        say(f"and {len(lines) - LINES_SHOWN:,} more changes: --steps shows every step")


def _show_plan_steps(view: PlanView) -> None:
    by_operation: dict[str, list[StepView]] = {}
    for step in view.steps:
        by_operation.setdefault(step.operation, []).append(step)
    for op in view.operations:
        after = [f"{d.id}{' (soft)' if d.kind == 'soft' else ''}" for d in op.dependencies if d.kind != "failed"]
        behind = f", after {', '.join(after)}" if after else ""
        behind += "".join(f", {condition}" for condition in op.conditions)
        place = f" on {op.provider}" if op.provider else ""
        say(Text.assemble((op.id, "bold"), f"  {op.type}{place}, {counted(op.steps, 'step')}{behind}"))
        for step in by_operation.get(op.id, ()):
            say(f"{step.symbol or '':>4} {step.does}")
            for change in step.changes:
                say(f"         {change_words(change)}")
            say(Text(f"         undo: {step.undoes}", "bright_black"))


def _counts(counts: Counts) -> list[tuple[str, int]]:
    return [(action, number) for action, number in counts.items() if number]


# -- many runs ------------------------------------------------------------------------------------------------------


def show_listing(view: Listing, place: str) -> None:
    """Print one line per run. `place` is the store or service they come from."""
    if not view.runs:
        say(f"no runs in {place}")
        return
    rows = (
        (
            row.run,
            _status(row),
            f"{row.undone if row.status in ROLLBACK else row.succeeded:,}/{row.steps:,}",
            f"{row.failed:,}" if row.failed else "",
            clock_time(row.created_at)[5:16],
            duration(row.elapsed) if row.elapsed else "",
            "yes" if row.simulated else "",
            f"{row.environment} {row.version}",
        )
        for row in view.runs
    )
    show_table(("run", "status", "steps", "failed", "created", "took", "sim", "workflow"), rows, right=(2, 3, 5))
    if any(not row.driven and row.status not in RUN_ENDED and not row.asks for row in view.runs):
        say("! no process drives it; continue it with: batchwright resume RUN")
    if any(row.asks for row in view.runs):
        say("(asks) it waits for an answer: batchwright approvals")
    if view.more:
        say(f"and {view.more:,} more: --limit 0 shows all")


def _status(row: RunLine) -> Text:
    words, style = status_words(row.status, degraded=row.degraded > 0)
    if row.asks:
        return Text(f"{words} (asks)", style)
    mark = " (archived)" if row.archive else "" if row.driven or row.status in RUN_ENDED else " !"
    return Text(words + mark, style)


def show_archived(row: RunSummary) -> None:
    """Print what is left to say of a run whose events are in an archive."""
    say(f"{row.run}  {row.environment_key.name} {row.version}: {row.status}, {counted(row.steps, 'step')}")
    say(f"  created   {clock_time(row.created_at)}" + (f" by {row.by}" if row.by else ""))
    say(f"  archived  {clock_time(row.archived_at)}: its events are in {row.archive}")
    say(f"  next      to have them back: batchwright store import {row.archive}")


def show_stats(view: Stats) -> None:
    """Print statistics over many runs."""
    since = f" since {clock_time(view.since)}" if view.since else ""
    say(f"{counted(view.runs, 'run')}{since}" + "".join(f", {n:,} {s}" for s, n in view.by_status.items()))
    if view.success_rate is not None:
        say(f"  completed {view.success_rate:.1%} of the runs that ended and were not rolled back")
    if view.degraded:
        say(f"  {counted(view.degraded, 'completed run')} degraded: some steps did not succeed")
    if view.p50 is not None and view.p95 is not None:
        say(f"  a completed run took {duration(view.p50)} (median), {duration(view.p95)} (95th percentile)")
    words = ("succeeded", "failed", "skipped", "not_wanted", "undone")
    facts = ((word.replace("_", " "), getattr(view, word)) for word in words)
    say(f"  {counted(view.steps, 'step')}" + "".join(f", {n:,} {w}" for w, n in facts if n))
    say(f"  retries {view.retries:,}, throttled {view.throttles:,} x, restarts {view.restarts:,}")
    if view.providers:
        rows = (
            (p.name, *(f"{n:,}" for n in (p.steps, p.succeeded, p.failed, p.retries, p.throttles)))
            for p in view.providers
        )
        headers = ("provider", "steps", "succeeded", "failed", "retries", "throttles")
        show_table(headers, rows, right=range(1, 6))


def show_explanation(view: Explanation) -> None:
    """Print the answer first, then the chain of events that led to it."""
    wide = text_width()
    lines = hanging(f"{view.step}: {view.summary}", 4, wide)
    for link in view.chain:
        lines += hanging(f"{'+' + duration(link.after):>12}  {link.text}", 14, wide)
    for line in lines:
        say(line)
    block("waits for", view.waits_for)
    block("from", [view.planned_from] if view.planned_from else [])
    block("next", [view.next])


def show_log(lines: Iterable[LogLine], *, json: bool) -> None:
    """Output lines as they are, headings with their time."""
    for line in lines:
        if json:
            print_json(line)
        else:
            say(Text(log_text(line), "bold" if line.heading else ""))
