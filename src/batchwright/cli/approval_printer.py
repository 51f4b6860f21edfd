"""Prints questions to people."""

from __future__ import annotations

from collections.abc import Sequence

from rich.text import Text

from batchwright.cli.output import err, out
from batchwright.cli.text_layout import labelled
from batchwright.cli.view_printer import text_width
from batchwright.views.approvals import OpenQuestion, answer_line, expiry_words, given_words, through_words
from batchwright.views.text_format import one_line


def show_questions(questions: Sequence[OpenQuestion], now: float, *, to_stderr: bool = False) -> None:
    """Print what people are asked, with what a yes lets through and how it is answered."""
    console = err() if to_stderr else out()
    for one in questions:
        head = f"{one.environment} {one.version}{' (simulated)' if one.simulated else ''}"
        console.print(Text.assemble((head, "bold"), f"  {one.run} asks: ", (one_line(one.question), "yellow")))
        facts = [
            ("behind it", through_words(one)),
            ("who", f"{one.who}; {given_words(one)}" if one.quorum > 1 or one.answers else one.who),
            ("until", expiry_words(one, now)),
            ("answer", answer_line(one)),
        ]
        for label, words in facts:
            for text in labelled(label, [words], "", text_width()):
                console.print(text)
