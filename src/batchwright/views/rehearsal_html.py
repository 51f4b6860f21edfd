"""A rehearsal's report as one HTML file that needs nothing else: no script, no picture, no font."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape

from batchwright.views.rehearsal import (
    OUTCOMES,
    RehearsalFinding,
    RehearsalMoment,
    RehearsalRow,
    RehearsalSpread,
    RehearsalView,
    fault_words,
)
from batchwright.views.text_format import counted, duration

_STYLE = """
:root { color-scheme: light dark; font: 16px/1.45 system-ui, sans-serif; }
body { max-width: 70rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; } td, th { padding: .2rem .6rem; text-align: left; vertical-align: top; }
th { font-weight: 600; } .wide { overflow-x: auto; } code { font-size: .9em; overflow-wrap: anywhere; }
.finding { border-left: .3rem solid #888; padding: .1rem 1rem; margin: 1rem 0; }
.error { border-color: #c02020; } .warning { border-color: #b07000; } .note { border-color: #4080c0; }
.matrix td, .matrix th { border: 1px solid #8884; } .bad { background: #c0202033; } .help { background: #b0700022; }
.mark { font-weight: 600; } .time { text-align: right; white-space: nowrap; }
svg { width: 100%; height: auto; } svg text { font: 11px system-ui, sans-serif; fill: currentColor; }
"""
_LANE, _WIDTH, _LEFT = 22, 900, 90  # pixels


def rehearsal_html(view: RehearsalView) -> str:
    """The whole page."""
    return "\n".join(_page(view)) + "\n"


def _page(view: RehearsalView) -> Iterator[str]:
    title = escape(f"Rehearsal of {view.workflow}")
    yield '<!doctype html><html lang="en"><head><meta charset="utf-8">'
    yield '<meta name="viewport" content="width=device-width, initial-scale=1">'
    yield f"<title>{title}</title><style>{_STYLE}</style></head><body><h1>{title}</h1>"
    yield f"<p><strong>{escape(view.headline)}</strong></p><p>{escape(_tried(view))}</p>"
    yield "<h2>Findings</h2>" if view.findings else "<p>There are no findings.</p>"
    for finding in view.findings:
        yield from _finding(finding)
    if view.repeated is not None:
        said = f"{view.repeated.at}: {OUTCOMES[view.repeated.outcome]} ({view.repeated.status or 'no end'})"
        yield f"<h2>The experiment</h2><p>{escape(said)}.</p>"
        yield from _timeline(view.repeated.timeline)
    yield "<h2>What happened where</h2>"
    yield from _matrix(view)
    yield "<h2>Faults</h2><table><tr><th>fault</th><th>took place</th><th>what it is</th></tr>"
    for one in view.faults:
        yield f"<tr><td>{one.fault}</td><td>{one.fired:,}</td><td>{escape(one.meaning)}</td></tr>"
    yield "</table><h2>Time and cost of a run</h2><table>"
    yield "<tr><th></th><th>without faults</th><th>median</th><th>9 of 10</th><th>at most</th></tr>"
    yield _spread("time", view.duration, seconds=True)
    for currency, spread in view.cost.items():
        yield _spread(f"cost, {currency}", spread, seconds=False)
    yield "</table>"
    yield f"<h2>Can this be believed?</h2><p>{escape(_self_check(view))}</p>"
    yield from _list("Not looked at", view.not_explored)
    yield from _list("What a simulation cannot tell", view.cannot_tell)
    yield "</body></html>"


def _tried(view: RehearsalView) -> str:
    seen = view.coverage
    parts = (
        f"{seen.kinds_done:,} of {seen.kinds:,} kinds of fault at a call",
        f"{seen.nested_done:,} of {seen.nested:,} inside a recovery",
        f"{seen.alike_done:,} of {seen.alike:,} at calls like one of them",
        f"{seen.chance:,} at random",
    )
    took = f"{duration(seen.seconds)}, seed {view.seed}"
    return f"{view.file}: {counted(view.steps, 'step')}; {', '.join(parts)}; {took}"


def _self_check(view: RehearsalView) -> str:
    found = view.self_check
    planted = f"A bug was planted in this rehearsal ({found.bug}: {found.meaning})"
    return f"{planted} and found after {counted(found.runs, 'run')}." if found.found else f"{planted} and NOT found."


def _finding(one: RehearsalFinding) -> Iterator[str]:
    place = f"<code>{escape(one.file)}:{one.line}</code> " if one.line else ""
    yield f'<section class="finding {one.level}"><h3>{one.level} {one.id}: {escape(one.title)}</h3><p>{place}'
    yield f"When {escape(fault_words(one.fault))}; in {counted(one.runs, 'run')}.</p><p>{escape(one.do)}</p>"
    if one.instead:
        yield f"<p>Instead: {escape(one.instead)}</p>"
    yield f"<p>Repeat: <code>{escape(one.repeat)}</code></p>"
    yield from _timeline(one.timeline)
    yield "</section>"


def _timeline(moments: tuple[RehearsalMoment, ...]) -> Iterator[str]:
    if not moments:
        return
    yield "<details><summary>Timeline</summary>"
    yield _lanes(moments)
    yield '<div class="wide"><table><tr><th>time</th><th>processes</th><th>the world</th></tr>'
    for moment in moments:
        what = escape(f"{moment.process}: {moment.what}" if moment.process else moment.what)
        cells = f"<td>{what}</td><td></td>" if moment.process else f"<td></td><td>{what}</td>"
        marked = ' class="mark"' if moment.mark else ""
        yield f'<tr{marked}><td class="time">{duration(moment.at)}</td>{cells}</tr>'
    yield "</table></div></details>"


def _lanes(moments: tuple[RehearsalMoment, ...]) -> str:
    """The lives of processes above, the world below."""
    last = max(moment.at for moment in moments) or 1.0
    rows = [*sorted({moment.process for moment in moments if moment.process}), 0]
    height = _LANE * len(rows) + 8
    parts = [f'<svg viewBox="0 0 {_WIDTH} {height}" role="img" aria-label="timeline">']
    for n, row in enumerate(rows):
        y = n * _LANE + _LANE // 2 + 4
        own = [moment for moment in moments if moment.process == row]
        parts.append(f'<text x="0" y="{y + 4}">{f"process {row}" if row else "the world"}</text>')
        if own:
            begin, end = (_x(one.at, last) for one in (own[0], own[-1]))
            parts.append(f'<line x1="{begin}" y1="{y}" x2="{end}" y2="{y}" stroke="currentColor" stroke-opacity=".4"/>')
        for moment in own:
            colour = {"dies": "#c02020", "fault": "#c02020", "help": "#4080c0"}.get(moment.mark, "currentColor")
            label = escape(f"{duration(moment.at)} {moment.what}", quote=True)
            place = f'cx="{_x(moment.at, last)}" cy="{y}" r="{5 if moment.mark else 3}"'
            parts.append(f'<circle {place} fill="{colour}"><title>{label}</title></circle>')
    return "".join([*parts, "</svg>"])


def _x(at: float, last: float) -> int:
    return round(_LEFT + (_WIDTH - _LEFT - 10) * at / last)


def _matrix(view: RehearsalView) -> Iterator[str]:
    tried = {cell.fault for row in view.matrix for cell in row.cells}
    faults = [one.fault for one in view.faults if one.fault in tried]
    yield "<p>Runs with each fault, and how many of them needed a person (?), took themselves back (&lt;) or were not"
    yield "right (!)."
    yield '</p><div class="wide"><table class="matrix"><tr><th></th>'
    yield "".join(f"<th>{fault}</th>" for fault in faults) + "</tr>"
    for row in view.matrix:
        yield f"<tr><th>{escape(row.operation)}</th>{_cells(row, faults)}</tr>"
    yield "</table></div>"


def _cells(row: RehearsalRow, faults: list[str]) -> str:
    cells = {cell.fault: cell for cell in row.cells}
    drawn = []
    for fault in faults:
        cell = cells.get(fault)
        if cell is None:
            drawn.append("<td></td>")
            continue
        bad = cell.broken + cell.stuck
        words = f"{cell.runs}" + "".join(
            f", {count}{sign}" for count, sign in ((cell.help, "?"), (cell.rolled_back, "&lt;"), (bad, "!")) if count
        )
        kind = ' class="bad"' if bad else ' class="help"' if cell.help else ""
        drawn.append(f"<td{kind}>{words}</td>")
    return "".join(drawn)


def _spread(name: str, spread: RehearsalSpread, *, seconds: bool) -> str:
    numbers = (spread.undisturbed, spread.median, spread.p90, spread.most)
    cells = "".join(f"<td>{duration(one) if seconds else f'{one:.4f}'}</td>" for one in numbers)
    return f"<tr><th>{escape(name)}</th>{cells}</tr>"


def _list(title: str, lines: tuple[str, ...]) -> Iterator[str]:
    if lines:
        yield f"<h2>{title}</h2><ul>" + "".join(f"<li>{escape(line)}</li>" for line in lines) + "</ul>"
