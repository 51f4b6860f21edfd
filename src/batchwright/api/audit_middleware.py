"""Writes every request that changes something to the audit trail: what it asks for, and how it was answered."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from litestar.enums import ScopeType
from litestar.types import ASGIApp, HTTPScope, Message, Receive, Scope, Send

from batchwright.api.admission_control import RateLimits
from batchwright.api.authentication import SAFE, Caller
from batchwright.api.connection_peer import KEY
from batchwright.api.problems import CLIENT_GONE, GONE, refuse
from batchwright.app.access_tokens import NOBODY
from batchwright.errors import AuditUnwritable, BatchwrightError, TooManyRequests
from batchwright.model.clock import Clock
from batchwright.model.role import Role
from batchwright.service.audit import AuditEntry, AuditTrail, OpenEntry, shown, told

PARAMETERS = (  # of calls that change something; a comment is kept in the journal
    *("action", "against", "anyway", "ask", "at", "environment", "event", "failed", "faults", "force", "forget"),
    *("hash", "output", "plan_hash", "redo", "ref", "reinstall", "remove", "retire"),
    *("run", "seconds", "seed", "sim", "simulate", "skip", "step", "wait"),
)

log = logging.getLogger("batchwright.api")


class AuditMiddleware:
    """Stands inside AuthMiddleware, which names the caller. `looks` are the paths whose POST changes nothing."""

    def __init__(
        self, app: ASGIApp, rates: RateLimits, audit: AuditTrail, clock: Clock, looks: Iterable[str] = ()
    ) -> None:
        self._app = app
        self._rates = rates
        self._audit = audit
        self._clock = clock
        self._looks = frozenset(looks)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != ScopeType.HTTP or scope["method"] in SAFE or scope["path"] in self._looks:
            await self._app(scope, receive, send)
        else:
            await self._record(scope, receive, send)

    async def _record(self, scope: HTTPScope, receive: Receive, send: Send) -> None:
        """Write the request to the audit trail, handle it, and write the outcome before the response is sent."""
        caller: Caller | None = scope["state"]["caller"]
        try:
            if caller is None or caller.role is Role.VIEWER:
                self._rates.take_stranger()
            line = await self._begin(caller, scope)
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
            await self._app(scope, receive, sending)
        finally:
            if not status:
                gone = state.get(GONE)
                await self._end(
                    line, state.get("run", ""), CLIENT_GONE if gone else 500, "client-gone" if gone else "bug"
                )

    async def _begin(self, caller: Caller | None, scope: HTTPScope) -> OpenEntry:
        what = shown(f"{scope['method']} {scope['path']}")
        who = (caller.name, str(caller.role)) if caller is not None else (NOBODY, "")
        query = told(scope["query_string"].decode("latin-1"), PARAMETERS)
        address = scope["state"][KEY].address
        try:
            entry = AuditEntry(self._clock.now(), *who, what, address=address, query=query)
            return await self._audit.begin_aside(entry)
        except (OSError, BatchwrightError) as error:
            log.error("the audit trail cannot be written, so the request is refused: %s", error)
            raise AuditUnwritable("the audit trail cannot be written") from error

    async def _end(self, line: OpenEntry, run: str, status: int, code: str) -> None:
        try:
            await line.end_aside(run, status, code)
        except (OSError, BatchwrightError) as error:  # the change is made already; its line stays without an outcome
            log.error("the outcome of %s cannot be written to the audit trail: %s", line.deed.what, error)
