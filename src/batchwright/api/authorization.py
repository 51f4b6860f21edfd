"""Whether a caller may make a request: the role that each call needs."""

from __future__ import annotations

from typing import Any

from litestar.connection import ASGIConnection
from litestar.handlers.base import BaseRouteHandler

from batchwright.api.authentication import REFUSED, Caller
from batchwright.errors import Forbidden, Unauthorized
from batchwright.model.role import Role


def needs(connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler) -> None:
    """Guard: check that the caller's role covers the handler's `role`. Raises Unauthorized, Forbidden."""
    role = handler.opt.get("role", Role.VIEWER)
    if role is None:
        return
    caller: Caller | None = connection.scope["state"].get("caller")
    if caller is None:
        raise connection.scope["state"].get(REFUSED) or Unauthorized("this request needs a token")
    if not caller.role.allows(role):
        raise Forbidden(f"the token {caller.name} has the role {caller.role}; this request needs {role}")
