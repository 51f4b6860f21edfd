"""The outermost layers: authenticate the caller, and refuse who gave a wrong token."""

from __future__ import annotations

from litestar.enums import ScopeType
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from batchwright.api.authentication import REFUSED, Authenticator
from batchwright.api.connection_peer import KEY, ConnectionPeer
from batchwright.api.problems import GONE, refuse
from batchwright.api.security_headers import secured
from batchwright.errors import BatchwrightError, PeerUnknown

REFUSAL = "refusal"  # key in a request's state: the error that answers it, whatever it asks for


class AuthMiddleware:
    """Puts the caller of each request into its state: None without a token."""

    def __init__(self, app: ASGIApp, access: Authenticator) -> None:
        self._app = app
        self._access = access

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
        state[KEY], state["caller"], state[REFUSAL] = end, caller, refusal
        await self._app(scope, receive, sending)


class RefusalMiddleware:
    """Answers a request whose sender was refused; notes when a client goes before it is answered."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        state = scope["state"]
        refusal: BatchwrightError | None = state[REFUSAL]
        if refusal is not None:
            state["code"] = refusal.code
            await refuse(refusal, scope, send)
            return

        async def receiving() -> Message:
            message = await receive()
            if message["type"] == "http.disconnect":
                state[GONE] = True
            return message  # type: ignore[return-value]

        await self._app(scope, receiving, send)  # type: ignore[arg-type]
