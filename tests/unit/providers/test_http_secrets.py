"""B1: what a cloud, or a proxy before it, says is reported without the credentials that it was sent."""

from __future__ import annotations

import asyncio
import json
from base64 import b64encode

import pytest
from aiohttp import web

from batchwright.emulators.server import listening
from batchwright.providers.http import Http, HttpReply, NotSent

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


@pytest.mark.parametrize("ref", ["../storage/1", "..", "1/../../x", "1?force=1", "1#x", "%2e%2e/x", "1 2", "1\n", ""])
def test_a_reference_leads_to_no_other_resource(ref: str) -> None:
    asked: list[str] = []

    async def heard(request: web.Request) -> web.Response:
        asked.append(request.path_qs)
        return web.json_response({})

    async def main() -> None:
        app = web.Application()
        app.router.add_route("*", "/{tail:.*}", heard)
        async with listening(app) as port:
            http = Http(f"http://127.0.0.1:{port}", BASIC)
            try:
                with pytest.raises(NotSent, match="is not a path of"):
                    await http.call("DELETE", f"/server/{ref}")
                assert (await http.call("GET", "/server/0077-ab_c.d:e")).ok
            finally:
                await http.aclose()

    asyncio.run(main())
    assert asked == ["/server/0077-ab_c.d:e"]
