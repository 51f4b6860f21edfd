"""The answers of the database to a named query, and the port to an open database, embedded or on a server."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any, Protocol

from batchwright.journal.query_files import load

SURREALQL = load(__package__, ".surql")

Query = Callable[..., Coroutine[Any, Any, list[Any]]]  # a query by its name; the result of its last statement
Examine = Callable[[Query], Awaitable[None]]  # sees that what was opened is sound, or raises a StoreError

_NOT_RUN = "The query was not executed due to a failed transaction"


class QueryRefused(Exception):
    """A query's own THROW: 'refused NUMBER WORD DETAIL'; nothing of the query happened."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        number, self.word, self.detail = f"{text} ".split(" ", 2)
        self.number = int(number)


class QueryFailed(Exception):
    """The database could not carry out the query; nothing of it happened."""


class HolderGone(Exception):
    """The process that held the folder has released it: find the new holder."""


class AnswerLost(Exception):
    """The connection broke before the answer came: the write may or may not have happened."""


def commit_id(session: str, number: int) -> str:
    """The text that identifies a commit in the engine's log."""
    return f"<bw:{session}{number:x}>"


class Database(Protocol):
    """An open SurrealDB database, embedded or on a server."""

    @property
    def place(self) -> object:
        """The path or address of the database, for messages."""
        ...

    async def open(self, examine: Examine | None = None, *, look_only: bool = False) -> None:
        """Open the database; it is open once `examine` has raised nothing. Raises StoreError.

        With `look_only`, repairs that made it readable are undone, unless `keep_repair` is called.
        """
        ...

    def keep_repair(self) -> None:
        """Keep the repairs that made it readable."""
        ...

    async def aclose(self) -> None:
        """Close the database or the connection to it."""
        ...

    async def query(self, name: str, **values: Any) -> list[Any]:
        """The result of the query's last statement. Raises QueryRefused, AnswerLost or a StoreError."""
        ...

    async def prove(self) -> None:
        """Raise StoreUnsupported if one writer's change can overwrite another's."""
        ...

    def need_space(self, size: int) -> None:
        """Raise a StoreError if so many bytes should not be written now."""
        ...


def result_of(reply: Mapping[str, Any]) -> list[Any]:
    """The result of the last statement. Raises QueryRefused, QueryFailed."""
    if "error" in reply:
        error = reply["error"]
        raise QueryFailed(str(error.get("message", error) if isinstance(error, dict) else error))
    failures = [str(part["result"]) for part in reply["result"] if part["status"] != "OK"]
    if failures:
        telling = [text for text in failures if text != _NOT_RUN] or failures
        _, thrown, text = telling[0].partition("An error occurred: refused ")
        raise QueryRefused(text) if thrown else QueryFailed(telling[0])
    result: list[Any] = reply["result"][-1]["result"]
    return result
