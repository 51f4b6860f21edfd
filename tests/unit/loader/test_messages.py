"""Nickel's messages, as they look on a terminal, become values."""

from __future__ import annotations

from batchwright.loader.nickel_message_parser import first_frame, labelled, parse
from batchwright.loader.nickel_scanner import Position

RAW = """\x1b[0m\x1b[1m\x1b[38;5;9merror\x1b[0m\x1b[1m: contract broken by the value of `limit`\x1b[0m
       too many
  \x1b[36m┌─\x1b[0m <stdlib/std.ncl>:5502:24
  \x1b[36m│\x1b[0m
1 │ fun msg
  │     --- expected type
  │
  ┌─ /w/a:b.ncl:6:22
  │
6 │     limit | String = 5,
  │             ------   ^ applied to this expression
  │             │
  │             expected type
  │
  = a note
    that goes on

note:
  ┌─ /w/c.ncl:1:1

error: another
"""


def test_a_message_is_taken_apart() -> None:
    message = parse(RAW)
    assert message.title == "contract broken by the value of `limit`"
    assert message.body == "too many"
    assert message.notes == ("a note", "that goes on")
    assert [(frame.file, frame.place) for frame in message.frames] == [
        ("<stdlib/std.ncl>", Position(5502, 24)),
        ("/w/a:b.ncl", Position(6, 22)),
    ]


def test_the_first_frame_in_an_own_file_counts() -> None:
    frame = first_frame(parse(RAW), lambda file: file.startswith("/w"))
    assert frame is not None
    assert frame.place == Position(6, 22)
    assert first_frame(parse(RAW), lambda file: False) is None


def test_the_source_under_a_label_is_found() -> None:
    assert labelled(parse(RAW.replace("│     --- expected type", "│     --- here")), "expected type") == "String"
    assert labelled(parse("error: x\n"), "expected type") == ""


def test_what_is_no_message_at_all_is_a_title() -> None:
    assert parse("").title == ""
    assert parse("something else").frames == ()
