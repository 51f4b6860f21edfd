"""Reading UpCloud's listings: whole or not at all, whatever goes on meanwhile."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from tests.unit.providers.test_upcloud_adapter import FAST, RUN, odd, opened, play, request

from batchwright.emulators.upcloud import UpCloudBehaviour, UpCloudEmulator
from batchwright.errors import ProviderThrottled, ProviderUnavailable
from batchwright.model.call_outcome import Created
from batchwright.model.ids import Token
from batchwright.providers.upcloud import UpCloud


def test_a_listing_with_a_broken_page_is_no_listing(tmp_path: Path) -> None:
    async def answer(request: web.Request) -> web.Response:
        if request.query["offset"] != "0":
            return web.Response(status=502, text="<html>")
        rows = [{"uuid": f"00-{n}", "labels": {"label": []}} for n in range(3)]
        return web.json_response({"servers": {"server": rows}, "storages": {"storage": []}})

    async def main() -> None:
        async with odd(answer) as url, opened(url, tmp_path) as provider:
            with pytest.raises(ProviderUnavailable, match="502"):
                await provider.find(RUN)

    asyncio.run(main())


def test_a_listing_that_knows_no_pages_is_read_once_and_not_for_ever(tmp_path: Path) -> None:
    async def answer(_: web.Request) -> web.Response:
        labels = {"label": [{"key": "batchwright-run", "value": RUN}, {"key": "batchwright-token", "value": "t"}]}
        foreign = {"uuid": "00-9", "labels": {"label": [{"key": "batchwright-run", "value": "other"}]}}
        rows = [*({"uuid": f"00-{n}", "labels": labels, "state": "maintenance"} for n in range(3)), foreign]
        return web.json_response({"servers": {"server": rows}, "storages": {"storage": []}})

    async def main() -> None:
        async with odd(answer) as url, opened(url, tmp_path) as provider:
            assert [one.ref for one in await provider.find(RUN)] == ["00-0", "00-1", "00-2"]

    asyncio.run(main())


def test_what_goes_while_pages_are_read_hides_no_other_server(tmp_path: Path) -> None:
    async def scenario(provider: UpCloud, emulator: UpCloudEmulator) -> None:
        provider._api.page = 3
        refs = []
        for number in range(8):
            token = Token(RUN, f"token-{number}")
            answer = await provider.create(await request(provider, f"web-{number}"), token)
            assert isinstance(answer, Created)
            refs.append(answer.ref)
        ask, pages = provider._api.call, list[str]()

        async def call(method: str, path: str, *rest: Any, **more: Any) -> Any:
            reply = await ask(method, path, *rest, **more)
            pages.extend([path] if path == "/server" else [])
            if len(pages) == 1:
                emulator.account.all_servers.pop(refs[0], None)
            return reply

        provider._api.call = call  # type: ignore[method-assign]
        assert {seen.ref for seen in await provider.find(RUN) if seen.name} >= set(refs[1:])

    play(tmp_path, FAST, scenario)


def test_a_look_that_is_throttled_says_so_and_for_how_long(tmp_path: Path) -> None:
    async def scenario(provider: UpCloud, _emulator: UpCloudEmulator) -> None:
        with pytest.raises(ProviderThrottled) as raised:
            await provider.find(RUN)
        assert raised.value.retry_after == 9

    play(tmp_path, UpCloudBehaviour(time_scale=0.0005, rate=0.001, burst=1, retry_after=9), scenario)


def test_a_create_that_could_make_nothing_and_is_taken_is_told_loudly(tmp_path: Path) -> None:
    async def answer(_: web.Request) -> web.Response:
        return web.json_response({"server": {"uuid": "00-1"}}, status=202)

    async def main() -> None:
        async with odd(answer) as url, opened(url, tmp_path) as provider:
            with pytest.raises(ProviderUnavailable, match="without its required fields"):
                await provider._rights("/server", {"server": {}})

    asyncio.run(main())
