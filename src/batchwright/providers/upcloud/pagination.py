"""UpCloud's way to page, over one request at a time. Nothing here knows what a server is.

UpCloud's own clients lose the HTTP status of an error, cannot page, and fail on answers that were really given.
"""

from __future__ import annotations

from typing import Any

from batchwright.errors import ProviderUnavailable
from batchwright.providers.http import Query
from batchwright.providers.rest_client import PAGES_MAX, READINGS_MAX, RestClient
from batchwright.providers.upcloud.faults import REFUSALS

LIMIT_MAX = 1000  # entries of one page
BEYOND = 1_000_000  # an offset at which a listing with pages has none


class Reading:
    """One reading of a listing, page by page. `count` is how many entries the positions of its pages tell, at its end.

    `steady` is whether each page went on where the one before ended, in the same order.
    """

    def __init__(self) -> None:
        self.found: dict[str, dict[str, Any]] = {}
        self.count = self.first = 0
        self.steady, self.changed = True, False
        self._places: dict[str, int] = {}

    def take(self, page: dict[str, dict[str, Any]], offset: int) -> None:
        """Add one more page to the reading."""
        shown = list(page)
        known = [self._places[one] for one in shown if one in self._places]
        goes_on = known == sorted(known) and all(one in self._places for one in shown[: len(known)])
        self.steady = self.steady and goes_on
        for one in shown:
            self._places.setdefault(one, len(self._places))
        self.found |= page
        if offset == 0:
            self.first = len(shown)

    @property
    def complete(self) -> bool:
        """Whether all that stayed is among it: nothing slipped past a steady order, or nothing is left to be seen."""
        if len(self.found) < self.count:
            return False
        return self.steady or self.first == self.count or (len(self.found) == self.count and not self.changed)


class UpCloudClient(RestClient):
    """One connection pool; every path is under the version of the API."""

    refusals = REFUSALS

    async def listing(self, path: str, outer: str, inner: str, query: Query = ()) -> list[dict[str, Any]]:
        """All entries of a listing, each once. Raises ProviderUnavailable when any page of it failed, or when no
        reading was surely complete: more entries stand there than were seen, or their order changes meanwhile.
        """
        for limit in (self.page, *(LIMIT_MAX for _ in range(READINGS_MAX - 1))):
            reading = await self._reading(path, outer, inner, query, max(2, limit))
            if reading.complete:
                return list(reading.found.values())
        raise ProviderUnavailable(
            f"UpCloud's listing {path} was never complete: it shows {len(reading.found)} of at least {reading.count}",
            hint="The listing was not used. Try again in a moment.",
            passing=True,
        )

    async def _reading(self, path: str, outer: str, inner: str, query: Query, limit: int) -> Reading:
        """One reading, to the page that shows no more than the last entry.

        The published default is 25 entries and it is not known whether it is applied, so the length of a page says
        nothing. An entry that goes meanwhile moves the others up, past the window: so each page must show an entry of
        the one before, else it is asked again from further up.
        """
        reading, before, offset, back = Reading(), set[str](), 0, False
        for _ in range(PAGES_MAX):
            page = await self._page(path, outer, inner, [*query, ("limit", str(limit)), ("offset", str(offset))])
            if len(page) > 1 and offset and page.keys() == before and not back:
                beyond = [("limit", str(limit)), ("offset", str(BEYOND))]
                if (await self._page(path, outer, inner, [*query, *beyond])).keys() == before:  # it knows no pages
                    reading.count = reading.first = len(reading.found)
                    return reading
            reading.take(page, offset)
            if reading.changed and not reading.steady:  # what seemed to go is only a changing order
                reading.count = len(reading.found) + 1
                return reading
            if offset and before.isdisjoint(page):
                offset, back, reading.changed = max(0, offset - limit), True, True
                continue
            if len(page) <= 1 and not back:
                reading.count = offset + len(page)
                return reading
            before, offset, back = set(page), offset + max(0, len(page) - 1), False
        raise ProviderUnavailable(f"UpCloud's listing {path} has over {PAGES_MAX} pages", hint="Please report it.")

    async def _page(self, path: str, outer: str, inner: str, query: Query) -> dict[str, dict[str, Any]]:
        wrapped = (await self.read(path, query)).get(outer)
        rows = wrapped.get(inner) if isinstance(wrapped, dict) else None
        if not isinstance(rows, list):
            raise ProviderUnavailable(f"UpCloud's listing {path} has no {outer}.{inner}", hint="Please report it.")
        return {str(row["uuid"]): row for row in rows if isinstance(row, dict) and "uuid" in row}
