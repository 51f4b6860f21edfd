"""Hetzner's way to page, over one request at a time. Nothing here knows what a server is."""

from __future__ import annotations

from typing import Any

from batchwright.errors import ProviderUnavailable
from batchwright.providers.hetzner.faults import REFUSALS
from batchwright.providers.http import Query
from batchwright.providers.rest import PAGES_MAX, PASSES_MAX, Rest


class Client(Rest):
    """One connection pool; every path is under the version of the API."""

    refusals = REFUSALS

    async def listing(self, kind: str, query: Query = ()) -> list[dict[str, Any]]:
        """All entries of a kind, each once. Raises ProviderUnavailable when any page of it failed.

        An entry that goes meanwhile moves another one to a page that was read already; then the sum is wrong, and all
        is read again.
        """
        found: dict[int, dict[str, Any]] = {}
        for _ in range(PASSES_MAX):
            rows, totals = await self._pages(kind, query)
            found |= rows
            if totals <= {None, len(rows)}:
                break
        return list(found.values())

    async def _pages(self, kind: str, query: Query) -> tuple[dict[int, dict[str, Any]], set[int | None]]:
        """The entries, and how many there were by each of the pages; None where that was not said."""
        found, totals = dict[int, dict[str, Any]](), set[int | None]()
        number: Any = 1
        for _ in range(PAGES_MAX):
            window = [("page", str(number)), ("per_page", str(self.page)), ("sort", "id:asc")]
            body = await self.read(f"/{kind}", [*query, *window])
            rows, meta = body.get(kind), body.get("meta")
            if not isinstance(rows, list) or not isinstance(meta, dict):
                raise ProviderUnavailable(f"Hetzner's listing of {kind} has no rows", hint="Please report it.")
            found |= {int(row["id"]): row for row in rows}
            pagination = meta.get("pagination", {})
            totals.add(pagination.get("total_entries"))
            number = pagination.get("next_page")
            if not number:
                return found, totals
        raise ProviderUnavailable(f"Hetzner's listing of {kind} has over {PAGES_MAX} pages", hint="Please report it.")
