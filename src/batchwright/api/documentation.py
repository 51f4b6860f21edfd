"""Calls that give the OpenAPI document, and a page that shows it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib.resources import files
from typing import Any

from litestar import Response, get
from litestar.di import NamedDependency

from batchwright.api.security_headers import page_policy


@get("/openapi.json", opt={"role": None}, include_in_schema=False)
async def openapi(document: NamedDependency[Callable[[], bytes]]) -> Response[bytes]:
    """The OpenAPI 3.1 document."""
    return Response(document(), media_type="application/vnd.oai.openapi+json")


@get("/", opt={"role": None}, include_in_schema=False)
async def front() -> Response[bytes]:
    """Redirect a browser to the documentation. The address is relative, so that it works under a sub-path too."""
    return Response(b"", status_code=307, headers={"Location": "docs"})


@get("/docs", opt={"role": None}, include_in_schema=False)
async def page() -> Response[bytes]:
    """A page that shows the OpenAPI document. It loads nothing from other sites."""
    body = files("batchwright.api").joinpath("docs.html").read_bytes()
    return Response(body, media_type="text/html; charset=utf-8", headers={"Content-Security-Policy": page_policy(body)})


HANDLERS: Sequence[Any] = (openapi, front, page)
