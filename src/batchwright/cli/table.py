"""Tables as plain aligned text: fast for 100,000 rows, and a row never wraps."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from rich.cells import cell_len
from rich.text import Text

from batchwright.cli.text_layout import clip
from batchwright.printable import flat

GAP = "  "
LEAST = 8  # characters that a shortened column keeps

Cell = str | Text


def table(
    headers: Sequence[str], rows: Iterable[Sequence[Cell]], width: int, *, right: Iterable[int] = ()
) -> Iterator[Text]:
    """The lines of a table. Columns in `right` are right-aligned numbers; empty columns are left out.

    If a line would exceed `width`, the last column is shortened first, then the longest.
    """
    numbers = frozenset(right)
    cells = [[_text(cell) for cell in row] for row in rows]
    kept = [i for i in range(len(headers)) if i == 0 or any(row[i].plain for row in cells)]
    headers, cells = [headers[i] for i in kept], [[row[i] for i in kept] for row in cells]
    numbers = frozenset(n for n, i in enumerate(kept) if i in numbers)
    widths = [max([cell_len(name), *(cell_len(row[i].plain) for row in cells)]) for i, name in enumerate(headers)]
    room = width - len(GAP) * (len(widths) - 1)
    widths[-1] = min(widths[-1], max(LEAST, room - sum(widths[:-1])))
    while sum(widths) > room and max(widths) > LEAST:
        widths[widths.index(max(widths))] -= 1
    yield _line([Text(name, "bold") for name in headers], widths, numbers)
    for row in cells:
        yield _line(row, widths, numbers)


def _text(cell: Cell) -> Text:
    """The cell on one line, escaped for the terminal before its width is measured."""
    return Text(flat(cell.plain), cell.style) if isinstance(cell, Text) else Text(flat(cell))


def _line(row: Sequence[Text], widths: Sequence[int], numbers: frozenset[int]) -> Text:
    line = Text()
    for i, (cell, width) in enumerate(zip(row, widths, strict=True)):
        plain = clip(cell.plain, width)
        space = " " * (width - cell_len(plain))
        line.append(GAP if i else "")
        line.append(space if i in numbers else "").append(plain, cell.style).append("" if i in numbers else space)
    line.rstrip()
    return line
