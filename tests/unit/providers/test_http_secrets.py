"""B1: what a cloud, or a proxy before it, says is reported without the credentials that it was sent."""

from __future__ import annotations

import asyncio
import json
from base64 import b64encode

import pytest
from aiohttp import web

from batchwright.emulators.server import listening
from batchwright.providers.http import Http, HttpReply

TOKEN = "t0ken/with+signs=="
BASIC = "Basic " + b64encode(b"user:pass word").decode()


@pytest.mark.parametrize("authorization", [f"Bearer {TOKEN}", BASIC])
@pytest.mark.parametrize("status", [200, 403, 502])
def test_refusals_hold_no_credentials(authorization: str, status: int) -> None:
    """B1"""

    async def echo(request: web.Request) -> web.Response:
        said = {"sent": request.headers["Authorization"], "quoted": json.dumps(TOKEN), "password": "pass word"}
        return web.json_response(said, status=status)

    async def main() -> HttpReply:
        app = web.Application()
        app.router.add_get("/x", echo)
        async with listening(app) as port:
            http = Http(f"http://127.0.0.1:{port}", authorization)
            try:
                return await http.call("GET", "/x")
            finally:
                await http.aclose()

    reply = asyncio.run(main())
    told = str(reply.body)
    assert reply.status == status
    if status == 200:
        assert reply.body["sent"] == authorization  # what is used is not touched
    elif authorization == BASIC:
        assert BASIC.split()[1] not in told
        assert "pass word" not in told
    else:
        assert "t0ken" not in told
        assert told.count("***") == 2
