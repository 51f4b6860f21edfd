"""UpCloud's way to page, over one request at a time. Nothing here knows what a server is.

UpCloud's own clients lose the HTTP status of an error, cannot page, and fail on answers that were really given.
"""

from __future__ import annotations

from typing import Any

from batchwright.errors import ProviderUnavailable
from batchwright.providers.http import Query
from batchwright.providers.rest import PAGES_MAX, PASSES_MAX, Rest
from batchwright.providers.upcloud.faults import REFUSALS


class Client(Rest):
    """One connection pool; every path is under the version of the API."""

    refusals = REFUSALS

    async def listing(self, path: str, outer: str, inner: str, query: Query = ()) -> list[dict[str, Any]]:
        """All entries of a listing, each once. Raises ProviderUnavailable when any page of it failed.

        The published default is 25 entries and it is not known whether it is applied, so pages are asked for until one
        brings nothing new, whatever their length. Each begins with the last entry of the one before: where it does
        not, an entry has gone meanwhile and moved another one out of sight, and all is read again.
        """
        found: dict[str, dict[str, Any]] = {}
        for _ in range(PASSES_MAX):
            if await self._pages(found, path, outer, inner, query):
                break
        return list(found.values())

    async def _pages(self, found: dict[str, dict[str, Any]], path: str, outer: str, inner: str, query: Query) -> bool:
        """Add the entries; whether each page began where the one before ended."""
        seen, last, offset = set[str](), "", 0
        for _ in range(PAGES_MAX):
            window = [("limit", str(max(2, self.page))), ("offset", str(offset))]
            body = await self.read(path, [*query, *window])
            wrapped = body.get(outer)
            rows = wrapped.get(inner) if isinstance(wrapped, dict) else None
            if not isinstance(rows, list):
                raise ProviderUnavailable(f"UpCloud's listing {path} has no {outer}.{inner}", hint="Please report it.")
            shown = {str(row["uuid"]): row for row in rows if isinstance(row, dict) and "uuid" in row}
            found |= shown
            if last and last not in shown:
                return False
            if not shown.keys() - seen:
                return True
            seen |= shown.keys()
            last, offset = list(shown)[-1], offset + len(rows) - 1
        raise ProviderUnavailable(f"UpCloud's listing {path} has over {PAGES_MAX} pages", hint="Please report it.")
