"""Fits text to the columns of a terminal: clipped, cut, padded, wrapped, or in a block with its label at the left."""

from __future__ import annotations

from collections.abc import Iterable
from textwrap import wrap

from rich.cells import cell_len
from rich.text import Text

LABEL = 9  # width of the words at the left of a block
INDENT = LABEL + 3


def labelled(label: str, texts: Iterable[str], style: str = "", width: int | None = None) -> list[Text]:
    """A block with its name to the left of the first line. If `width` is given, texts are wrapped at words."""
    if width is not None:
        texts = [line for text in texts for line in hanging(text, 0, max(20, width - INDENT))]
    return [
        Text.assemble("  ", (f"{label if i == 0 else '':<{LABEL}} ", "bold"), (text, style))
        for i, text in enumerate(texts)
    ]


def hanging(text: str, indent: int, width: int) -> list[str]:
    """Text wrapped at words, so that a command in it can be copied. Lines after the first are indented."""
    return wrap(text, width, subsequent_indent=" " * indent, break_long_words=False, break_on_hyphens=False)


def pad(text: str, width: int) -> str:
    """Clipped or filled with spaces to exactly this width."""
    clipped = clip(text, width)
    return clipped + " " * (width - cell_len(clipped))


def clip(text: str, width: int) -> str:
    """Cut a name in the middle, so that both ends stay readable."""
    if cell_len(text) <= width:
        return text
    keep = max(1, width - 1)
    head = keep * 2 // 3
    return text[:head] + "…" + text[len(text) - (keep - head) :]


def cut(text: str, width: int) -> str:
    """Cut a sentence at its end."""
    return text if cell_len(text) <= width else text[: max(1, width - 1)] + "…"
