"""Who may do what: tokens and roles, or, without any token, only this machine and no web page of elsewhere."""

from __future__ import annotations

import ipaddress
import logging
from collections import OrderedDict
from typing import Any
from urllib.parse import urlsplit

from litestar.connection import ASGIConnection
from litestar.enums import ScopeType
from litestar.handlers.base import BaseRouteHandler
from litestar.types import ASGIApp, HTTPScope, Message, Receive, Scope, Send
from msgspec import Struct

from batchwright.api.problems import refuse
from batchwright.app.audit import Audit, Deed
from batchwright.app.tokens import PREFIX, Role, Tokens
from batchwright.engine.bucket import Bucket
from batchwright.errors import BatchwrightError, Forbidden, TooManyRequests, Unauthorized
from batchwright.model.clock import Clock

SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
CALLERS = 1_000  # whose rates are remembered

log = logging.getLogger("batchwright.api")


class Caller(Struct, frozen=True):
    """Who asks."""

    name: str
    role: Role
    address: str = ""


def is_loopback(host: str) -> bool:
    """Whether this name or address can only be this machine."""
    bare = host.strip("[]")
    if bare == "localhost":
        return True
    try:
        return ipaddress.ip_address(bare).is_loopback
    except ValueError:
        return False


def _host(value: str) -> str:
    return (urlsplit(f"//{value}").hostname or "") if value else ""


class Access:
    """Decides who a request is from. With one token in the file every request needs one, from that moment on."""

    def __init__(self, tokens: Tokens, clock: Clock, rate: float, burst: int) -> None:
        self._tokens = tokens
        self._clock = clock
        self._rate, self._burst = rate, burst
        self._rates: OrderedDict[str, Bucket] = OrderedDict()

    def caller(self, method: str, headers: dict[str, str], address: str) -> Caller | None:
        """Who asks; None for somebody without a token. Raises Unauthorized, Forbidden, TokensUnreadable."""
        if not self._tokens.all():
            self._refuse_foreign(method, headers)
            return Caller("local", Role.ADMIN, address)
        given = headers.get("authorization", "")
        scheme, _, secret = given.partition(" ")
        if not given:
            return None
        if scheme.lower() != "bearer" or not secret.startswith(PREFIX):
            raise Unauthorized("the Authorization header holds no Batchwright token")
        token = self._tokens.of(secret.strip(), self._clock.now())
        return Caller(token.name, token.role, address)

    def _refuse_foreign(self, method: str, headers: dict[str, str]) -> None:
        """Without tokens the address is all that protects: a web page must not be able to borrow it."""
        try:
            host = _host(headers.get("host", ""))
            origin = headers.get("origin")
            origin_host = (urlsplit(origin).netloc if origin else "").lower()
        except ValueError as error:
            raise Forbidden(f"the Host or Origin header is no address: {error}") from error
        if not is_loopback(host):
            hint = "Use http://localhost, or make a token: batchwright token create --role ROLE"
            raise Forbidden(
                f"without tokens only requests to this machine's own name are answered, not {host!r}", hint=hint
            )
        if origin is not None and origin_host != headers.get("host", "").lower():
            raise Forbidden(f"a page of {origin} may not use this service")
        if method not in SAFE and headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
            raise Forbidden("a page of another site may not use this service")

    def take_place(self, name: str) -> None:
        """One more submission by this caller. Raises TooManyRequests."""
        now = self._clock.now()
        bucket = self._rates.pop(name, None) or Bucket(2**31, self._rate, self._burst)
        self._rates[name] = bucket
        if len(self._rates) > CALLERS:
            self._rates.popitem(last=False)
        if bucket.available(now) < 1:
            raise TooManyRequests(f"{name} submits more than {self._rate:g} workflows a second")
        bucket.take()
        bucket.release()


def needs(connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler) -> None:
    """Guard: the caller's role is enough for the handler's `role`. Raises Unauthorized, Forbidden."""
    role = handler.opt.get("role", Role.VIEWER)
    if role is None:
        return
    caller: Caller | None = connection.scope["state"].get("caller")
    if caller is None:
        raise Unauthorized("this needs a token")
    if not caller.role.allows(role):
        raise Forbidden(f"the token {caller.name} is a {caller.role}'s; this needs {role}")


class Gate:
    """The outermost layer: knows the caller before anything else happens, and keeps the audit trail."""

    def __init__(self, app: ASGIApp, access: Access, audit: Audit, clock: Clock) -> None:
        self._app = app
        self._access = access
        self._audit = audit
        self._clock = clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != ScopeType.HTTP:
            await self._app(scope, receive, send)
            return
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        client = scope.get("client")
        state = scope.setdefault("state", {})
        try:
            caller = self._access.caller(scope["method"], headers, client[0] if client else "")
        except BatchwrightError as error:
            await refuse(error, scope, send)
            return
        state["caller"] = caller
        if caller is None or scope["method"] in SAFE:
            await self._app(scope, receive, send)
            return

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._record(scope, caller, message["status"])
            await send(message)

        await self._app(scope, receive, sending)

    def _record(self, scope: HTTPScope, caller: Caller, status: int) -> None:
        handler = scope.get("route_handler")
        if handler is not None and handler.opt.get("changes") is False:
            return
        state = scope["state"]
        what = f"{scope['method']} {scope['path']}"
        run, code = state.get("run", ""), state.get("code", "")
        try:
            self._audit.write(
                Deed(self._clock.now(), caller.name, caller.role, what, run, status, code, caller.address)
            )
        except (OSError, BatchwrightError) as error:  # what was done is done: the journal holds it too
            log.error("the audit trail cannot be written: %s; lost: %s by %s: %s", error, what, caller.name, status)
