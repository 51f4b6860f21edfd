"""UpCloud's way to page, over one request at a time. Nothing here knows what a server is.

UpCloud's own clients lose the HTTP status of an error, cannot page, and fail on answers that were really given.
"""

from __future__ import annotations

from typing import Any

from batchwright.errors import ProviderUnavailable
from batchwright.providers.http import Query
from batchwright.providers.rest import PAGES_MAX, Rest
from batchwright.providers.upcloud.faults import REFUSALS


class Client(Rest):
    """One connection pool; every path is under the version of the API."""

    refusals = REFUSALS

    async def listing(self, path: str, outer: str, inner: str, query: Query = ()) -> list[dict[str, Any]]:
        """All entries of a listing, each once. Raises ProviderUnavailable when any page of it failed.

        The published default is 25 entries and it is not known whether it is applied, so pages are asked for until one
        brings nothing new, whatever their length. An entry that goes meanwhile moves the others up, past the window: so
        each page must show an entry of the one before, else it is asked again from further up.
        """
        limit = max(2, self.page)  # one to be known again, and a new one
        found, before, offset, back = dict[str, dict[str, Any]](), set[str](), 0, False
        for _ in range(PAGES_MAX):
            shown = await self._page(path, outer, inner, [*query, ("limit", str(limit)), ("offset", str(offset))])
            found |= shown
            if offset and before.isdisjoint(shown):
                offset, back = max(0, offset - limit), True
                continue
            if shown.keys() <= before and not back:
                return list(found.values())
            before, offset, back = set(shown), offset + max(0, len(shown) - 1), False
        raise ProviderUnavailable(f"UpCloud's listing {path} has over {PAGES_MAX} pages", hint="Please report it.")

    async def _page(self, path: str, outer: str, inner: str, query: Query) -> dict[str, dict[str, Any]]:
        wrapped = (await self.read(path, query)).get(outer)
        rows = wrapped.get(inner) if isinstance(wrapped, dict) else None
        if not isinstance(rows, list):
            raise ProviderUnavailable(f"UpCloud's listing {path} has no {outer}.{inner}", hint="Please report it.")
        return {str(row["uuid"]): row for row in rows if isinstance(row, dict) and "uuid" in row}
