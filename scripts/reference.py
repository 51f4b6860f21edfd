"""Writes docs/lifecycle.md and docs/events.md from the tables and classes they describe: python scripts/reference.py"""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import TypeVar, get_args

import msgspec

from batchwright.model import events
from batchwright.model.lifecycle import (
    RUN_ENDED,
    RUN_TRANSITIONS,
    STEP_ENDED,
    STEP_IN_FLIGHT,
    STEP_TRANSITIONS,
    RunState,
    StepState,
)

DOCS = Path(__file__).parents[1] / "docs"
State = TypeVar("State", bound=StrEnum)

LIFECYCLE = """\
# Life cycles

Written by `scripts/reference.py` from the two tables in `src/batchwright/model/lifecycle.py`. Nothing else changes a
state; an event that is not in a state's row is refused there as a bug.

## A run

`run_ended` and `rollback_ended` stand here under the end they bring: `run_completed`, `run_failed`, `run_cancelled`,
`rollback_completed`, `rollback_left_residue`. Ended: {run_ended}.

{run_diagram}

{run_table}

## A step

Ended on the way forward: {step_ended}. In flight: {step_in_flight}.

{step_diagram}

{step_table}
"""

EVENTS = """\
# Events

Written by `scripts/reference.py` from `src/batchwright/model/events.py`. A run's journal holds these and nothing else,
in the order in which they happened; `batchwright events RUN --json` shows them. Every event has `type` and `at`
(seconds since the epoch); a field marked ? is left out when it has its default.

| type | meaning | fields |
|---|---|---|
{rows}
"""


def diagram(table: Mapping[State, Mapping[str, State]], begin: State) -> str:
    """A Mermaid state diagram; events between the same two states share an arrow."""
    lines = ["```mermaid", "stateDiagram-v2", f"    [*] --> {begin}"]
    for state, row in table.items():
        arrows: dict[str, list[str]] = {}
        for event, after in row.items():
            arrows.setdefault(after, []).append(event)
        lines += [f"    {state} --> {after}: {', '.join(names)}" for after, names in arrows.items()]
        if not row:
            lines.append(f"    {state} --> [*]")
    return "\n".join([*lines, "```"])


def transitions(table: Mapping[State, Mapping[str, State]]) -> str:
    """The table itself."""
    lines = ["| state | event | next |", "|---|---|---|"]
    for state, row in table.items():
        lines += [f"| {state} | `{event}` | {after} |" for event, after in row.items()] or [f"| {state} | | |"]
    return "\n".join(lines)


def lifecycle() -> str:
    """docs/lifecycle.md"""
    return LIFECYCLE.format(
        run_ended=", ".join(state for state in RunState if state in RUN_ENDED),
        run_diagram=diagram(RUN_TRANSITIONS, RunState.PENDING),
        run_table=transitions(RUN_TRANSITIONS),
        step_ended=", ".join(state for state in StepState if state in STEP_ENDED),
        step_in_flight=", ".join(state for state in StepState if state in STEP_IN_FLIGHT),
        step_diagram=diagram(STEP_TRANSITIONS, StepState.WAITING),
        step_table=transitions(STEP_TRANSITIONS),
    )


def event_rows() -> list[str]:
    """One row per event."""
    rows = []
    for kind in get_args(events.AnyEvent):
        meaning = re.sub(r"\s+", " ", kind.__doc__).strip()
        fields = [field for field in msgspec.structs.fields(kind) if field.name != "at"]
        words = [f"`{field.name}`" + ("" if field.required else "?") for field in fields]
        rows.append(f"| `{kind.__struct_config__.tag}` | {meaning} | {', '.join(words)} |")
    return rows


def reference() -> dict[Path, str]:
    """Every generated page and what it should say."""
    return {
        DOCS / "lifecycle.md": lifecycle(),
        DOCS / "events.md": EVENTS.format(rows="\n".join(event_rows())),
    }


if __name__ == "__main__":
    for path, text in reference().items():
        path.write_text(text)
