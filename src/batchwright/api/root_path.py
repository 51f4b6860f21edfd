"""Serves the application under a path, for a proxy that passes addresses on unchanged."""

from __future__ import annotations

from litestar.enums import ScopeType
from litestar.types import ASGIApp, Receive, Scope, Send


class RootPathMiddleware:
    """Removes `root`, such as `/batch`, from the paths of requests. What comes without it is served too."""

    def __init__(self, app: ASGIApp, root: str) -> None:
        self._app = app
        self._root = root

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] == ScopeType.HTTP:
            path, raw, root = scope["path"], scope.get("raw_path") or b"", self._root
            if path == root:  # without the slash, what the page refers to would lie beside it
                headers = [(b"location", root.rpartition("/")[2].encode() + b"/"), (b"content-length", b"0")]
                await send({"type": "http.response.start", "status": 308, "headers": headers})
                await send({"type": "http.response.body", "body": b"", "more_body": False})
                return
            if path.startswith(root + "/"):
                inner = {**scope, "path": path.removeprefix(root), "raw_path": raw.removeprefix(root.encode())}
                await self._app(inner, receive, send)  # type: ignore[arg-type]
                return
        await self._app(scope, receive, send)
