"""Hetzner's way to page, over one request at a time. Nothing here knows what a server is."""

from __future__ import annotations

from typing import Any

from batchwright.errors import ProviderUnavailable
from batchwright.providers.hetzner.faults import REFUSALS
from batchwright.providers.http import Query
from batchwright.providers.rest import PAGES_MAX, Rest


class Client(Rest):
    """One connection pool; every path is under the version of the API."""

    refusals = REFUSALS

    async def listing(self, kind: str, query: Query = ()) -> list[dict[str, Any]]:
        """All entries of a kind, each once. Raises ProviderUnavailable when any page of it failed.

        Ids grow, so new entries come at the end; one that goes moves those behind it up, to pages before. Read from the
        last page to the first, no entry can slip past.
        """
        found, last, more = await self._page(kind, query, 1)
        if not more:
            return list(found.values())
        while last is None and more <= PAGES_MAX:
            number, (_, last, more) = more, await self._page(kind, query, more)
            last = last or (None if more else number)
        if last is None or last > PAGES_MAX:
            raise ProviderUnavailable(
                f"Hetzner's listing of {kind} has over {PAGES_MAX} pages", hint="Please report it."
            )
        for number in range(last, 0, -1):
            found |= (await self._page(kind, query, number))[0]
        return list(found.values())

    async def _page(self, kind: str, query: Query, number: int) -> tuple[dict[int, dict[str, Any]], int | None, int]:
        """Its entries by id, the number of the last page where that is said, and that of the next one, else 0."""
        window = [("page", str(number)), ("per_page", str(self.page)), ("sort", "id:asc")]
        body = await self.read(f"/{kind}", [*query, *window])
        rows, meta = body.get(kind), body.get("meta")
        if not isinstance(rows, list) or not isinstance(meta, dict):
            raise ProviderUnavailable(f"Hetzner's listing of {kind} has no rows", hint="Please report it.")
        pagination = meta.get("pagination", {})
        return {int(row["id"]): row for row in rows}, pagination.get("last_page"), pagination.get("next_page") or 0
