"""Events in pages: a stored row holds what one append wrote, so that hundreds of events cost one row and one decode."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from batchwright.errors import StoreCorrupt
from batchwright.journal import event_codec
from batchwright.model.events import AnyEvent

PAGE_EVENTS = 1_000  # a longer append is cut, so that reading a little never decodes a lot


class EventRow(NamedTuple):
    """The events `first` to `last` of a run, encoded by this codec version, and their digest (journal.hash_chain)."""

    first: int
    last: int
    version: int
    body: bytes
    chain: bytes | None = None


def paginate(after: int, events: Sequence[AnyEvent]) -> list[EventRow]:
    """The pages that hold `events` after sequence `after`."""
    pages = []
    for start in range(0, len(events), PAGE_EVENTS):
        part = list(events[start : start + PAGE_EVENTS])
        first = after + start + 1
        pages.append(EventRow(first, first + len(part) - 1, event_codec.VERSION, event_codec.encode_page(part)))
    return pages


def parts(pages: Iterable[EventRow], most: int) -> Iterator[list[EventRow]]:
    """The pages in groups of at most so many bytes; a larger page is a group of its own."""
    group: list[EventRow] = []
    size = 0
    for page in pages:
        if group and size + len(page.body) > most:
            yield group
            group, size = [], 0
        group.append(page)
        size += len(page.body)
    if group:
        yield group


def unpack(run: str, pages: Iterable[EventRow], after: int, limit: int) -> list[tuple[int, AnyEvent]]:
    """Up to `limit` events after sequence `after`. Raises EventUnreadable, and StoreCorrupt if one is missing."""
    numbered: list[tuple[int, AnyEvent]] = []
    expected = after + 1
    for first, last, version, body, _ in pages:
        events = event_codec.decode_page(body, version)
        if first > expected or (numbered and first != expected) or len(events) != last - first + 1:
            raise StoreCorrupt(f"events of run {run} are missing near number {expected}")
        wanted = events[expected - first : expected - first + limit - len(numbered)]
        numbered.extend(zip(range(expected, expected + len(wanted)), wanted, strict=True))
        expected += len(wanted)
        if len(numbered) >= limit:
            break
    return numbered
