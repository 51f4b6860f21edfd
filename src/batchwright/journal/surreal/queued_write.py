"""Writes that wait for the one task that makes them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, NamedTuple

from batchwright.journal.base import Lease, Turn
from batchwright.journal.event_rows import EventRow


class QueuedAppend(NamedTuple):
    """An append that waits. Pages that are copied have their place in the chain already."""

    lease: Lease
    after: int
    pages: Sequence[EventRow]
    summary: bytes | None
    copied: bool
    turn: Turn | None
    done: asyncio.Future[int]

    @property
    def last(self) -> int:
        """The last event when it has been made."""
        return self.pages[-1].last if self.pages else self.after

    @property
    def size(self) -> int:
        """Bytes of its pages."""
        return sum(len(page.body) for page in self.pages)


class QueuedWrite(NamedTuple):
    """Any other write."""

    work: Callable[[], Awaitable[Any]]
    done: asyncio.Future[Any]


def succeed(done: asyncio.Future[Any], result: Any) -> None:
    """Give the result to who waits for it, if anybody still does."""
    if not done.done():
        done.set_result(result)


def fail(done: asyncio.Future[Any], error: Exception) -> None:
    """Raise the error where somebody waits for the result, if anybody still does."""
    if not done.done():
        done.set_exception(error)
