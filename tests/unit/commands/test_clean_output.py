"""What a program says, as it is passed on: whole lines, no secrets, nothing that moves a cursor."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from batchwright.commands.clean_output import LINE_MAX, CleanOutput


def heard(*chunks: bytes, secrets: tuple[str, ...] = ()) -> list[str]:
    lines: list[str] = []
    output = CleanOutput(lines.append, secrets)
    for chunk in chunks:
        output.hear(chunk)
    output.close()
    return lines


def test_lines_come_whole_and_blank_ones_not_at_all() -> None:
    assert heard(b"on", b"e\ntwo\n\n  \nth", b"ree") == ["one", "two", "three"]


def test_what_moves_a_cursor_is_taken_out_and_of_a_bar_only_its_end_is_left() -> None:
    assert heard(b"\x1b[31mred\x1b[0m \x1b]0;title\x07done\r\n 10 %\r 20 %\r100 %\n") == ["red done", "100 %"]


def test_what_is_no_text_is_shown_as_far_as_it_is() -> None:
    assert heard(b"a\xffb\n") == ["a\ufffdb"]


def test_secrets_are_blotted_out_also_line_by_line_and_the_longer_one_first() -> None:
    key = "-----BEGIN-----\nabcdef\n-----END-----"
    lines = heard(b"x hunter2 y hunter2and3\nabcdef\n", secrets=("hunter2", "hunter2and3", key))
    assert lines == ["x *** y ***", "***"]


def test_the_last_lines_are_kept_for_a_fault_without_secrets() -> None:
    output = CleanOutput(lambda _line: None, ["hunter2"])
    output.hear(b"".join(b"line %d hunter2\n" % n for n in range(100)))
    output.close()
    assert output.last().splitlines()[-1] == "line 99 ***"
    assert len(output.last().splitlines()) == 8


@given(st.binary(max_size=6), st.integers(0, 40), st.lists(st.integers(1, 5000), max_size=30))
def test_no_secret_gets_through_wherever_the_output_is_cut(filler: bytes, shift: int, cuts: list[int]) -> None:
    secret = "s3cr3t-" + "x" * 40
    filler = filler.replace(b"\n", b"") or b"."
    body = (filler * (LINE_MAX // len(filler) + 1))[: LINE_MAX - shift] + secret.encode() + filler * 100 + b"\n"
    chunks, at = [], 0
    for cut in cuts:
        chunks.append(body[at : at + cut])
        at += cut
    lines = heard(*chunks, body[at:], secrets=(secret,))
    assert not any("s3cr3t" in line or "x" * 20 in line for line in lines)


def test_a_secret_with_a_colour_in_it_is_blotted_out_too() -> None:
    """As grep prints what it has found; also in the words of a fault."""
    output = CleanOutput(lambda _line: None, ["hunter2"])
    output.hear(b"x hun\x1b[01;31mter\x1b[0m2 y\n")
    output.close()
    assert output.last() == "x *** y"
