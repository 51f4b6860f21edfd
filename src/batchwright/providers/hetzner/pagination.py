"""Paging of Hetzner's API. Knows nothing about servers."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from msgspec import Struct

from batchwright.errors import ProviderUnavailable
from batchwright.model.fault import FaultClass
from batchwright.providers.hetzner.faults import REFUSALS
from batchwright.providers.http import Query
from batchwright.providers.rest_client import PAGES_MAX, READINGS_MAX, LookRefused, RestClient

Rows = dict[int, dict[str, Any]]

SORTED = ("servers", "ssh_keys", "images")  # kinds that can be sorted according to the reference


class HetznerPage(Struct):
    """One page. `last` and `total` are None if not told; `more` is the number of the next page, 0 if there is none."""

    rows: Rows
    last: int | None
    more: int
    total: int | None


class HetznerClient(RestClient):
    """One connection pool; every path is under the version of the API."""

    refusals = REFUSALS
    unsorted: frozenset[str] = frozenset()  # kinds whose sorting was refused

    async def listing(self, kind: str, query: Query = ()) -> list[dict[str, Any]]:
        """All entries of a kind, each once.

        Raises ProviderUnavailable if a page failed or no reading was certainly complete, that is: with as many entries
        as the service tells, or the same as the reading before it.
        """
        before: set[int] | None = None
        found: Rows = {}
        for _ in range(READINGS_MAX):
            found, complete = await self._reading(kind, query)
            if complete or (complete is None and before == found.keys()):
                return list(found.values())
            before = set(found)
        raise ProviderUnavailable(
            f"Hetzner's listing of {kind} was never complete: {len(found)} entries, which is not the number it reports",
            hint="The listing was not used. Try again in a moment.",
            passing=True,
        )

    async def _reading(self, kind: str, query: Query) -> tuple[Rows, bool | None]:
        """One reading, and whether it is complete; None if unknown.

        Ids grow, so new entries appear at the end; a removed one moves those behind it to earlier pages. Read from the
        last page to the first, no entry is missed if they are in the order of their ids.
        """
        first = page = await self._page(kind, query, 1)
        if not first.more:
            return first.rows, first.total is None or first.total <= len(first.rows)
        number = 1
        while page.last is None and page.more and number <= PAGES_MAX:
            number, page = page.more, await self._page(kind, query, page.more)
        last = page.last or number
        if last > PAGES_MAX or number > PAGES_MAX:
            raise ProviderUnavailable(
                f"Hetzner's listing of {kind} has over {PAGES_MAX} pages", hint="Please report it."
            )
        pages = [await self._page(kind, query, number) for number in range(last, 0, -1)]
        found: Rows = {}
        for page in pages:
            found |= page.rows
        total = pages[-1].total
        if total is not None and len(found) < total:
            return found, False
        if all(_ascending(page.rows) for page in pages):
            return found, True
        if total is None:
            return found, None
        return found, len(found) == total and all(page.total == total for page in pages)

    async def _page(self, kind: str, query: Query, number: int) -> HetznerPage:
        window = [("page", str(number)), ("per_page", str(self.page))]
        order = [("sort", "id:asc")] if kind in SORTED and kind not in self.unsorted else []
        try:
            body = await self.read(f"/{kind}", [*query, *window, *order])
        except LookRefused as refused:
            if not order or refused.fault.kind is not FaultClass.INVALID:
                raise
            self.unsorted |= {kind}
            body = await self.read(f"/{kind}", [*query, *window])
        rows, meta = body.get(kind), body.get("meta")
        if not isinstance(rows, list) or not isinstance(meta, dict):
            raise ProviderUnavailable(f"Hetzner's listing of {kind} has no rows", hint="Please report it.")
        told = meta.get("pagination") or {}
        return HetznerPage(
            {int(row["id"]): row for row in rows}, told.get("last_page"), told.get("next_page") or 0,
            told.get("total_entries"),
        )  # fmt: skip


def _ascending(rows: Rows) -> bool:
    return all(one < other for one, other in pairwise(rows))
