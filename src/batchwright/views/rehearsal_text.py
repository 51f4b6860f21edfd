"""A rehearsal's report for a terminal of 80 columns."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

from batchwright.views.rehearsal import (
    OUTCOMES,
    RehearsalFinding,
    RehearsalMoment,
    RehearsalRow,
    RehearsalSpread,
    RehearsalView,
    RepeatedExperiment,
    fault_words,
)
from batchwright.views.text_format import counted, duration

WIDTH = 80
_SIGNS = {"broken": "!", "stuck": "!", "help": "?", "rolled_back": "<", "same": "."}
_FINDINGS_MOST = 12


def rehearsal_lines(view: RehearsalView) -> Iterator[str]:
    """The report, line by line."""
    yield from _wrapped(view.headline, "  ")
    yield from _wrapped(_tried(view), "  ")
    yield ""
    for finding in view.findings[:_FINDINGS_MOST]:
        yield from _finding(finding)
        yield ""
    if len(view.findings) > _FINDINGS_MOST:
        yield f"{counted(len(view.findings) - _FINDINGS_MOST, 'more finding')}: --json or --html shows them all"
        yield ""
    if view.repeated is not None:
        yield from _repeated(view.repeated)
        yield ""
    if view.matrix and view.repeated is None:
        yield "What happened where (runs; . as without the fault, < rolled back,"
        yield "? with a person's help, ! not right):"
        for row in view.matrix:
            yield from _row(row)
        yield ""
    yield from _wrapped("Faults that took place: " + _fired(view), "  ")
    yield from _wrapped("Time of a run: " + _spread(view.duration, duration), "  ")
    for currency, spread in view.cost.items():
        yield from _wrapped(f"Cost of a run: {_spread(spread, lambda x: f'{x:.4f}')} {currency}", "  ")
    found = view.self_check
    yield from _wrapped(
        f"Self-check: the bug planted in this rehearsal ({found.bug}) was "
        + (f"found after {counted(found.runs, 'run')}." if found.found else "NOT found."),
        "  ",
    )
    if view.not_explored and view.repeated is None:
        yield "Not looked at:"
        for one in view.not_explored:
            yield from _wrapped(f"- {one}", "  ")
    yield "A simulation cannot tell:"
    for one in view.cannot_tell:
        yield from _wrapped(f"- {one}", "  ")


def _tried(view: RehearsalView) -> str:
    seen = view.coverage
    parts = [f"{counted(view.steps, 'step')} of {view.workflow}"]
    if seen.kinds:
        parts += [
            f"{seen.kinds_done:,} of {seen.kinds:,} kinds of fault at a call",
            f"{seen.nested_done:,} of {seen.nested:,} inside a recovery",
            f"{seen.alike_done:,} of {seen.alike:,} at calls like one of them",
            f"{seen.chance:,} at random",
            f"{seen.points:,} points at which a process may die, {seen.same:,} of which leave what another one leaves",
        ]
    return ", ".join(parts) + f"; {duration(seen.seconds)}, seed {view.seed}"


def _finding(one: RehearsalFinding) -> Iterator[str]:
    place = f"{one.file}:{one.line}: " if one.line else ""
    yield from _wrapped(f"{one.level} {one.id}: {place}{one.title}", "  ")
    if one.fault:
        yield from _wrapped(f"  when {fault_words(one.fault)}", "    ")
    yield from _wrapped(f"  in {counted(one.runs, 'run')}; {one.do}", "    ")
    if one.instead:
        yield from _wrapped(f"  instead: {one.instead}", "    ")
    yield f"  repeat: {one.repeat}"


def _repeated(one: RepeatedExperiment) -> Iterator[str]:
    yield from _wrapped(f"{one.at}: {OUTCOMES[one.outcome]} ({one.status or 'no end'}).", "  ")
    for missed in one.missed:
        yield from _wrapped(f"  {missed} did not take place: the run made no such call", "    ")
    yield from _timeline(one.timeline)


def _timeline(moments: tuple[RehearsalMoment, ...]) -> Iterator[str]:
    """Two tracks: processes on the left, the world on the right."""
    yield f"  {'time':>10}  {'processes':<32}world"
    for one in moments:
        left = f"{one.process}: {one.what}" if one.process else ""
        right = "" if one.process else one.what
        yield f"  {duration(one.at):>10}  {left:<31} {right}".rstrip()


def _row(row: RehearsalRow) -> Iterator[str]:
    cells = []
    for cell in row.cells:
        counts = "".join(f"{count}{sign}" for kind, sign in _SIGNS.items() if (count := getattr(cell, kind)))
        cells.append(f"{cell.fault} {counts}")
    yield from _wrapped(f"  {row.operation}: " + ", ".join(cells), "      ")


def _fired(view: RehearsalView) -> str:
    return ", ".join(f"{one.fault} {one.fired:,}" for one in view.faults if one.fired) or "none"


def _spread(spread: RehearsalSpread, shown: object) -> str:
    assert callable(shown)
    words = (shown(spread.undisturbed), shown(spread.median), shown(spread.p90), shown(spread.most))
    return f"{words[0]} without faults; with faults {words[1]} (median), {words[2]} (9 of 10), {words[3]} at most"


def _wrapped(text: str, indent: str) -> list[str]:
    first = text[: len(text) - len(text.lstrip())]
    return textwrap.wrap(
        text, WIDTH, initial_indent=first, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )
