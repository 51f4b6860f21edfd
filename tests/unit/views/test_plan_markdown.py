"""A plan as Markdown: what comes from outside stays text, and a comment is never too long."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from tests.unit.plan.test_install_table import flow, install, server
from tests.unit.views.test_planned_changes import view_of

from batchwright.model.diagnostic import Diagnostic, Severity
from batchwright.model.plan import FieldChange
from batchwright.views.plan import PlanView
from batchwright.views.plan_markdown import BYTES_MAX, code, plan_markdown, refusal_markdown
from batchwright.views.planned_changes import Symbol

GITHUB_MAX = 65_536


def changed(value: str) -> PlanView:
    """The view of a plan in which a variable becomes this value."""
    view = view_of(flow("a", variables={"port": 81}), server("a"), install("a"))
    steps = tuple(
        replace(step, changes=(FieldChange("variables.motd", "", value),)) if step.server else step
        for step in view.steps
    )
    return replace(view, steps=steps)


def test_counts_come_first_then_a_table_and_the_hash() -> None:
    view = view_of(flow("a", "b", variables={"port": 81}), server("a"), install("a"))
    assert plan_markdown(view, ()).splitlines() == [
        "### Plan of `tested` `1.0.0`",
        "",
        "**+ 2  ~ 1  = 1**",
        "",
        "| | what | change |",
        "|--|--|--|",
        "| `+` | `b (upcloud)` | `plan 1xCPU-2GB, zone de-fra1, image debian-12` |",
        "| `~` | `web on a` | `port 80 -> 81` |",
        "| `+` | `web on b` | `version 1.22` |",
        "",
        f"Plan `{view.hash}`, about 40 s.",
    ]


def test_nothing_to_change_has_no_table() -> None:
    text = plan_markdown(view_of(flow("a"), server("a"), install("a")), ())
    assert "**nothing to change: = 2**" in text
    assert "|" not in text


SPANS = re.compile(r"(?<!`)(`+)(?!`)(.+?)(?<!`)\1(?!`)", re.DOTALL)


def outside(text: str) -> str:
    """What a reader of Markdown takes as Markdown: all but the code spans."""
    return SPANS.sub("", text)


def cells(row: str) -> list[str]:
    """As a table of GitHub is split: a backslash takes the next character along."""
    return re.findall(r"(?:\\.|[^|\\])+", row)


HOSTILE = [
    "@everyone",
    "| x | y |",
    "\\| x \\\\| y",
    "```\n# heading",
    "<img src=x onerror=y>",
    "#1 fixes #2",
    "`",
    "a`b``c",
    "\n\n- item",
    "ends in \\",
]


@pytest.mark.parametrize("value", HOSTILE)
def test_text_from_outside_breaks_no_table_and_mentions_nobody(value: str) -> None:
    plain, text = plan_markdown(changed("plain"), ()), plan_markdown(changed(value), ())
    assert len(text.splitlines()) == len(plain.splitlines())
    assert outside(text) == outside(plain)
    assert [len(cells(line)) for line in text.splitlines()] == [len(cells(line)) for line in plain.splitlines()]
    warned = (Diagnostic("x", value, value, where=value, severity=Severity.WARNING),)
    assert not set(outside(refusal_markdown(value, warned)).replace("<br>", "")) & set("@<>|`")


@given(st.text(max_size=400))
def test_any_text_is_one_code_span_on_one_line(value: str) -> None:
    span = code(value)
    assert len(span.splitlines()) == 1
    assert outside(span) == ""
    assert len(cells(f"| `~` | {span} | `x` |")) == len(cells("| `~` | `x` | `x` |"))


def test_a_comment_is_never_too_long_and_says_what_is_left_out() -> None:
    names = [f"{'x' * 40}-{number}" for number in range(1_000)]
    there = [one for name in names for one in (server(name), install(name))]
    view = view_of(flow(*names, variables={"port": 81}), *there)
    steps = tuple(  # no two alike
        replace(step, changes=(FieldChange("variables.motd", "", f"{'ä' * 50}{number}"),)) if step.server else step
        for number, step in enumerate(view.steps)
    )
    warnings = [Diagnostic("x", f"{'w' * 200} {number}", severity=Severity.WARNING) for number in range(500)]
    text = plan_markdown(replace(view, steps=steps), warnings)
    assert len(text.encode()) <= GITHUB_MAX
    assert len(text.encode()) > BYTES_MAX // 2
    assert re.search(r"\d+ lines of changes left out", text)
    assert re.search(r"\d+ problems more left out", text)
    shown = sum(line.startswith("| `~`") for line in text.splitlines())
    assert f"{1_000 - shown:,} lines" in text


def test_what_goes_stands_at_the_end() -> None:
    view = view_of(flow("a", variables={"port": 81}), server("a"), install("a"), server("b"), retire=True)
    rows = [line for line in plan_markdown(view, ()).splitlines() if line.startswith("| `")]
    assert [row.split("`")[1] for row in rows] == [Symbol.UPDATE, Symbol.RETIRE]
