"""Refuses unknown parameters: a misspelt parameter must never be ignored.

`submit?simulat=true` would create real servers, `rollback?dry_run=true` would destroy them.
"""

from __future__ import annotations

from collections import Counter
from difflib import get_close_matches
from typing import Any

from litestar import Request
from litestar.connection import ASGIConnection
from litestar.handlers.base import BaseRouteHandler
from litestar.openapi.spec import OpenAPI, Parameter, Schema
from litestar.openapi.spec.enums import OpenAPIType
from msgspec import Struct

from batchwright.errors import UsageError

OURS = ("idempotency-key", "if-match", "last-event-id")  # headers that change what a request does
ALWAYS = frozenset({"idempotency-key"})  # clients may send it with every POST
NEAR = 0.8  # a header this similar to one of ours counts as that one, misspelt
SHOWN_MAX = 60  # characters of a name that the client chose


class TakenParameters(Struct, frozen=True):
    """What an operation takes: parameters, repeatable parameters, headers in lower case, and whether it has a body."""

    query: frozenset[str] = frozenset()
    repeated: frozenset[str] = frozenset()
    headers: frozenset[str] = frozenset()
    body: bool = False


class Parameters:
    """A guard that knows the parameters of every operation from the OpenAPI document."""

    def __init__(self, document: OpenAPI) -> None:
        self._taken: dict[tuple[str, str], TakenParameters] = {}
        for path, item in (document.paths or {}).items():
            for method in ("get", "post", "put", "patch", "delete"):
                if (operation := getattr(item, method)) is not None:
                    told = [one for one in operation.parameters or () if isinstance(one, Parameter)]
                    self._taken[method.upper(), path] = _taken(told, body=operation.request_body is not None)

    async def __call__(self, connection: ASGIConnection[Any, Any, Any, Any], _handler: BaseRouteHandler) -> None:
        """Raise UsageError for anything that the operation does not take."""
        assert isinstance(connection, Request)
        method = "GET" if connection.method == "HEAD" else str(connection.method)
        taken = self._taken.get((method, connection.scope["path_template"]), TakenParameters())
        query = Counter(name for name, _ in connection.query_params.multi_items())
        for name, count in query.items():
            if name not in taken.query:
                raise _unknown("parameter", name, taken.query)
            if count > 1 and name not in taken.repeated:
                raise UsageError(f"the parameter {name} is given {count} times", hint="Give it once.")
        if method == "GET":
            return
        for name in map(str.lower, connection.headers):
            if name not in taken.headers | ALWAYS and get_close_matches(name, OURS, n=1, cutoff=NEAR):
                raise _unknown("header", name, taken.headers | ALWAYS)
        if not taken.body and (await connection.body()).strip() not in (b"", b"{}"):
            raise UsageError("this operation takes no body", hint="Its parameters belong in the address: ?name=value.")


def _taken(told: list[Parameter], *, body: bool) -> TakenParameters:
    query = [one for one in told if one.param_in == "query"]
    repeated = frozenset(one.name for one in query if _is_list(one.schema))
    headers = frozenset(one.name.lower() for one in told if one.param_in == "header")
    return TakenParameters(frozenset(one.name for one in query), repeated, headers, body)


def _is_list(schema: Any) -> bool:
    """Whether the schema is a list; one that may be omitted is wrapped in a union."""
    return isinstance(schema, Schema) and (
        schema.type == OpenAPIType.ARRAY or any(map(_is_list, (*(schema.one_of or ()), *(schema.any_of or ()))))
    )


def _unknown(kind: str, name: str, known: frozenset[str]) -> UsageError:
    shown = name if len(name) <= SHOWN_MAX else name[:SHOWN_MAX] + "..."
    near = get_close_matches(name.lower(), sorted(known), n=1, cutoff=0.5)
    if near:
        hint = f"Did you mean {near[0]}?"
    else:
        hint = f"It takes: {', '.join(sorted(known))}." if known else f"It takes no {kind}s."
    return UsageError(f"this operation takes no {kind} {shown!r}", hint=hint)
