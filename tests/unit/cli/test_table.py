"""Tables fit the screen and never break a row."""

from __future__ import annotations

from rich.text import Text

from batchwright.cli.table import table

ROWS = [
    ("abcdefghijkl", Text("Failed", "red"), "5/1,000", "a_workflow_with_a_long_name 1.0.0"),
    ("mnop", "Running", "1/2", "x"),
]


def lines(width: int) -> list[str]:
    return [line.plain for line in table(("run", "status", "steps", "workflow"), ROWS, width, right=(2,))]


def test_as_wide_as_its_content_where_there_is_room() -> None:
    assert lines(1000) == [
        "run           status     steps  workflow",
        "abcdefghijkl  Failed   5/1,000  a_workflow_with_a_long_name 1.0.0",
        "mnop          Running      1/2  x",
    ]


def test_the_last_column_gives_way_first() -> None:
    assert lines(45) == [
        "run           status     steps  workflow",
        "abcdefghijkl  Failed   5/1,000  a_workfl….0.0",
        "mnop          Running      1/2  x",
    ]
    assert all(len(line) <= 38 for line in lines(30))  # four columns are never narrower


def test_a_column_without_content_is_left_out() -> None:
    shown = [line.plain for line in table(("run", "failed", "note"), [("a", "", "x"), ("b", "", "")], 80, right=(1,))]
    assert shown == ["run  note", "a    x", "b"]


def test_no_rows() -> None:
    assert [line.plain for line in table(("run", "note"), [], 80)] == ["run"]
