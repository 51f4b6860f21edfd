"""A plan as Markdown, for the comment on a pull request: bounded in size, and no text from outside is Markdown itself.

What comes from a file, a provider or a person stands in code spans: there nothing is a mention, a link, a table's
border or HTML.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from batchwright.model.diagnostic import Diagnostic, Severity
from batchwright.views.plan import PlanView
from batchwright.views.planned_changes import PlannedChangeLine, Symbol, counts_words
from batchwright.views.text_format import counted, duration, one_line

BYTES_MAX = 60_000  # GitHub takes 65,536 characters
TEXT_MAX = 300  # characters of one text
DETAILS_MAX = 12  # of one line
TABLE = ["| | what | change |", "|--|--|--|"]


def plan_markdown(view: PlanView, diagnostics: Sequence[Diagnostic]) -> str:
    """The plan: counts, what changes, what to mind, and the hash that `run --plan-hash` takes."""
    head = [
        f"### Plan of {code(view.environment)} {code(view.version)}",
        "",
        f"**{counts_words(view.difference)}**" + ("  (every provider simulated)" if view.simulated else ""),
        "",
    ]
    tail = [f"Plan {code(view.hash)}, about {duration(view.estimate.least)}."]
    rows = (_row(line) for line in sorted(view.lines, key=lambda line: line.symbol is Symbol.RETIRE))
    return _bounded(head, TABLE if not _is_empty(view) else [], rows, diagnostics, tail)


def refusal_markdown(name: str, diagnostics: Sequence[Diagnostic]) -> str:
    """Why there is no plan."""
    errors = sum(one.severity is Severity.ERROR for one in diagnostics)
    head = [f"### No plan of {code(name)}", "", f"**{counted(errors, 'problem')}; nothing was changed**", ""]
    return _bounded(head, [], (), diagnostics, [])


def _is_empty(view: PlanView) -> bool:
    return not view.lines


def _row(line: PlannedChangeLine) -> str:
    details = [code(one) for one in line.details[:DETAILS_MAX]]
    if len(line.details) > DETAILS_MAX:
        details.append(f"and {len(line.details) - DETAILS_MAX} more")
    return f"| {code(line.symbol)} | {code(line.what)} | {'<br>'.join(details)} |"


def _note(one: Diagnostic) -> str:
    return f"- {code(str(one))}" + (f"<br>{code(one.hint)}" if one.hint else "")


def _bounded(
    head: Sequence[str],
    table: Sequence[str],
    rows: Iterable[str],
    diagnostics: Sequence[Diagnostic],
    tail: Sequence[str],
) -> str:
    """All parts, as far as there is room: problems and warnings come first, since they are few and matter most."""
    notes, notes_left = _fitting((_note(one) for one in diagnostics), BYTES_MAX // 3)
    fixed = "\n".join((*head, *table, *notes, *tail))
    shown, left = _fitting(rows, BYTES_MAX - len(fixed.encode()))
    parts = [*head]
    if shown or left:
        parts += [*table, *shown, ""]
    if left:
        parts += [f"{counted(left, 'line')} of changes left out: `batchwright plan` shows them.", ""]
    if notes:
        parts += [*notes, ""]
    if notes_left:
        parts += [f"{counted(notes_left, 'problem')} more left out: `batchwright plan` shows them.", ""]
    return "\n".join((*parts, *tail)).rstrip("\n") + "\n"


def _fitting(lines: Iterable[str], room: int) -> tuple[list[str], int]:
    """As many lines as there is room for, in bytes, and how many are left out."""
    shown: list[str] = []
    waiting: Iterator[str] = iter(lines)
    for line in waiting:
        room -= len(line.encode()) + 1
        if room < 0:
            return shown, 1 + sum(1 for _ in waiting)
        shown.append(line)
    return shown, 0


def code(text: str) -> str:
    """A text on one bounded line as a code span, also within a table."""
    # a pipe behind a backslash cannot be escaped in a table: another backslash would belong to that one
    flat = re.sub(r"(?<=\\)\|", "\u00a6", one_line(text, TEXT_MAX)).replace("|", "\\|") or " "
    fence = "`" * (1 + max((len(run) for run in re.findall("`+", flat)), default=0))
    pad = " " if flat.startswith("`") or flat.endswith("`") else ""
    return f"{fence}{pad}{flat}{pad}{fence}"
