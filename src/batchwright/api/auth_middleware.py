"""The outermost layer: authenticates the caller and keeps the audit trail."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from litestar.enums import ScopeType
from litestar.types import ASGIApp, HTTPScope, Message, Receive, Scope, Send

from batchwright.api.authentication import REFUSED, SAFE, Authenticator, Caller
from batchwright.api.connection_peer import KEY, ConnectionPeer
from batchwright.api.problems import CLIENT_GONE, GONE, refuse
from batchwright.api.security_headers import secured
from batchwright.errors import AuditUnwritable, BatchwrightError, PeerUnknown, TooManyRequests
from batchwright.model.clock import Clock
from batchwright.service.audit import Audit, AuditEntry, AuditLine, shown, told
from batchwright.service.tokens import NOBODY, Role

PARAMETERS = (
    "simulate",
    "sim",
    "plan_hash",
    "force",
    "redo",
    "skip",
)  # of calls that change something

log = logging.getLogger("batchwright.api")


class AuthMiddleware:
    """Authenticates every request and audits changes. `looks` are the paths whose POST changes nothing."""

    def __init__(
        self, app: ASGIApp, access: Authenticator, audit: Audit, clock: Clock, looks: Iterable[str] = ()
    ) -> None:
        self._app = app
        self._access = access
        self._audit = audit
        self._clock = clock
        self._looks = frozenset(looks)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != ScopeType.HTTP:
            if scope["type"] == ScopeType.WEBSOCKET:
                await send({"type": "websocket.close", "code": 1008, "reason": "not found"})
            return

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = secured(message["headers"])
            await send(message)

        state = scope.setdefault("state", {})
        end = state.get(KEY) or ConnectionPeer(scope.get("client"), scope.get("server"))  # type: ignore[arg-type]
        caller, refusal = None, None
        try:
            caller = await self._access.caller(scope["method"], scope["headers"], end)
        except PeerUnknown as error:
            state[REFUSED] = error  # public paths are answered all the same
        except BatchwrightError as error:
            refusal = error
        state["caller"] = caller
        if scope["method"] in SAFE or scope["path"] in self._looks:
            await self._answer(refusal, scope, receive, sending)
        else:
            await self._record(refusal, caller, end, scope, receive, sending)

    async def _answer(self, refusal: BatchwrightError | None, scope: HTTPScope, receive: Receive, send: Send) -> None:
        if refusal is not None:
            scope["state"]["code"] = refusal.code
            await refuse(refusal, scope, send)
            return

        async def receiving() -> Message:
            message = await receive()
            if message["type"] == "http.disconnect":
                scope["state"][GONE] = True
            return message  # type: ignore[return-value]

        await self._app(scope, receiving, send)  # type: ignore[arg-type]

    async def _record(
        self,
        refusal: BatchwrightError | None,
        caller: Caller | None,
        end: ConnectionPeer,
        scope: HTTPScope,
        receive: Receive,
        send: Send,
    ) -> None:
        """Write the request to the audit trail, handle it, and write the outcome before the response is sent."""
        try:
            if caller is None or caller.role is Role.VIEWER:
                self._access.take_stranger()
            line = await self._begin(caller, end, scope)
        except (AuditUnwritable, TooManyRequests) as error:
            await refuse(error, scope, send)
            return
        state, status = scope["state"], 0

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start" and not status:
                status = message["status"]
                await self._end(line, state.get("run", ""), status, state.get("code", ""))
            await send(message)

        try:
            await self._answer(refusal, scope, receive, sending)
        finally:
            if not status:
                gone = state.get(GONE)
                await self._end(
                    line, state.get("run", ""), CLIENT_GONE if gone else 500, "client-gone" if gone else "bug"
                )

    async def _begin(self, caller: Caller | None, end: ConnectionPeer, scope: HTTPScope) -> AuditLine:
        what = shown(f"{scope['method']} {scope['path']}")
        who = (caller.name, str(caller.role)) if caller is not None else (NOBODY, "")
        query = told(scope["query_string"].decode("latin-1"), PARAMETERS)
        try:
            return await self._audit.begin_aside(
                AuditEntry(self._clock.now(), *who, what, address=end.address, query=query)
            )
        except (OSError, BatchwrightError) as error:
            log.error("the audit trail cannot be written, so the request is refused: %s", error)
            raise AuditUnwritable("the audit trail cannot be written") from error

    async def _end(self, line: AuditLine, run: str, status: int, code: str) -> None:
        try:
            await self._audit.end_aside(line, run, status, code)
        except OSError as error:  # the change is made already; its line stays without an outcome
            log.error("the outcome of %s cannot be written to the audit trail: %s", line.deed.what, error)
