"""Refuses unknown parameters: a misspelt parameter must never be ignored.

`submit?simulat=true` would create real servers, `rollback?dry_run=true` would destroy them.
"""

from __future__ import annotations

from collections import Counter
from difflib import get_close_matches
from functools import cache
from typing import Any

from litestar import Request
from litestar.connection import ASGIConnection
from litestar.enums import ParamType
from litestar.handlers import HTTPRouteHandler
from litestar.handlers.base import BaseRouteHandler
from litestar.params import ParameterKwarg
from litestar.typing import FieldDefinition
from msgspec import Struct

from batchwright.api.openapi import WorkflowBodyOperation
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


async def known_parameters_only(connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler) -> None:
    """A guard: raise UsageError for anything that the operation does not take."""
    assert isinstance(connection, Request)
    assert isinstance(handler, HTTPRouteHandler)
    taken = taken_by(handler)
    query = Counter(name for name, _ in connection.query_params.multi_items())
    for name, count in query.items():
        if name not in taken.query:
            raise _unknown("parameter", name, taken.query)
        if count > 1 and name not in taken.repeated:
            raise UsageError(f"the parameter {name} is given {count} times", hint="Give it once.")
    if connection.method in ("GET", "HEAD"):
        return
    for name in map(str.lower, connection.headers):
        if name not in taken.headers | ALWAYS and get_close_matches(name, OURS, n=1, cutoff=NEAR):
            raise _unknown("header", name, taken.headers | ALWAYS)
    if not taken.body and (await connection.body()).strip() not in (b"", b"{}"):
        raise UsageError("this operation takes no body", hint="Its parameters belong in the address: ?name=value.")


@cache
def taken_by(handler: HTTPRouteHandler) -> TakenParameters:
    """What the operation takes, by the signature of its handler."""
    fields = handler.parsed_fn_signature.parameters
    told = {
        definition.name or name: (definition.param_type, field)
        for name, field in fields.items()
        if isinstance(definition := field.kwarg_definition, ParameterKwarg) and not field.is_di_field
    }
    query = {name for name, (kind, _) in told.items() if kind == ParamType.QUERY}
    headers = {name.lower() for name, (kind, _) in told.items() if kind == ParamType.HEADER}
    repeated = {name for name in query if _is_list(told[name][1])}
    body = "data" in fields or issubclass(handler.operation_class, WorkflowBodyOperation)
    return TakenParameters(frozenset(query), frozenset(repeated), frozenset(headers), body)


def _is_list(field: FieldDefinition) -> bool:
    """Whether it is a list; one that may be omitted is a union of it and None."""
    return field.is_non_string_sequence or any(map(_is_list, field.inner_types if field.is_union else ()))


def _unknown(kind: str, name: str, known: frozenset[str]) -> UsageError:
    shown = name if len(name) <= SHOWN_MAX else name[:SHOWN_MAX] + "..."
    near = get_close_matches(name.lower(), sorted(known), n=1, cutoff=0.5)
    if near:
        hint = f"Did you mean {near[0]}?"
    else:
        hint = f"It takes: {', '.join(sorted(known))}." if known else f"It takes no {kind}s."
    return UsageError(f"this operation takes no {kind} {shown!r}", hint=hint)
