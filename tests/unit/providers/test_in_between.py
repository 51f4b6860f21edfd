"""E4, E7: what a portal, a proxy or a gateway answers in a cloud's place proves nothing about the cloud."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar

import pytest
from aiohttp import web
from botocore.exceptions import ClientError
from botocore.parsers import ResponseParserError
from tests.support.emulated_aws import set_credentials

from batchwright.app.system_clock import SystemClock
from batchwright.emulators.server import listening
from batchwright.errors import ProviderUnavailable
from batchwright.model.call_outcome import Rejected, Unknown
from batchwright.providers.aws import Aws
from batchwright.providers.aws.faults import outcome
from batchwright.providers.http import HttpReply
from batchwright.providers.upcloud.faults import REFUSALS
from batchwright.providers.upcloud.pagination import UpCloudClient

T = TypeVar("T")
PORTAL = "<html><head><title>Login</title></head><body><h1>Portal</h1></body></html>"
BLANK = {"type": "about:blank", "title": "Not Found", "status": 404}


def behind(status: int, text: str, scenario: Callable[[str], Coroutine[Any, Any, T]]) -> T:
    """Run it against something that answers everything in the same way."""

    async def answer(_request: web.Request) -> web.Response:
        return web.Response(status=status, text=text, content_type="text/html")

    async def main() -> T:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", answer)
        async with listening(app) as port:
            return await scenario(f"http://127.0.0.1:{port}")

    return asyncio.run(main())


@pytest.mark.parametrize("text", [PORTAL, "", "<DescribeVolumesResponse/>"])
def test_aws_listings_of_a_portal_are_not_empty_ones(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """E6: botocore reads any XML as an answer in which nothing stands; then every server was taken for gone."""
    set_credentials(monkeypatch, tmp_path)

    async def scenario(url: str) -> None:
        settings = {"state_dir": str(tmp_path), "endpoint_url": url, "regions": "eu-central-1"}
        aws = Aws.connect("aws", SystemClock(), settings)
        with pytest.raises(ProviderUnavailable):  # not a KeyError
            await aws.open()
        connection = aws._connection
        await connection.open()
        aws._regions = ("eu-central-1",)
        try:
            for look in (aws.find("r"), aws.describe(["eu-central-1/i-1"]), aws.attached(["eu-central-1/i-1"])):
                with pytest.raises(ProviderUnavailable) as caught:
                    await look
                assert caught.value.passing
            assert isinstance(await aws.destroy("eu-central-1/key-1"), Unknown)
            with pytest.raises(ResponseParserError):
                await connection.change("eu-central-1", "run_instances", MinCount=1, MaxCount=1)
        finally:
            await aws.aclose()

    behind(200, text, scenario)


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (408, "", Unknown),
        (404, "", Unknown),
        (499, "499", Unknown),
        (400, "Unknown", Unknown),
        (429, "", Rejected),
        (400, "SomethingNew", Rejected),
    ],
)
def test_only_aws_itself_or_a_gate_refuses_a_change_for_certain(status: int, code: str, kind: type) -> None:
    """E4: a proxy may have sent the call on before it gave up."""
    answer = {"Error": {"Code": code, "Message": ""}, "ResponseMetadata": {"HTTPStatusCode": status}}
    said = outcome(ClientError(answer, "RunInstances"), 0.0)
    assert isinstance(said, kind)
    if isinstance(said, Unknown) and not code:
        assert str(status) in said.reason


@pytest.mark.parametrize("body", [BLANK, {"message": "no Route matched with those values"}, None, {}])
def test_a_404_that_the_cloud_did_not_say_is_no_proof_that_a_thing_is_gone(body: object) -> None:
    """E1, E4: gateways answer in the shape of RFC 7807 as UpCloud does, with the type about:blank."""
    reply = HttpReply(404, body)
    assert not REFUSALS.nothing(reply)
    assert not REFUSALS.certain(reply)
    assert REFUSALS.nothing(HttpReply(404, {"error": {"error_code": "SERVER_NOT_FOUND"}}))
    assert not REFUSALS.nothing(HttpReply(404, {"error": {"error_code": "ZONE_INVALID"}}))


def test_a_page_is_no_success() -> None:
    """E4: a delete that a portal answers with 200 is not done."""
    assert not HttpReply(200).ok
    assert HttpReply(204, {}).ok


@pytest.mark.parametrize(("status", "text"), [(200, PORTAL), (302, ""), (404, PORTAL), (408, PORTAL), (200, '{"a')])
def test_looks_that_something_in_between_answers_are_made_again(status: int, text: str) -> None:
    """E7"""

    async def scenario(url: str) -> None:
        client = UpCloudClient(url, "Bearer x", 100)
        try:
            with pytest.raises(ProviderUnavailable) as caught:
                await client.look("/server/1")
            assert caught.value.passing
        finally:
            await client.aclose()

    behind(status, text, scenario)
