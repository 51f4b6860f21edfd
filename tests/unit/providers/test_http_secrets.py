"""B1: what a cloud, or a proxy before it, says is told without the credentials that it was sent."""

from __future__ import annotations

import asyncio
import json
from base64 import b64encode

import pytest
from aiohttp import web

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
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        http = Http(f"http://127.0.0.1:{runner.addresses[0][1]}", authorization)
        try:
            return await http.call("GET", "/x")
        finally:
            await http.aclose()
            await runner.cleanup()

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
