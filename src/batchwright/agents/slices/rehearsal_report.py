"""What a rehearsal of a file found, the gravest first, with the lines that repeat it, and what it did not look at."""

from __future__ import annotations

from batchwright.agents.slices.base import Evidence, Fact, Slice
from batchwright.agents.slices.run_source import ids, parsed
from batchwright.agents.slices.token_budget import Section, fit
from batchwright.agents.slices.untrusted_text import fenced, name
from batchwright.views.rehearsal import RehearsalFinding, RehearsalView
from batchwright.views.text_format import counted, duration

MORE = "batchwright rehearse FILE"
LEVELS = ("error", "warning", "note")


def rehearsal_slice(source: RehearsalView, query: str, budget: int) -> Slice:
    """The findings of a rehearsal. Raises UsageError."""
    parsed(query, ())
    coverage, checked = source.coverage, source.self_check
    spread = source.duration
    head = [
        Fact("rehearsal", f"rehearsal of {name(source.file)}: {fenced(source.headline)}"),
        Fact(
            "coverage",
            f"looked at: {counted(coverage.runs, 'run')}, {counted(coverage.crashes, 'crash')},"
            f" {coverage.kinds_done} of {coverage.kinds} kinds of points;"
            f" took {duration(spread.undisturbed)} undisturbed, at most {duration(spread.most)}",
        ),
    ]
    if not checked.found:
        head.insert(1, Fact("untrusted", "the planted bug was not found: do not trust this report"))
    ordered = sorted(source.findings, key=lambda one: LEVELS.index(one.level) if one.level in LEVELS else len(LEVELS))
    sections = (
        Section("findings", MORE, [_finding(one) for one in ordered], least=3),
        Section(
            "things not explored", MORE, [Fact("unexplored", f"not explored: {fenced(o)}") for o in source.not_explored]
        ),
        Section(
            "things that a rehearsal cannot tell",
            MORE,
            [Fact("limit", f"cannot tell: {fenced(o)}") for o in source.cannot_tell],
        ),
    )
    return fit("rehearsal", "", 0, budget, head, sections)


def _finding(one: RehearsalFinding) -> Fact:
    place = f" {name(one.file.rpartition('/')[2])}:{one.line}" if one.file else ""
    about = f" about {ids(filter(None, one.about), 2)}" if any(one.about) else ""
    text = f"{name(one.level)} {name(one.id)} {name(one.kind)}{place}: {fenced(one.title, 160)}{about}"
    text += f" in {counted(one.runs, 'run')}"
    do = f"; do {fenced(one.do, 160)}" if one.do else ""
    return Fact(
        one.level,
        f"{text}{do}; repeat {fenced(one.repeat, 200)}",
        (Evidence(0, one.about[0] if one.about else "", one.line),),
    )
