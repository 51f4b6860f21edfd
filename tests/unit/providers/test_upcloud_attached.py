"""What others attached to a server of UpCloud outlives it, whatever the moment."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from tests.unit.providers.test_upcloud_adapter import FAST, RUN, gone, made, play, request

from batchwright.emulators.upcloud import UpCloudEmulator
from batchwright.model.call_outcome import Created, Rejected, ServerState
from batchwright.model.fault import FaultClass
from batchwright.model.ids import Token
from batchwright.providers.upcloud import UpCloud, rows


def test_a_disk_attached_in_the_last_moment_outlives_the_server(tmp_path: Path) -> None:
    """E1: between the last look and the delete."""

    async def scenario(provider: UpCloud, emulator: UpCloudEmulator) -> None:
        ref, account = await made(provider), emulator.account
        disk, call = account.new_disk("data", "de-fra1"), provider._api.call

        async def late(method: str, path: str, *more: Any, **asked: Any) -> Any:
            if (method, path) == ("DELETE", f"/server/{ref}"):
                account.attach(account.all_servers[ref], disk)
            return await call(method, path, *more, **asked)

        provider._api.call = late  # type: ignore[method-assign]
        await gone(provider, ref)
        assert [one.uuid for one in account.disks()] == [disk.uuid]

    play(tmp_path, FAST, scenario)


def test_a_disk_of_another_server_of_the_run_outlives_the_one_it_is_attached_to(tmp_path: Path) -> None:
    """E1."""

    async def scenario(provider: UpCloud, emulator: UpCloudEmulator) -> None:
        one, account = await made(provider), emulator.account
        other = await provider.create(await request(provider, "other"), Token(RUN, "other"))
        assert isinstance(other, Created)
        (disk,) = account.all_servers[other.ref].disks
        account.detach(account.all_servers[other.ref], disk)
        account.attach(account.all_servers[one], disk)
        await gone(provider, one)
        assert [left.uuid for left in account.disks()] == [disk.uuid]
        await gone(provider, other.ref)
        assert account.disks() == [], "it was made with this one, and hangs on nothing any more"

    play(tmp_path, FAST, scenario)


def test_an_added_address_that_would_go_with_the_server_keeps_it_and_is_named(tmp_path: Path) -> None:
    """E1: it cannot be kept without its server, so the server is not even stopped."""

    async def scenario(provider: UpCloud, emulator: UpCloudEmulator) -> None:
        ref, account = await made(provider), emulator.account
        address = account.new_address(account.all_servers[ref], floating=False).address
        while (await provider.describe([ref]))[ref].state is not ServerState.READY:
            await asyncio.sleep(0.002)
        answer = await provider.destroy(ref)
        assert isinstance(answer, Rejected)
        assert answer.fault.kind is FaultClass.PERMANENT
        assert address in answer.fault.message
        assert account.all_servers[ref].state(account.clock()) == "started"
        (shown,) = await provider.attached([ref])
        assert address in shown.what
        assert shown.blocks

    play(tmp_path, FAST, scenario)


def test_a_backup_of_our_disk_is_no_orphan_even_with_our_labels(tmp_path: Path) -> None:
    """E1: somebody made it, and whether UpCloud copies the labels is not known."""

    async def scenario(provider: UpCloud, emulator: UpCloudEmulator) -> None:
        ref, account = await made(provider), emulator.account
        (disk,) = account.all_servers[ref].disks
        backup = account.backup(disk, "before the change")
        backup.labels = list(disk.labels)
        await gone(provider, ref)
        assert [left.uuid for left in account.disks()] == [backup.uuid]
        assert await provider.find(RUN) == []

    play(tmp_path, FAST, scenario)


def test_a_disk_shows_the_token_that_it_carries_and_is_no_find_for_a_server(tmp_path: Path) -> None:
    """E1: a disk with the run's label and another's token, or none, is not what the run made."""

    async def scenario(provider: UpCloud, emulator: UpCloudEmulator) -> None:
        disk = emulator.account.new_disk("somebody's", "de-fra1", labels=[{"key": rows.RUN, "value": RUN}])
        (seen,) = await provider.find(RUN)
        assert (seen.run, seen.token, seen.made_with) == (RUN, "", "")
        disk.labels.append({"key": rows.TOKEN, "value": "another"})
        (seen,) = await provider.find(RUN)
        assert (seen.token, seen.made_with) == ("", "another")

    play(tmp_path, FAST, scenario)
