"""A server of UpCloud goes with its disks, whoever begins its removal and whoever ends it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from tests.unit.providers.test_upcloud_adapter import FAST, TOK, gone, made, opened, play, request

from batchwright.emulators.upcloud import UpCloudBehaviour, UpCloudEmulator, serve
from batchwright.model.call_outcome import Going, Gone
from batchwright.providers.http import HttpReply
from batchwright.providers.upcloud import UpCloud

SETTLED = 0.15  # seconds; more than the lag of a listing


class Died(BaseException):
    """The end of the process."""


def dies_after(provider: UpCloud, changes: int) -> None:
    """Let so many changes be answered, and end the process with the next."""
    call, sent = provider._api.call, 0

    async def limited(method: str, path: str, *more: Any, **asked: Any) -> Any:
        nonlocal sent
        sent += method != "GET"
        if sent > changes:
            raise Died
        return await call(method, path, *more, **asked)

    provider._api.call = limited  # type: ignore[method-assign]


def account_after(behaviour: UpCloudBehaviour, changes: int, folder: Path) -> tuple[bool, dict[str, Any]]:
    """Whether a process that dies after so many changes had more to do; and the account once another one is done."""

    async def main() -> tuple[bool, dict[str, Any]]:
        emulator = UpCloudEmulator(behaviour)
        async with serve(emulator) as url, opened(url, folder) as first, opened(url, folder) as second:
            if behaviour.no_disk_labels:
                await first.create(await request(first), TOK)  # refused, and asked for in another way from now on
            ref = await made(first)
            await asyncio.sleep(SETTLED)
            for disk in emulator.account.disks():
                disk.labels = [] if behaviour.no_disk_labels else disk.labels  # it died before it labelled its disk
            dies_after(first, changes)
            try:
                await gone(first, ref)
                died = False
            except Died:
                died = True
            await gone(second, ref)
            return died, emulator.account.summary()

    return asyncio.run(main())


@pytest.mark.parametrize(
    "behaviour",
    [
        replace(FAST, keep_addresses=1.0, list_lag=20.0),
        replace(FAST, no_disk_labels=True),
        replace(FAST, no_label_filter=True),
    ],
    ids=["labelled", "labelled late", "listings that no label narrows"],
)
def test_a_destroy_that_another_process_began_leaves_no_disk(behaviour: UpCloudBehaviour, tmp_path: Path) -> None:
    """Whatever the change that the first one died after. A death at each, until it has nothing more to do."""
    for changes in range(20):
        died, left = account_after(behaviour, changes, tmp_path)
        assert (left["servers"], left["disks"], left["addresses"]) == ([], [], []), changes
        if not died:
            assert changes >= 4, "stop, detach, and a delete of the disk and of the server"
            return
    raise AssertionError("a destroy that never ends")


@pytest.mark.parametrize("deleted", ["storage", "server"])
def test_a_removal_that_is_throttled_in_its_midst_has_begun(deleted: str, tmp_path: Path) -> None:
    """A refusal would say that the server is as it was."""
    refused: list[str] = []

    async def scenario(provider: UpCloud, emulator: UpCloudEmulator) -> None:
        ref, call = await made(provider), provider._api.call

        async def throttled(method: str, path: str, *more: Any, **asked: Any) -> Any:
            if method == "DELETE" and path.startswith(f"/{deleted}/") and not refused:
                refused.append(path)
                return HttpReply(429, {"error": {"error_code": "TOO_MANY", "error_message": "slow down"}}, 0.1)
            return await call(method, path, *more, **asked)

        provider._api.call = throttled  # type: ignore[method-assign]
        answers = await gone(provider, ref)
        assert len(refused) == 1
        assert {type(one) for one in answers} == {Going, Gone}, answers
        assert emulator.account.disks() == []

    play(tmp_path, FAST, scenario)
