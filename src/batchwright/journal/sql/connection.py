"""What the shared SQL of a journal needs of a database: named statements on one connection."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

NOTHING: Mapping[str, Any] = {}


class SqlConnection(Protocol):
    """One connection. A statement is known by the name of its file in `queries`; values go by name, too."""

    def rows(self, name: str, values: Mapping[str, Any] = NOTHING) -> list[tuple[Any, ...]]:
        """All rows of a query."""
        ...

    def row(self, name: str, values: Mapping[str, Any] = NOTHING) -> tuple[Any, ...] | None:
        """The first row, None if there is none."""
        ...

    def row_each(self, name: str, rows: Sequence[Mapping[str, Any]]) -> list[tuple[Any, ...] | None]:
        """The first row of a query for each of these values."""
        ...

    def execute(self, name: str, values: Mapping[str, Any] = NOTHING) -> None:
        """Carry out a statement."""
        ...

    def execute_each(self, name: str, rows: Iterable[Mapping[str, Any]]) -> None:
        """Carry out a statement once for each of these values."""
        ...

    def change(self, name: str, values: Mapping[str, Any] = NOTHING) -> int:
        """Carry out a statement; gives how many rows it changed."""
        ...
