"""Hetzner's way to page and to refuse, over one request at a time. Nothing here knows what a server is."""

from __future__ import annotations

from typing import Any

from batchwright.errors import ProviderUnavailable
from batchwright.providers.hetzner.faults import error_of, fault_of
from batchwright.providers.http import Http, NoAnswer, NotSent, Query

PAGES_MAX = 1000  # of one listing


class Client(Http):
    """One connection pool; every path is under the version of the API."""

    def __init__(self, url: str, token: str, page: int) -> None:
        super().__init__(url, f"Bearer {token}")
        self._page = page

    async def look(self, path: str, query: Query = ()) -> dict[str, Any] | None:
        """A GET of what may not be there (None). Raises ProviderUnavailable."""
        try:
            reply = await self.call("GET", path, query=query)
        except (NotSent, NoAnswer) as error:
            raise ProviderUnavailable(f"Hetzner cannot be asked: {error}", hint="Try again in a moment.") from error
        if reply.status == 404 and error_of(reply)[0] == "not_found":
            return None
        if not reply.ok:
            fault = fault_of(reply)
            raise ProviderUnavailable(f"{fault.message} ({path})", hint=fault.hint or "Try again in a moment.")
        if not isinstance(reply.body, dict):
            raise ProviderUnavailable(f"Hetzner's answer to {path} is not JSON", hint="Is there a proxy in between?")
        return reply.body

    async def read(self, path: str, query: Query = ()) -> dict[str, Any]:
        """A GET of what must be there. Raises ProviderUnavailable."""
        body = await self.look(path, query)
        if body is None:
            raise ProviderUnavailable(f"Hetzner has nothing at {path}", hint="Is the address of the API right?")
        return body

    async def listing(self, kind: str, query: Query = ()) -> list[dict[str, Any]]:
        """All entries of a kind, each once. Raises ProviderUnavailable when any page of it failed."""
        found: dict[int, dict[str, Any]] = {}
        number: Any = 1
        for _ in range(PAGES_MAX):
            window = [("page", str(number)), ("per_page", str(self._page)), ("sort", "id:asc")]
            body = await self.read(f"/{kind}", [*query, *window])
            rows, meta = body.get(kind), body.get("meta")
            if not isinstance(rows, list) or not isinstance(meta, dict):
                raise ProviderUnavailable(f"Hetzner's listing of {kind} has no rows", hint="Please report it.")
            found |= {int(row["id"]): row for row in rows}
            number = meta.get("pagination", {}).get("next_page")
            if not number:
                return list(found.values())
        raise ProviderUnavailable(f"Hetzner's listing of {kind} has over {PAGES_MAX} pages", hint="Please report it.")
