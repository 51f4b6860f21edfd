"""UpCloud's way to page and to refuse, over one request at a time. Nothing here knows what a server is.

UpCloud's own clients lose the HTTP status of an error, cannot page, and fail on answers that were really given.
"""

from __future__ import annotations

from typing import Any

from batchwright.errors import ProviderUnavailable
from batchwright.providers.http import Http, NoAnswer, NotSent, Query
from batchwright.providers.upcloud.faults import Answer, fault_of

PAGES_MAX = 1000  # of one listing


class Client(Http):
    """One connection pool. `url` has no slash at its end."""

    def __init__(self, url: str, authorization: str, page: int) -> None:
        super().__init__(url, authorization)
        self._page = page

    async def call(
        self, method: str, path: str, body: object = None, query: Query = (), *, fresh: bool = False
    ) -> Answer:
        reply = await super().call(method, path, body, query, fresh=fresh)
        return Answer(reply.status, reply.body, reply.retry_after)

    async def look(self, path: str, query: Query = ()) -> Answer:
        """A GET that either answers or says that there is nothing (404). Raises ProviderUnavailable for all else."""
        try:
            answer = await self.call("GET", path, query=query)
        except (NotSent, NoAnswer) as error:
            raise ProviderUnavailable(f"UpCloud cannot be asked: {error}", hint="Try again in a moment.") from error
        if answer.status == 404 and answer.code:
            return answer
        if not answer.ok:
            fault = fault_of(answer)
            raise ProviderUnavailable(f"{fault.message} ({path})", hint=fault.hint or "Try again in a moment.")
        if not isinstance(answer.body, dict):
            raise ProviderUnavailable(f"UpCloud's answer to {path} is not JSON", hint="Is there a proxy in between?")
        return answer

    async def read(self, path: str, query: Query = ()) -> dict[str, Any]:
        """A GET of what must be there. Raises ProviderUnavailable."""
        answer = await self.look(path, query)
        if not answer.ok:
            raise ProviderUnavailable(f"{fault_of(answer).message} ({path})", hint="Is the address of the API right?")
        body: dict[str, Any] = answer.body
        return body

    async def listing(self, path: str, outer: str, inner: str, query: Query = ()) -> list[dict[str, Any]]:
        """All entries of a listing, each once. Raises ProviderUnavailable when any page of it failed.

        The published default is 25 entries and it is not known whether it is applied, so pages are asked for until one
        brings nothing new, whatever their length.
        """
        found: dict[str, dict[str, Any]] = {}
        for number in range(PAGES_MAX):
            window = [("limit", str(self._page)), ("offset", str(number * self._page))]
            body = await self.read(path, [*query, *window])
            wrapped = body.get(outer)
            rows = wrapped.get(inner) if isinstance(wrapped, dict) else None
            if not isinstance(rows, list):
                raise ProviderUnavailable(f"UpCloud's listing {path} has no {outer}.{inner}", hint="Please report it.")
            fresh = {str(row["uuid"]): row for row in rows if isinstance(row, dict) and "uuid" in row}
            if not fresh.keys() - found.keys():
                return list(found.values())
            found |= fresh
        raise ProviderUnavailable(f"UpCloud's listing {path} has over {PAGES_MAX} pages", hint="Please report it.")
